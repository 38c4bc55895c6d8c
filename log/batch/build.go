package batch

import (
	"encoding/binary"
	"math/bits"

	"once/internal/invariant"
)

// BuildOptions are the header fields of a batch that this broker writes itself. For a batch without producer set
// ProducerID, ProducerEpoch and BaseSequence to -1.
type BuildOptions struct {
	BaseOffset    int64
	ProducerID    int64 // -1: none
	ProducerEpoch int16 // -1: none
	BaseSequence  int32 // -1: none, as in everything that coordinators write
	Transactional bool
	Control       bool
	TimestampMs   int64 // of every record, plus the record's own delta
	LeaderEpoch   int32
}

// Build makes an uncompressed batch with its CRC set. The records are numbered 0, 1, 2 … whatever their OffsetDelta
// says; there must be at least one. It checks no size limits.
func Build(o BuildOptions, records ...Record) []byte {
	invariant.Check(len(records) > 0, "a batch is built without records")
	size := HeaderSizeBytes
	maxDeltaMs := records[0].TimestampDeltaMs
	for i := range records {
		body := recordBodySize(&records[i], int32(i))
		size += varintSize(int64(body)) + body
		maxDeltaMs = max(maxDeltaMs, records[i].TimestampDeltaMs)
	}
	raw := make([]byte, HeaderSizeBytes, size)
	Header{
		BaseOffset:      o.BaseOffset,
		LeaderEpoch:     o.LeaderEpoch,
		Magic:           Magic,
		Attributes:      o.attributes(),
		LastOffsetDelta: int32(len(records) - 1),
		BaseTimestampMs: o.TimestampMs,
		MaxTimestampMs:  o.TimestampMs + maxDeltaMs,
		ProducerID:      o.ProducerID,
		ProducerEpoch:   o.ProducerEpoch,
		BaseSequence:    o.BaseSequence,
		RecordCount:     int32(len(records)),
	}.put(raw)
	for i := range records {
		raw = appendRecord(raw, &records[i], int32(i))
	}
	seal(raw)
	return raw
}

func (o BuildOptions) attributes() int16 {
	var a int16
	if o.Transactional {
		a |= attrTransactional
	}
	if o.Control {
		a |= attrControl
	}
	return a
}

// appendRecord writes one record as log 1.2 has it:
//
//	length:varint attributes:1 timestampDelta:varlong offsetDelta:varint
//	keyLen:varint key valueLen:varint value
//	headerCount:varint { keyLen:varint key valueLen:varint value }*
func appendRecord(b []byte, r *Record, offsetDelta int32) []byte {
	b = binary.AppendVarint(b, int64(recordBodySize(r, offsetDelta)))
	b = append(b, 0)
	b = binary.AppendVarint(b, r.TimestampDeltaMs)
	b = binary.AppendVarint(b, int64(offsetDelta))
	b = appendNullable(b, r.Key)
	b = appendNullable(b, r.Value)
	b = binary.AppendVarint(b, int64(len(r.Headers)))
	for i := range r.Headers {
		h := &r.Headers[i]
		b = binary.AppendVarint(b, int64(len(h.Key)))
		b = append(b, h.Key...)
		b = appendNullable(b, h.Value)
	}
	return b
}

func appendNullable(b, field []byte) []byte {
	if field == nil {
		return binary.AppendVarint(b, -1)
	}
	b = binary.AppendVarint(b, int64(len(field)))
	return append(b, field...)
}

// recordBodySize is the record's length field: everything after it.
func recordBodySize(r *Record, offsetDelta int32) int {
	size := 1 + varintSize(r.TimestampDeltaMs) + varintSize(int64(offsetDelta)) +
		nullableSize(r.Key) + nullableSize(r.Value) + varintSize(int64(len(r.Headers)))
	for i := range r.Headers {
		h := &r.Headers[i]
		size += varintSize(int64(len(h.Key))) + len(h.Key) + nullableSize(h.Value)
	}
	return size
}

func nullableSize(field []byte) int {
	if field == nil {
		return 1
	}
	return varintSize(int64(len(field))) + len(field)
}

func varintSize(v int64) int {
	zigzag := uint64(v)<<1 ^ uint64(v>>63)
	return (bits.Len64(zigzag|1) + 6) / 7
}
