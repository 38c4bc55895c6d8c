package batch

import (
	"fmt"
	"testing"
)

// keyed is a batch of 1000 records of 100 bytes as a compacted topic has them: keys, and values that
// compress about as well as JSON does.
func keyed() []byte {
	records := make([]Record, 1000)
	for i := range records {
		records[i] = Record{
			OffsetDelta: int32(i), TimestampDeltaMs: int64(i / 100),
			Key: fmt.Appendf(nil, "customer-%07d", i*7919%1000),
			Value: fmt.Appendf(nil, `{"id":%07d,"balance":%09d,"state":"%08x","note":"none"%22s}`, i*7919, i*104729,
				uint32(i)*2654435761, ""),
		}
	}
	return Build(unsequenced(), records...)
}

// Compaction: every other record stays.
func BenchmarkFilter(b *testing.B) {
	for _, codec := range allCodecs {
		b.Run(codec.String(), func(b *testing.B) {
			raw := compressed(b, codec, keyed())
			b.SetBytes(int64(len(keyed())))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Filter(raw, 1<<20, -1, func(r Record) bool { return r.OffsetDelta%2 == 0 }); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// Compaction of what a slow producer sent: batches of one record.
func BenchmarkFilterSmall(b *testing.B) {
	for _, codec := range allCodecs {
		b.Run(codec.String(), func(b *testing.B) {
			raw := compressed(b, codec, plainBatch(1))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Filter(raw, 1<<20, -1, func(Record) bool { return true }); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// A topic with a compression.type of its own.
func BenchmarkPrepare(b *testing.B) {
	for _, codec := range allCodecs[1:] {
		b.Run(codec.String(), func(b *testing.B) {
			r := testRules()
			r.Recompress, r.Codec = true, codec
			raw := keyed()
			b.SetBytes(int64(len(raw)))
			b.ReportAllocs()
			for b.Loop() {
				if _, _, err := Prepare(raw, r, testNowMs); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
