package partition

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand"
	"strings"
	"testing"

	"once/internal/files"
	"once/internal/vfs"
	"once/log/batch"
)

// What a pass keeps is many times what the cleaner writes at once, in every codec: each key is there with its
// newest value, for readers, after a restart and after the next pass.
func TestCompactionKeepsMoreThanItsBuffer(t *testing.T) {
	const keys, rounds, perBatch, valueBytes = 6_000, 2, 20, 1_000
	var sent [][]rec
	newest := map[string]string{}
	dice := rand.New(rand.NewSource(1))
	for range rounds * keys / perBatch {
		rs := make([]rec, perBatch)
		for i := range rs {
			noise := make([]byte, valueBytes) // does not compress
			_, _ = dice.Read(noise)
			rs[i] = rec{fmt.Sprint("key", dice.Intn(keys)), string(noise)}
			newest[rs[i].key] = rs[i].value
		}
		sent = append(sent, rs)
	}
	for _, codec := range []batch.Codec{batch.None, batch.Gzip, batch.Snappy, batch.LZ4, batch.Zstd} {
		t.Run(codec.String(), func(t *testing.T) {
			t.Parallel()
			s := newShelf(t, vfs.NewMem())
			s.config.Log.SegmentBytes = 64 << 20
			s.config.Rules.Recompress, s.config.Rules.Codec = codec != batch.None, codec
			s.config.Compaction = Compaction{Compact: true}
			s.mustOpen()
			want := maps.Clone(newest)
			for _, rs := range sent {
				s.must(s.send(rs...))
			}
			check := func(when string) {
				t.Helper()
				got, err := consume(s.p, 0, true, 1<<20)
				if err != nil {
					t.Fatalf("%s: %v", when, err)
				}
				newest := map[string]string{}
				for _, x := range got {
					newest[x.key] = x.value
				}
				if len(newest) != len(want) {
					t.Fatalf("%s: %d keys, want %d", when, len(newest), len(want))
				}
				for k, v := range want {
					if newest[k] != v {
						t.Fatalf("%s: %s has another value", when, k)
					}
				}
			}
			for pass := range 2 {
				s.roll()
				s.sync()
				done, err := s.p.Compact(context.Background(), s.nowMs(), 16<<20)
				if err != nil || done.WrittenBytes < 3<<20 {
					t.Fatalf("%+v, %v", done, err)
				}
				check(fmt.Sprint("after pass ", pass))
				s.shut()
				s.mustOpen()
				check("after a restart")
				want["key0"] = fmt.Sprint("pass ", pass)
				s.must(s.send(rec{"key0", want["key0"]}))
			}
			s.shut()
		})
	}
}

// A batch that inflates to more than the log looks into is a matter of a setting, not damage: it stays, the partition
// stays online, and with the limit raised all is as it should be.
func TestBatchAboveTheInflatedLimitIsNotDamage(t *testing.T) {
	s := newShelf(t, vfs.NewMem())
	s.inflatedBytes = 5_000
	s.config.Rules.Recompress, s.config.Rules.Codec = true, batch.LZ4
	s.config.Compaction = Compaction{Compact: true}
	s.mustOpen()
	s.must(s.send(rec{"a", strings.Repeat("x", 10_000)}, rec{"a", "1"}))
	s.must(s.send(rec{"b", "1"}))
	s.roll()
	s.sync()
	before := s.layout()
	if _, err := s.p.OffsetForTimestamp(s.nowMs(), false); !errors.Is(err, batch.ErrTooLarge) ||
		errors.Is(err, files.ErrDamaged) {
		t.Fatal(err)
	}
	if _, err := s.p.Compact(context.Background(), s.nowMs(), 1<<20); !errors.Is(err, batch.ErrTooLarge) {
		t.Fatal(err)
	}
	s.expect("with the limit", before)
	s.shut()
	s.inflatedBytes = 0
	s.mustOpen()
	if at, err := s.p.OffsetForTimestamp(s.nowMs(), false); err != nil || at.Offset != 0 {
		t.Fatalf("%+v, %v", at, err)
	}
	s.compact()
	s.expect("without", fmt.Sprintf("0-1 lz4 1:a=1@%d\n2-2 lz4 2:b=1@%d\n", s.nowMs(), s.nowMs()))
	s.shut()
}
