package batch

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

const testNowMs = 1_795_336_840_000

var allCodecs = []Codec{None, Gzip, Snappy, LZ4, Zstd}

// testRules are Kafka's defaults with a limit that bombs reach soon.
func testRules() *Rules {
	r := DefaultRules()
	r.MaxInflatedBytes = 1 << 20
	return &r
}

// golden reads a batch as Apache Kafka 4.3.1 sent it in a Fetch response.
func golden(t testing.TB, name string) []byte {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("testdata", name+".bin"))
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// asProduced turns a stored batch into what its producer had sent.
func asProduced(raw []byte) []byte {
	raw = bytes.Clone(raw)
	SetOffsetAndEpoch(raw, 0, -1)
	return raw
}

// change edits a copy of a batch and makes length and CRC right again.
func change(raw []byte, edit func(b []byte)) []byte {
	raw = bytes.Clone(raw)
	edit(raw)
	seal(raw)
	return raw
}

func setHeader(raw []byte, edit func(h *Header)) []byte {
	return change(raw, func(b []byte) {
		h := readHeader(b)
		edit(&h)
		h.put(b)
	})
}

// ofBytes is a batch of count records whose record bytes are exactly these, compressed or not.
func ofBytes(codec Codec, count int32, records []byte) []byte {
	raw := make([]byte, HeaderSizeBytes)
	Header{
		LeaderEpoch: -1, Magic: Magic, Attributes: int16(codec), LastOffsetDelta: count - 1,
		BaseTimestampMs: testNowMs, MaxTimestampMs: testNowMs,
		ProducerID: -1, ProducerEpoch: -1, BaseSequence: -1, RecordCount: count,
	}.put(raw)
	raw = append(raw, records...)
	seal(raw)
	return raw
}

func deflated(t testing.TB, codec Codec, plain []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := newDeflater(codec, encoderLevel(codec, 0))
	if err != nil {
		t.Fatal(err)
	}
	w.Reset(&out)
	if _, err := w.Write(plain); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// compressed gives an uncompressed batch a codec.
func compressed(t testing.TB, codec Codec, raw []byte) []byte {
	t.Helper()
	payload := deflated(t, codec, raw[HeaderSizeBytes:])
	return change(append(bytes.Clone(raw[:HeaderSizeBytes]), payload...), func(b []byte) {
		b[posAttributes+1] |= byte(codec)
	})
}

func unsequenced() BuildOptions {
	return BuildOptions{ProducerID: -1, ProducerEpoch: -1, BaseSequence: NoSequence, TimestampMs: testNowMs,
		LeaderEpoch: -1}
}

// plainBatch has n records k0=v0, k1=v1 …, a ms apart.
func plainBatch(n int) []byte {
	var records []Record
	for i := range n {
		records = append(records, Record{
			TimestampDeltaMs: int64(i), Key: fmt.Appendf(nil, "k%d", i), Value: fmt.Appendf(nil, "v%d", i)})
	}
	return Build(unsequenced(), records...)
}

// recordBytes is a record's wire form from its fields after the length.
func recordBytes(body ...byte) []byte {
	return append(binary.AppendVarint(nil, int64(len(body))), body...)
}

func collect(raw []byte, maxInflatedBytes int) ([]Record, error) {
	var all []Record
	for r, err := range Records(raw, maxInflatedBytes) {
		if err != nil {
			return all, err
		}
		r.Key, r.Value = bytes.Clone(r.Key), bytes.Clone(r.Value)
		for i := range r.Headers {
			r.Headers[i].Value = bytes.Clone(r.Headers[i].Value)
		}
		all = append(all, r)
	}
	return all, nil
}
