package batch

import (
	"encoding/binary"
	"fmt"
	"math"
)

// Prepare is Validate for topics that also care how a batch is compressed (spec: log 2). It returns raw
// itself, changed as Validate does, whenever its records can stay as they are. Else it returns a new
// batch: in the codec of the rules, if they name one, and with its records numbered from 0 on. Producer,
// sequence and the transactional attribute are kept. Errors are those of Validate; the new batch is
// measured as well (log 4.2 rows 19 and 20).
func Prepare(raw []byte, r *Rules, nowMs int64) ([]byte, Header, error) {
	h, found, err := inspect(raw, r, nowMs)
	if err != nil {
		return nil, Header{}, err
	}
	source, target := h.Codec(), h.Codec()
	if r.Recompress {
		target = r.Codec
	}
	// Kafka does not check the numbering of records that were and stay uncompressed.
	if source != target || source != None && !found.inOrder {
		if raw, err = renumber(raw, h, target, r); err != nil {
			return nil, Header{}, err
		}
		h = readHeader(raw)
	}
	h, err = storeInPlace(raw, h, found, r, nowMs)
	if err != nil {
		return nil, Header{}, err
	}
	return raw, h, nil
}

// renumber writes the batch anew with offset deltas 0, 1, 2 …
func renumber(raw []byte, h Header, target Codec, r *Rules) ([]byte, error) {
	w, err := newRewriter(target, r.Level, int(r.MaxMessageBytes), len(raw))
	if err != nil {
		return nil, err
	}
	defer w.release()
	for rec, err := range Records(raw, r.MaxInflatedBytes) {
		if err != nil {
			return nil, err
		}
		if at := h.BaseTimestampMs + rec.TimestampDeltaMs; at < NoTimestampMs {
			// Kafka accepts such a timestamp in a batch that stays as it is, and fails inside on one that it rewrites.
			return nil, fmt.Errorf("%w: record %d is of %d", ErrInvalidTimestamp, w.count, at)
		}
		rec.OffsetDelta = w.count
		if err := w.add(&rec); err != nil {
			return nil, err
		}
	}
	h.Attributes &= attrLogAppendTime | attrTransactional
	return w.finish(h)
}

// Filter returns a batch with only the records that keep accepts, for compaction. Their offsets, the
// batch's range of offsets, producer, sequence, leader epoch and codec stay (spec: log 10). The maximum
// timestamp becomes that of the kept records, but with LogAppendTime it stays. With deleteHorizonMs >= 0
// and no horizon in the batch yet, the batch gets that one; the records' timestamps do not change.
//
// If nothing is kept, the batch is a header alone, without codec, see Empty. The record given to keep is
// valid during the call only. Errors are those of Records.
func Filter(raw []byte, maxInflatedBytes int, deleteHorizonMs int64, keep func(Record) bool) ([]byte, error) {
	h, err := ParseHeader(raw)
	if err != nil {
		return nil, err
	}
	w, err := newRewriter(h.Codec(), 0, math.MaxInt32, len(raw))
	if err != nil {
		return nil, err
	}
	defer w.release()
	var shiftMs int64
	if deleteHorizonMs >= 0 && !h.HasDeleteHorizon() {
		shiftMs = h.BaseTimestampMs - deleteHorizonMs
		h.BaseTimestampMs = deleteHorizonMs
		h.Attributes |= attrDeleteHorizon
	}
	maxTimestampMs := int64(NoTimestampMs)
	for rec, err := range Records(raw, maxInflatedBytes) {
		if err != nil {
			return nil, err
		}
		if !keep(rec) {
			continue
		}
		rec.TimestampDeltaMs += shiftMs
		maxTimestampMs = max(maxTimestampMs, h.BaseTimestampMs+rec.TimestampDeltaMs)
		if err := w.add(&rec); err != nil {
			return nil, err
		}
	}
	if w.count == 0 {
		return Empty(h), nil
	}
	if !h.IsLogAppendTime() {
		h.MaxTimestampMs = maxTimestampMs
	}
	return w.finish(h)
}

// Empty is a batch of which compaction left only the header: its range of offsets, producer, sequence,
// epochs, flags and maximum timestamp (spec: log 10).
func Empty(h Header) []byte {
	h.Magic = Magic
	h.Attributes &= attrLogAppendTime | attrTransactional | attrControl
	h.BaseTimestampMs = NoTimestampMs
	h.RecordCount = 0
	raw := make([]byte, HeaderSizeBytes)
	h.put(raw)
	seal(raw)
	return raw
}

// crcOf reads the stored CRC.
func crcOf(raw []byte) uint32 { return binary.BigEndian.Uint32(raw[posCRC:]) }
