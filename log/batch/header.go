package batch

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
)

// HeaderSizeBytes is the length of a batch's fixed part, and so of the smallest possible batch.
const HeaderSizeBytes = 61

// lengthPrefixBytes are the bytes that LengthBytes does not count: base offset and the length itself.
const lengthPrefixBytes = 12

// Magic is the only batch format this broker reads or writes (KIP-98).
const Magic = 2

// Positions of the header's fields, all big-endian (spec: log 1):
//
//	 0 baseOffset:8           not under the CRC
//	 8 length:4               bytes that follow this field
//	12 leaderEpoch:4          not under the CRC
//	16 magic:1
//	17 crc:4                  CRC-32C of everything from 21 on
//	21 attributes:2           low byte: codec:3, LogAppendTime, transactional, control, delete horizon
//	23 lastOffsetDelta:4
//	27 baseTimestamp:8        the delete horizon instead, if its bit is set
//	35 maxTimestamp:8
//	43 producerID:8
//	51 producerEpoch:2
//	53 baseSequence:4
//	57 recordCount:4
//	61 records                one compressed stream, if there is a codec
const (
	posBaseOffset      = 0
	posLength          = 8
	posLeaderEpoch     = 12
	posMagic           = 16
	posCRC             = 17
	posAttributes      = 21
	posLastOffsetDelta = 23
	posBaseTimestamp   = 27
	posMaxTimestamp    = 35
	posProducerID      = 43
	posProducerEpoch   = 51
	posBaseSequence    = 53
	posRecordCount     = 57
)

const (
	attrCodec         = 0x07
	attrLogAppendTime = 0x08
	attrTransactional = 0x10
	attrControl       = 0x20
	attrDeleteHorizon = 0x40
)

// NoTimestampMs is the timestamp of a record or batch that has none.
const NoTimestampMs = -1

// NoSequence is the base sequence of a batch outside any producer's numbering, such as a marker.
const NoSequence = -1

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Header is the fixed part of a record batch. Offsets count records, times are Unix ms; -1 in
// ProducerID, ProducerEpoch, BaseSequence and the timestamps means none.
type Header struct {
	BaseOffset      int64
	LengthBytes     int32 // of what follows the length field: the whole batch less 12
	LeaderEpoch     int32
	Magic           int8
	CRC             uint32
	Attributes      int16
	LastOffsetDelta int32
	BaseTimestampMs int64
	MaxTimestampMs  int64
	ProducerID      int64
	ProducerEpoch   int16
	BaseSequence    int32
	RecordCount     int32
}

// ParseHeader reads the first 61 bytes of b. It returns ErrCorrupt when they are not there, when the
// format is not version 2, or when the announced length is shorter than a header. Nothing else is
// checked: neither that the rest of the batch is present nor the CRC.
func ParseHeader(b []byte) (Header, error) {
	if len(b) < HeaderSizeBytes {
		return Header{}, fmt.Errorf("%w: %d bytes are too few for a header", ErrCorrupt, len(b))
	}
	if m := int8(b[posMagic]); m != Magic {
		return Header{}, fmt.Errorf("%w: magic %d", ErrCorrupt, m)
	}
	h := readHeader(b)
	if h.LengthBytes < HeaderSizeBytes-lengthPrefixBytes {
		return Header{}, fmt.Errorf("%w: length field says %d", ErrCorrupt, h.LengthBytes)
	}
	return h, nil
}

// FindHeader returns the first position in b at which ParseHeader may find the header of a batch; -1 if there is none.
func FindHeader(b []byte) int {
	for i := 0; i+HeaderSizeBytes <= len(b); i++ {
		next := bytes.IndexByte(b[i+posMagic:], Magic)
		if next < 0 {
			break
		}
		i += next
		if _, err := ParseHeader(b[i:]); err == nil {
			return i
		}
	}
	return -1
}

// readHeader reads the fields of a header whose bytes are known to be there.
func readHeader(b []byte) Header {
	_ = b[HeaderSizeBytes-1]
	be := binary.BigEndian
	return Header{
		BaseOffset:      int64(be.Uint64(b[posBaseOffset:])),
		LengthBytes:     int32(be.Uint32(b[posLength:])),
		LeaderEpoch:     int32(be.Uint32(b[posLeaderEpoch:])),
		Magic:           int8(b[posMagic]),
		CRC:             be.Uint32(b[posCRC:]),
		Attributes:      int16(be.Uint16(b[posAttributes:])),
		LastOffsetDelta: int32(be.Uint32(b[posLastOffsetDelta:])),
		BaseTimestampMs: int64(be.Uint64(b[posBaseTimestamp:])),
		MaxTimestampMs:  int64(be.Uint64(b[posMaxTimestamp:])),
		ProducerID:      int64(be.Uint64(b[posProducerID:])),
		ProducerEpoch:   int16(be.Uint16(b[posProducerEpoch:])),
		BaseSequence:    int32(be.Uint32(b[posBaseSequence:])),
		RecordCount:     int32(be.Uint32(b[posRecordCount:])),
	}
}

// put writes the header to the first 61 bytes of b; the CRC as it is, see seal.
func (h Header) put(b []byte) {
	_ = b[HeaderSizeBytes-1]
	be := binary.BigEndian
	be.PutUint64(b[posBaseOffset:], uint64(h.BaseOffset))
	be.PutUint32(b[posLength:], uint32(h.LengthBytes))
	be.PutUint32(b[posLeaderEpoch:], uint32(h.LeaderEpoch))
	b[posMagic] = byte(h.Magic)
	be.PutUint32(b[posCRC:], h.CRC)
	be.PutUint16(b[posAttributes:], uint16(h.Attributes))
	be.PutUint32(b[posLastOffsetDelta:], uint32(h.LastOffsetDelta))
	be.PutUint64(b[posBaseTimestamp:], uint64(h.BaseTimestampMs))
	be.PutUint64(b[posMaxTimestamp:], uint64(h.MaxTimestampMs))
	be.PutUint64(b[posProducerID:], uint64(h.ProducerID))
	be.PutUint16(b[posProducerEpoch:], uint16(h.ProducerEpoch))
	be.PutUint32(b[posBaseSequence:], uint32(h.BaseSequence))
	be.PutUint32(b[posRecordCount:], uint32(h.RecordCount))
}

// SizeBytes is the size of the whole batch.
func (h Header) SizeBytes() int { return lengthPrefixBytes + int(h.LengthBytes) }

// LastOffset is the offset of the last record the batch was written with. Compaction may have removed
// that record; the range of the batch stays.
func (h Header) LastOffset() int64 { return h.BaseOffset + int64(h.LastOffsetDelta) }

// NextOffset is the offset after the batch.
func (h Header) NextOffset() int64 { return h.LastOffset() + 1 }

// LastSequence is the sequence number of the last record, wrapping after 2^31-1, or NoSequence.
func (h Header) LastSequence() int32 {
	if h.BaseSequence == NoSequence {
		return NoSequence
	}
	return IncrementSequence(h.BaseSequence, h.LastOffsetDelta)
}

// Codec is the compression of the records. It may be one this broker does not know.
func (h Header) Codec() Codec { return Codec(h.Attributes & attrCodec) }

// IsTransactional says whether the batch belongs to a transaction, as data or as its marker.
func (h Header) IsTransactional() bool { return h.Attributes&attrTransactional != 0 }

// IsControl says whether the batch holds a control record, which no consumer hands to its user.
func (h Header) IsControl() bool { return h.Attributes&attrControl != 0 }

// IsLogAppendTime says whether every record has the batch's MaxTimestampMs as its timestamp.
func (h Header) IsLogAppendTime() bool { return h.Attributes&attrLogAppendTime != 0 }

// HasDeleteHorizon says whether BaseTimestampMs is the time from which compaction may remove the
// batch's tombstones or marker (KIP-534).
func (h Header) HasDeleteHorizon() bool { return h.Attributes&attrDeleteHorizon != 0 }

// HasProducer says whether the batch is of an idempotent or transactional producer, or is its marker.
func (h Header) HasProducer() bool { return h.ProducerID >= 0 }

// TimestampMs is the timestamp of a record of this batch; NoTimestampMs if it has none.
func (h Header) TimestampMs(r Record) int64 {
	if h.IsLogAppendTime() {
		return h.MaxTimestampMs
	}
	return h.BaseTimestampMs + r.TimestampDeltaMs
}

// Verify checks one whole batch: raw is exactly as long as its header says and the CRC is right. It
// returns ErrCorrupt otherwise. Records and their compression are not looked at.
func Verify(raw []byte) (Header, error) {
	h, err := ParseHeader(raw)
	if err != nil {
		return Header{}, err
	}
	if h.SizeBytes() != len(raw) {
		return Header{}, fmt.Errorf("%w: header says %d bytes, there are %d", ErrCorrupt, h.SizeBytes(), len(raw))
	}
	if err := h.verify(checksum(raw)); err != nil {
		return Header{}, err
	}
	return h, nil
}

func (h Header) verify(sum uint32) error {
	if sum != h.CRC {
		return fmt.Errorf("%w: stored CRC %08x, computed %08x", ErrCorrupt, h.CRC, sum)
	}
	return nil
}

// Checksum computes the CRC of a batch that passes in pieces. The zero value is ready for the first.
type Checksum struct {
	sum  uint32
	seen int // bytes
}

// Add takes the next piece of the batch.
func (c *Checksum) Add(piece []byte) {
	uncovered := min(max(posAttributes-c.seen, 0), len(piece)) // what comes before is not covered
	c.seen += len(piece)
	c.sum = crc32.Update(c.sum, castagnoli, piece[uncovered:])
}

// Verify is ErrCorrupt when the batch is not the one that the header was written for.
func (c *Checksum) Verify(h Header) error { return h.verify(c.sum) }

// SetOffsetAndEpoch gives a batch its place in a log. Both fields lie outside the CRC, so the rest of
// the bytes stays as it was validated.
func SetOffsetAndEpoch(raw []byte, baseOffset int64, leaderEpoch int32) {
	binary.BigEndian.PutUint64(raw[posBaseOffset:], uint64(baseOffset))
	binary.BigEndian.PutUint32(raw[posLeaderEpoch:], uint32(leaderEpoch))
}

func checksum(raw []byte) uint32 { return crc32.Checksum(raw[posAttributes:], castagnoli) }

// seal sets length and CRC of a batch whose other bytes are final.
func seal(raw []byte) {
	binary.BigEndian.PutUint32(raw[posLength:], uint32(len(raw)-lengthPrefixBytes))
	binary.BigEndian.PutUint32(raw[posCRC:], checksum(raw))
}
