package log

import (
	"bytes"
	"testing"

	"once/durability"
	"once/internal/vfs"
	"once/log/batch"
)

// fuzzed opens a log of one healthy sealed segment and one more, where one file has the given bytes,
// and uses everything that reads. Whatever the bytes are, it must neither panic nor read what is not
// there; errors are fine.
func fuzzed(t *testing.T, suffix string, data []byte, r durability.Recovery) {
	mem := vfs.NewMem()
	l, _, err := Open(Options{FS: mem, Dir: testDir, TopicID: testTopic, Config: Config{SegmentBytes: 600, IndexIntervalBytes: 100}}, durability.Recovery{})
	if err != nil {
		t.Fatal(err)
	}
	mustAdd(t, l, 8, 2)
	_ = l.AppendAborted(AbortedTxn{1, 2, 3, 4})
	_ = l.WriteSnapshot(l.EndOffset(), nil)
	last := l.list()[len(l.list())-1]
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	name := last.file(suffix)
	switch suffix {
	case TxnIndexSuffix:
		name = testDir + "/" + stem(0) + suffix
	case EpochCheckpointFile, TxnCheckpointFile, MetadataFile:
		name = testDir + "/" + suffix
	}
	if f, err := mem.Create(name); err == nil {
		f.Close()
	}
	mutate(t, mem, name, func([]byte) []byte { return data })
	l, _, err = Open(Options{FS: mem, Dir: testDir, TopicID: testTopic}, r)
	if err != nil {
		return
	}
	for offset := l.StartOffset(); offset < min(l.EndOffset(), l.StartOffset()+40); offset++ {
		if s, err := l.Locate(offset, l.EndOffset(), Budget{MaxBytes: 200, AtLeastOne: true}); err == nil {
			if _, err := s.ReadInto(nil); err != nil {
				t.Fatal(err)
			}
			s.Release()
		}
	}
	_ = l.Scan(0, l.EndOffset(), func(h batch.Header, raw []byte) error {
		if len(raw) != h.SizeBytes() {
			t.Fatal("part of a batch")
		}
		return nil
	})
	_, _, _ = l.OffsetForTimestamp(5000, l.EndOffset())
	_, _, _ = l.MaxTimestamp()
	_ = l.AbortedBetween(0, 1<<62)
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
}

func FuzzSegment(f *testing.F) {
	one, _ := makeBatch(10, 2, 5, 0)
	two, _ := makeBatch(12, 3, 6, 1)
	f.Add(append(bytes.Clone(one), two...), int64(10), false)
	f.Add(append(bytes.Clone(one), two[:50]...), int64(10), true)
	f.Add(make([]byte, 300), int64(16), false)
	f.Add(bytes.Repeat([]byte{0xff}, 100), int64(12), true)
	f.Fuzz(func(t *testing.T, data []byte, point int64, clean bool) {
		fuzzed(t, LogSuffix, data, durability.Recovery{RecoveryPoint: max(0, point), Clean: clean})
	})
}

func FuzzIndex(f *testing.F) {
	f.Add(encodeOffsets([]OffsetIndexEntry{{1, 100}, {3, 200}}), false)
	f.Add(encodeTimes([]TimeIndexEntry{{10, 1}, {20, 3}}), true)
	f.Add(bytes.Repeat([]byte{0, 0, 0, 1}, 20), false)
	f.Fuzz(func(t *testing.T, data []byte, times bool) {
		suffix := IndexSuffix
		if times {
			suffix = TimeIndexSuffix
		}
		fuzzed(t, suffix, data, durability.Recovery{})
		fuzzed(t, suffix, data, durability.Recovery{RecoveryPoint: 16, Clean: true})
	})
}

func FuzzTxnIndex(f *testing.F) {
	f.Add(encodeAborted([]AbortedTxn{{1, 2, 3, 4}}), false)
	f.Add(TxnCheckpoint{16, []TxnCheckpointSegment{{0, 1, 5}}}.encode(), true)
	f.Add([]byte("0\n99999999999 1\n0 4611686018427387904 00000000\n"), true)
	f.Fuzz(func(t *testing.T, data []byte, checkpoint bool) {
		name := TxnIndexSuffix
		if checkpoint {
			name = TxnCheckpointFile
		}
		fuzzed(t, name, data, durability.Recovery{RecoveryPoint: 16, Clean: true})
	})
}

func FuzzEpochCheckpoint(f *testing.F) {
	f.Add([]byte("0\n1\n0 0\n"))
	f.Add([]byte("0\n4000000000\n0 0\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if entries, err := DecodeEpochs(data); err == nil {
			if again, err := DecodeEpochs(encodeEpochs(entries)); err != nil || len(again) != len(entries) {
				t.Fatal(again, err)
			}
		}
		fuzzed(t, EpochCheckpointFile, data, durability.Recovery{RecoveryPoint: 16, Clean: true})
	})
}
