package batch

import (
	"fmt"
	"testing"
)

// hundreds is a batch of 1000 records of 100 bytes, as the produce benchmark sends them.
func hundreds() []byte {
	records := make([]Record, 1000)
	for i := range records {
		records[i] = Record{Value: fmt.Appendf(nil, "%-100d", i*7919), TimestampDeltaMs: int64(i / 100)}
	}
	return Build(unsequenced(), records...)
}

func BenchmarkValidate(b *testing.B) {
	r := testRules()
	for _, codec := range allCodecs {
		b.Run(codec.String(), func(b *testing.B) {
			raw := compressed(b, codec, hundreds())
			b.ReportAllocs()
			for b.Loop() {
				if _, err := Validate(raw, r, testNowMs); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/1000, "ns/record")
		})
	}
}

func BenchmarkRecords(b *testing.B) {
	for _, codec := range []Codec{None, LZ4} {
		b.Run(codec.String(), func(b *testing.B) {
			raw := compressed(b, codec, hundreds())
			b.ReportAllocs()
			for b.Loop() {
				for _, err := range Records(raw, 1<<20) {
					if err != nil {
						b.Fatal(err)
					}
				}
			}
		})
	}
}

func BenchmarkBuild(b *testing.B) {
	o := unsequenced()
	records := []Record{{Key: make([]byte, 30), Value: make([]byte, 60)}}
	b.ReportAllocs()
	for b.Loop() {
		Build(o, records...)
	}
}

func BenchmarkBuildMarker(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		BuildMarker(Marker{ProducerID: 1000, Type: Commit, TimestampMs: testNowMs})
	}
}

func BenchmarkVerify(b *testing.B) {
	raw := hundreds()
	b.SetBytes(int64(len(raw)))
	for b.Loop() {
		if _, err := Verify(raw); err != nil {
			b.Fatal(err)
		}
	}
}
