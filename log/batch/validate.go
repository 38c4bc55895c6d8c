package batch

import (
	"encoding/binary"
	"fmt"
	"math"
)

// DefaultMaxInflatedBytes bounds what one batch may inflate to: enough for a hundredfold of the default
// max.message.bytes, and no burden for a machine that runs a broker.
const DefaultMaxInflatedBytes = 100 << 20

// MaxRecordErrors bounds RecordErrors.Records. A batch may hold millions of records and an answer may not.
const MaxRecordErrors = 1000

// minLengthBytes is the length field of the smallest batch of any format, Kafka's magic 0.
const minLengthBytes = 14

// Rules are what a topic and a request demand of a batch. Each field is taken as it is; DefaultRules
// has Kafka's defaults.
type Rules struct {
	MaxMessageBytes      int32 // of the whole batch: max.message.bytes
	MaxRecordBytes       int32 // of one record of a compressed batch: max.decompressed.message.bytes; 0 for any
	SegmentBytes         int32 // segment.bytes
	Compacted            bool  // cleanup.policy contains compact: keys are needed
	LogAppendTime        bool  // message.timestamp.type
	TimestampBeforeMaxMs int64 // message.timestamp.before.max.ms
	TimestampAfterMaxMs  int64 // message.timestamp.after.max.ms
	MaxInflatedBytes     int   // of all records together, when they are compressed
	ProduceVersion       int16 // of the request

	// Recompress, when set, makes Prepare bring batches to Codec: compression.type is not "producer".
	Recompress bool
	Codec      Codec
	Level      int // of Codec, as in compression.*.level; 0 is its default
}

// Kafka's defaults of the configurations that DefaultRules holds.
const (
	defaultMaxMessageBytes     = 1<<20 + lengthPrefixBytes
	defaultSegmentBytes        = 1 << 30
	defaultTimestampAfterMaxMs = 3600_000
)

// DefaultRules are those of a topic with Kafka's default configuration (spec: log 11).
func DefaultRules() Rules {
	return Rules{
		MaxMessageBytes:      defaultMaxMessageBytes,
		SegmentBytes:         defaultSegmentBytes,
		TimestampBeforeMaxMs: math.MaxInt64,
		TimestampAfterMaxMs:  defaultTimestampAfterMaxMs,
		MaxInflatedBytes:     DefaultMaxInflatedBytes,
		ProduceVersion:       13,
	}
}

// RecordErrors refuses a batch for the sake of some of its records (KIP-467). It wraps
// ErrInvalidTimestamp if any record failed on time, else ErrInvalidRecord.
type RecordErrors struct {
	Err     error
	Records []RecordError // the first MaxRecordErrors of them, in order
	Total   int
}

// RecordError says what is wrong with one record.
type RecordError struct {
	Index   int32 // within the batch
	Message string
}

// Error is the message for the whole partition.
func (e *RecordErrors) Error() string {
	return fmt.Sprintf("%v: %d of the batch's records are refused, the first because: %s",
		e.Err, e.Total, e.Records[0].Message)
}

// Unwrap returns Err.
func (e *RecordErrors) Unwrap() error { return e.Err }

// Validate checks the records field of a partition in a Produce request, in Kafka's order (spec: log
// 4.2, rows 5, 6, 13 to 18 and 20), and returns the header as it is to be stored. It writes to raw only
// if all is well: the true maximum timestamp, or with LogAppendTime nowMs and its attribute, and then a
// new CRC.
//
// A compressed batch whose records are not numbered 0, 1, 2 … is ErrInvalidRecord here; Prepare repairs
// it. Errors: ErrInvalidRecord, ErrUnsupportedCompression, ErrTooLarge, ErrCorrupt, *RecordErrors,
// ErrRecordListTooLarge.
func Validate(raw []byte, r *Rules, nowMs int64) (Header, error) {
	h, found, err := inspect(raw, r, nowMs)
	if err != nil {
		return Header{}, err
	}
	if h.Codec() != None && !found.inOrder {
		return Header{}, fmt.Errorf("%w: records are not numbered from 0 on", ErrInvalidRecord)
	}
	return storeInPlace(raw, h, found, r, nowMs)
}

// inspect is all of the validation that only reads.
func inspect(raw []byte, r *Rules, nowMs int64) (Header, findings, error) {
	if err := checkEnvelope(raw); err != nil {
		return Header{}, findings{}, err
	}
	h, err := checkHeader(raw, r)
	if err != nil {
		return Header{}, findings{}, err
	}
	found, err := checkRecords(raw, h, r, nowMs)
	return h, found, err
}

// checkEnvelope wants exactly one batch of version 2 (log 4.2 row 5).
func checkEnvelope(raw []byte) error {
	if len(raw) <= posMagic {
		return fmt.Errorf("%w: the partition has no batch", ErrInvalidRecord)
	}
	length := int32(binary.BigEndian.Uint32(raw[posLength:]))
	magic := int8(raw[posMagic])
	if length < minLengthBytes {
		return fmt.Errorf("%w: length field says %d", ErrCorrupt, length)
	}
	if magic < 0 || magic > Magic {
		return fmt.Errorf("%w: magic %d", ErrCorrupt, magic)
	}
	if magic != Magic {
		return fmt.Errorf("%w: batches of magic %d are no longer written", ErrInvalidRecord, magic)
	}
	switch size := lengthPrefixBytes + int64(length); {
	case size > int64(len(raw)):
		return fmt.Errorf("%w: the batch has %d bytes and says %d", ErrInvalidRecord, len(raw), size)
	case size < int64(len(raw)):
		return fmt.Errorf("%w: more than one batch, or bytes after it", ErrInvalidRecord)
	}
	return nil
}

// checkHeader checks what can be known without looking at records (log 4.2 rows 6 and 13 to 16).
func checkHeader(raw []byte, r *Rules) (Header, error) {
	var h Header
	if len(raw) >= HeaderSizeBytes {
		h = readHeader(raw)
		if c := h.Codec(); !c.isKnown() || c == Zstd && r.ProduceVersion < 7 {
			return Header{}, fmt.Errorf("%w: %v in Produce version %d", ErrUnsupportedCompression, c, r.ProduceVersion)
		}
	}
	if o := int64(binary.BigEndian.Uint64(raw)); o != 0 {
		return Header{}, fmt.Errorf("%w: base offset of the batch is %d, not 0", ErrInvalidRecord, o)
	}
	if len(raw) > int(r.MaxMessageBytes) {
		return Header{}, tooLarge(len(raw), r)
	}
	if len(raw) < HeaderSizeBytes {
		return Header{}, fmt.Errorf("%w: %d bytes are too few for a header", ErrCorrupt, len(raw))
	}
	if sum := checksum(raw); sum != h.CRC {
		return Header{}, fmt.Errorf("%w: stored CRC %08x, computed %08x", ErrCorrupt, h.CRC, sum)
	}
	switch {
	case h.LastOffsetDelta < 0:
		return Header{}, fmt.Errorf("%w: last offset delta %d", ErrInvalidRecord, h.LastOffsetDelta)
	case h.RecordCount <= 0:
		return Header{}, fmt.Errorf("%w: %d records", ErrInvalidRecord, h.RecordCount)
	case int64(h.LastOffsetDelta)+1 != int64(h.RecordCount):
		return Header{}, fmt.Errorf("%w: %d records, but last offset delta %d", ErrInvalidRecord, h.RecordCount,
			h.LastOffsetDelta)
	case h.IsControl():
		return Header{}, fmt.Errorf("%w: clients may not write control records", ErrInvalidRecord)
	case h.HasProducer() && h.BaseSequence < 0:
		return Header{}, fmt.Errorf("%w: base sequence %d with a producer ID", ErrInvalidRecord, h.BaseSequence)
	case h.HasProducer() && h.ProducerEpoch < 0:
		return Header{}, fmt.Errorf("%w: producer epoch %d with a producer ID", ErrInvalidRecord, h.ProducerEpoch)
	case h.IsTransactional() && !h.HasProducer():
		return Header{}, fmt.Errorf("%w: transactional batch without a producer ID", ErrInvalidRecord)
	}
	return h, nil
}

// CheckSize refuses a batch that is to be stored as it is and has more than max.message.bytes or segment.bytes.
func (r *Rules) CheckSize(sizeBytes int) error {
	if sizeBytes > int(r.MaxMessageBytes) {
		return tooLarge(sizeBytes, r)
	}
	if sizeBytes > int(r.SegmentBytes) {
		return fmt.Errorf("%w: the batch has %d bytes, segment.bytes is %d", ErrRecordListTooLarge, sizeBytes, r.SegmentBytes)
	}
	return nil
}

func tooLarge(sizeBytes int, r *Rules) error {
	return fmt.Errorf("%w: the batch has %d bytes, max.message.bytes is %d", ErrTooLarge, sizeBytes, r.MaxMessageBytes)
}

// storeInPlace makes the last check, of the size that is stored (log 4.2 row 20), and brings the batch's
// timestamp fields to what the topic wants (spec: log 4.4).
func storeInPlace(raw []byte, h Header, found findings, r *Rules, nowMs int64) (Header, error) {
	if err := r.CheckSize(len(raw)); err != nil {
		return Header{}, err
	}
	maxTimestampMs := found.maxTimestampMs
	if r.LogAppendTime {
		maxTimestampMs = nowMs
	}
	if h.MaxTimestampMs == maxTimestampMs && h.IsLogAppendTime() == r.LogAppendTime {
		return h, nil
	}
	h.MaxTimestampMs = maxTimestampMs
	h.Attributes &= attrCodec | attrTransactional | attrControl | attrDeleteHorizon
	if r.LogAppendTime {
		h.Attributes |= attrLogAppendTime
	}
	h.put(raw)
	seal(raw)
	h.CRC = crcOf(raw)
	return h, nil
}
