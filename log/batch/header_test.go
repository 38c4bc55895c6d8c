package batch

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math"
	"testing"
)

func TestHeaderReadsEveryFieldOfACapturedBatch(t *testing.T) {
	h, err := Verify(golden(t, "transactional"))
	if err != nil {
		t.Fatal(err)
	}
	want := Header{
		BaseOffset: 0, LengthBytes: 61, LeaderEpoch: 0, Magic: 2, CRC: h.CRC, Attributes: 0x10,
		LastOffsetDelta: 0, BaseTimestampMs: h.BaseTimestampMs, MaxTimestampMs: h.BaseTimestampMs,
		ProducerID: h.ProducerID, ProducerEpoch: 0, BaseSequence: 0, RecordCount: 1,
	}
	if h != want {
		t.Errorf("got %+v, want %+v", h, want)
	}
	if !h.IsTransactional() || h.IsControl() || h.IsLogAppendTime() || h.HasDeleteHorizon() || !h.HasProducer() ||
		h.Codec() != None {
		t.Errorf("attributes %x are misread", h.Attributes)
	}
	if h.SizeBytes() != 73 || h.LastOffset() != 0 || h.NextOffset() != 1 {
		t.Errorf("size %d, last %d, next %d", h.SizeBytes(), h.LastOffset(), h.NextOffset())
	}
}

func TestHeaderSurvivesPutAndParse(t *testing.T) {
	want := Header{
		BaseOffset: 1 << 40, LengthBytes: 49, LeaderEpoch: 7, Magic: 2, CRC: 0xDEADBEEF, Attributes: 0x7C,
		LastOffsetDelta: 9, BaseTimestampMs: 1, MaxTimestampMs: 2, ProducerID: 1 << 41, ProducerEpoch: 32767,
		BaseSequence: math.MaxInt32, RecordCount: 10,
	}
	var b [HeaderSizeBytes]byte
	want.put(b[:])
	if got, err := ParseHeader(b[:]); err != nil || got != want {
		t.Errorf("got %+v, %v; want %+v", got, err, want)
	}
	if want.Codec() != Zstd || !want.IsLogAppendTime() || !want.IsTransactional() || !want.IsControl() ||
		!want.HasDeleteHorizon() {
		t.Errorf("attributes %x are misread", want.Attributes)
	}
}

func TestVerifyRefusesDamage(t *testing.T) {
	raw := golden(t, "franz-none")
	for at := range raw {
		switch {
		case at < 8, at >= 12 && at < 16:
			continue // base offset and leader epoch are outside the CRC
		}
		bad := bytes.Clone(raw)
		bad[at] ^= 0x10
		if _, err := Verify(bad); !errors.Is(err, ErrCorrupt) {
			t.Errorf("byte %d flipped: got %v", at, err)
		}
	}
	for _, bad := range [][]byte{nil, raw[:60], raw[:len(raw)-1], append(bytes.Clone(raw), 0)} {
		if _, err := Verify(bad); !errors.Is(err, ErrCorrupt) {
			t.Errorf("%d of %d bytes: got %v", len(bad), len(raw), err)
		}
	}
	longer := append(bytes.Clone(raw), 0)
	binary.BigEndian.PutUint32(longer[posCRC:], checksum(longer))
	if _, err := Verify(longer); !errors.Is(err, ErrCorrupt) {
		t.Errorf("a byte more, under the CRC: got %v", err)
	}
	short := bytes.Clone(raw)
	binary.BigEndian.PutUint32(short[posLength:], HeaderSizeBytes-lengthPrefixBytes-1)
	if _, err := ParseHeader(short); !errors.Is(err, ErrCorrupt) {
		t.Errorf("length field of 48: got %v", err)
	}
}

// The next version of the format must not be taken for this one.
func TestParseHeaderRefusesOtherMagic(t *testing.T) {
	for _, magic := range []byte{0, 1, 3, 255} {
		raw := change(plainBatch(1), func(b []byte) { b[posMagic] = magic })
		if _, err := ParseHeader(raw); !errors.Is(err, ErrCorrupt) {
			t.Errorf("magic %d: got %v", magic, err)
		}
	}
}

func TestSetOffsetAndEpochKeepsTheCRC(t *testing.T) {
	raw := golden(t, "java-lz4")
	SetOffsetAndEpoch(raw, 1<<33, 12)
	h, err := Verify(raw)
	if err != nil || h.BaseOffset != 1<<33 || h.LeaderEpoch != 12 {
		t.Errorf("got %+v, %v", h, err)
	}
	if h.LastOffset() != 1<<33+29 {
		t.Errorf("last offset %d", h.LastOffset())
	}
}

func TestSequencesWrapToZero(t *testing.T) {
	for _, c := range []struct{ s, n, want int32 }{
		{0, 0, 0}, {5, 3, 8}, {math.MaxInt32, 0, math.MaxInt32}, {math.MaxInt32, 1, 0},
		{math.MaxInt32 - 1, 1, math.MaxInt32}, {math.MaxInt32 - 10, 20, 9}, {math.MaxInt32, math.MaxInt32, math.MaxInt32 - 1},
	} {
		if got := IncrementSequence(c.s, c.n); got != c.want {
			t.Errorf("%d + %d = %d, want %d", c.s, c.n, got, c.want)
		}
		if got := DecrementSequence(c.want, c.n); got != c.s {
			t.Errorf("%d - %d = %d, want %d", c.want, c.n, got, c.s)
		}
	}
	// idempotence 6
	if got := (Header{BaseSequence: 2147483637, LastOffsetDelta: 20}).LastSequence(); got != 9 {
		t.Errorf("last sequence %d, want 9", got)
	}
	if got := (Header{BaseSequence: NoSequence, LastOffsetDelta: 20}).LastSequence(); got != NoSequence {
		t.Errorf("last sequence %d without a base", got)
	}
}

func TestRecordTimestampIsTheBatchsWithLogAppendTime(t *testing.T) {
	h := Header{BaseTimestampMs: 100, MaxTimestampMs: 150}
	if got := h.TimestampMs(Record{TimestampDeltaMs: -7}); got != 93 {
		t.Errorf("CreateTime: %d", got)
	}
	h.Attributes = attrLogAppendTime
	if got := h.TimestampMs(Record{TimestampDeltaMs: -7}); got != 150 {
		t.Errorf("LogAppendTime: %d", got)
	}
}
