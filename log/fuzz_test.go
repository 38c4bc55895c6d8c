package log_test

import (
	"bytes"
	"testing"

	"once/durability"
	"once/internal/vfs"
	"once/log"
	"once/log/batch"
	"once/log/logtest"
)

// fuzzed opens a log of one healthy sealed segment and one more, where one file has the given bytes,
// and uses everything that reads. Whatever the bytes are, it must neither panic nor read what is not
// there; errors are fine.
func fuzzed(t *testing.T, suffix string, data []byte, r durability.Recovery) {
	mem := vfs.NewMem()
	l, _, err := log.Open(log.Options{FS: mem, Dir: logtest.Dir, TopicID: logtest.Topic,
		Config: log.Config{SegmentBytes: 600, IndexIntervalBytes: 100}}, durability.Recovery{})
	if err != nil {
		t.Fatal(err)
	}
	logtest.MustAdd(t, l, 8, 2)
	_ = l.AppendAborted(log.AbortedTxn{1, 2, 3, 4})
	_ = l.WriteSnapshot(l.EndOffset(), nil)
	last := l.Segments()[len(l.Segments())-1]
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	name := last.File(suffix)
	switch suffix {
	case log.TxnIndexSuffix:
		name = logtest.Dir + "/" + log.FileName(0, suffix)
	case log.EpochCheckpointFile, log.TxnCheckpointFile, log.MetadataFile:
		name = logtest.Dir + "/" + suffix
	}
	if f, err := mem.Create(name); err == nil {
		f.Close()
	}
	logtest.Mutate(t, mem, name, func([]byte) []byte { return data })
	l, _, err = log.Open(log.Options{FS: mem, Dir: logtest.Dir, TopicID: logtest.Topic}, r)
	if err != nil {
		return
	}
	for offset := l.StartOffset(); offset < min(l.EndOffset(), l.StartOffset()+40); offset++ {
		if s, err := l.Locate(offset, l.EndOffset(), log.Budget{MaxBytes: 200, AtLeastOne: true}); err == nil {
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
	one, _ := logtest.MakeBatch(10, 2, 5, 0)
	two, _ := logtest.MakeBatch(12, 3, 6, 1)
	f.Add(append(bytes.Clone(one), two...), int64(10), false)
	f.Add(append(bytes.Clone(one), two[:50]...), int64(10), true)
	f.Add(make([]byte, 300), int64(16), false)
	f.Add(bytes.Repeat([]byte{0xff}, 100), int64(12), true)
	f.Fuzz(func(t *testing.T, data []byte, point int64, clean bool) {
		fuzzed(t, log.LogSuffix, data, durability.Recovery{RecoveryPoint: max(0, point), Clean: clean})
	})
}

func FuzzIndex(f *testing.F) {
	f.Add(log.EncodeOffsets([]log.OffsetIndexEntry{{1, 100}, {3, 200}}), false)
	f.Add(log.EncodeTimes([]log.TimeIndexEntry{{10, 1}, {20, 3}}), true)
	f.Add(bytes.Repeat([]byte{0, 0, 0, 1}, 20), false)
	f.Fuzz(func(t *testing.T, data []byte, times bool) {
		suffix := log.IndexSuffix
		if times {
			suffix = log.TimeIndexSuffix
		}
		fuzzed(t, suffix, data, durability.Recovery{})
		fuzzed(t, suffix, data, durability.Recovery{RecoveryPoint: 16, Clean: true})
	})
}

func FuzzTxnIndex(f *testing.F) {
	f.Add(log.EncodeAborted([]log.AbortedTxn{{1, 2, 3, 4}}), false)
	f.Add(log.TxnCheckpoint{16, []log.TxnCheckpointSegment{{0, 1, 5}}}.Encode(), true)
	f.Add([]byte("0\n99999999999 1\n0 4611686018427387904 00000000\n"), true)
	f.Fuzz(func(t *testing.T, data []byte, checkpoint bool) {
		name := log.TxnIndexSuffix
		if checkpoint {
			name = log.TxnCheckpointFile
		}
		fuzzed(t, name, data, durability.Recovery{RecoveryPoint: 16, Clean: true})
	})
}

func FuzzEpochCheckpoint(f *testing.F) {
	f.Add([]byte("0\n1\n0 0\n"))
	f.Add([]byte("0\n4000000000\n0 0\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if entries, err := log.DecodeEpochs(data); err == nil {
			if again, err := log.DecodeEpochs(log.EncodeEpochs(entries)); err != nil || len(again) != len(entries) {
				t.Fatal(again, err)
			}
		}
		fuzzed(t, log.EpochCheckpointFile, data, durability.Recovery{RecoveryPoint: 16, Clean: true})
	})
}
