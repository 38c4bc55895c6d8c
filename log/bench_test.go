package log_test

import (
	"bytes"
	"fmt"
	"testing"

	"once/durability"
	"once/internal/vfs"
	"once/log"
	"once/log/batch"
	"once/log/logtest"
)

// benchBatch is a batch of records of a value size, one of 1000 in the larger case.
func benchBatch(records, valueBytes int) []byte {
	rs := make([]batch.Record, records)
	for i := range rs {
		rs[i].Value = bytes.Repeat([]byte{'v'}, valueBytes)
	}
	return batch.Build(batch.BuildOptions{ProducerID: -1, ProducerEpoch: -1, BaseSequence: -1, TimestampMs: 1}, rs...)
}

func benchLog(b *testing.B, valueBytes, records int) (*log.Log, []byte, batch.Header) {
	b.Helper()
	dir := b.TempDir()
	l, _, err := log.Open(log.Options{FS: vfs.OS, Dir: dir + "/bench-0", TopicID: logtest.Topic}, durability.Recovery{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { l.Close() })
	raw := benchBatch(records, valueBytes)
	h, err := batch.Verify(raw)
	if err != nil {
		b.Fatal(err)
	}
	return l, raw, h
}

func appendAt(b *testing.B, l *log.Log, raw []byte, h *batch.Header) {
	h.BaseOffset = l.EndOffset()
	batch.SetOffsetAndEpoch(raw, h.BaseOffset, 0)
	if err := l.Append(raw, *h); err != nil {
		b.Fatal(err)
	}
}

func BenchmarkAppend(b *testing.B) {
	for _, c := range []struct{ valueBytes, records int }{{100, 1}, {1024, 1}, {100, 1000}, {1024, 1000}} {
		b.Run(fmt.Sprintf("%dB x %d", c.valueBytes, c.records), func(b *testing.B) {
			l, raw, h := benchLog(b, c.valueBytes, c.records)
			l.SetConfig(log.Config{SegmentBytes: 64 << 20})
			b.SetBytes(int64(len(raw)))
			b.ReportAllocs()
			for b.Loop() {
				appendAt(b, l, raw, &h)
				if len(l.Segments()) > 4 { // keep the disk small
					l.SetStartOffset(l.EndOffset())
					l.DeleteSegments()
				}
			}
		})
	}
}

func BenchmarkLocateAtTail(b *testing.B) {
	for _, behind := range []int64{1, 10, 1000} {
		b.Run(fmt.Sprintf("%d behind", behind), func(b *testing.B) {
			l, raw, h := benchLog(b, 100, 1)
			for range 2000 {
				appendAt(b, l, raw, &h)
			}
			b.ReportAllocs()
			for b.Loop() {
				s, err := l.Locate(l.EndOffset()-behind, l.EndOffset(), log.Budget{MaxBytes: 1 << 20, AtLeastOne: true})
				if err != nil || s.SizeBytes() == 0 {
					b.Fatal(err)
				}
				s.Release()
			}
		})
	}
}

func BenchmarkLocateBelowLimit(b *testing.B) {
	l, raw, h := benchLog(b, 100, 1)
	for range 20000 {
		appendAt(b, l, raw, &h)
	}
	b.ReportAllocs()
	for b.Loop() {
		s, err := l.Locate(5003, 15007, log.Budget{MaxBytes: 1 << 19, AtLeastOne: true})
		if err != nil || s.SizeBytes() == 0 {
			b.Fatal(err)
		}
		s.Release()
	}
}
