package batch

import "fmt"

// findings are the results of reading all records of a batch.
type findings struct {
	maxTimestampMs int64 // over the records' own timestamps; NoTimestampMs if none has one
	inOrder        bool  // offset deltas are 0, 1, 2 …
}

// checkRecords reads the structure of every record and applies the rules for single records (spec: log 4.2 rows 17, 18;
// 4.3). A broken structure counts before any record's own fault, wherever it is.
func checkRecords(raw []byte, h Header, r *Rules, nowMs int64) (findings, error) {
	var c cursor
	defer c.close()
	if err := c.open(raw, h.Codec(), r.MaxInflatedBytes); err != nil {
		return findings{}, err
	}
	if c.src != nil {
		c.maxRecord = r.MaxRecordBytes // uncompressed ones are bounded by max.message.bytes alone, as in Kafka
	}
	found := findings{maxTimestampMs: NoTimestampMs, inOrder: true}
	var refused *RecordErrors
	for i := int32(0); i < h.RecordCount; i++ {
		f := c.readFrame()
		if c.err != nil {
			return findings{}, c.err
		}
		timestampMs := h.BaseTimestampMs + f.timestampDeltaMs
		found.maxTimestampMs = max(found.maxTimestampMs, timestampMs)
		found.inOrder = found.inOrder && f.offsetDelta == i
		if fault := r.check(&h, f.hasKey, timestampMs, nowMs); fault != fine {
			if refused == nil {
				refused = &RecordErrors{Err: ErrInvalidRecord}
			}
			if fault != noKey {
				refused.Err = ErrInvalidTimestamp
			}
			refused.Total++
			if len(refused.Records) < MaxRecordErrors {
				refused.Records = append(refused.Records, RecordError{Index: i, Message: r.describe(fault, i, timestampMs, nowMs)})
			}
		}
	}
	if !c.ended() {
		c.fail(errTrails)
		return findings{}, c.err
	}
	if refused != nil {
		return findings{}, refused
	}
	return found, nil
}

// fault is the kind of error of a single record.
type fault uint8

const (
	fine fault = iota
	noKey
	badTime
	badTimeType
)

// check returns what is wrong with a record.
func (r *Rules) check(h *Header, hasKey bool, timestampMs, nowMs int64) fault {
	switch {
	case r.Compacted && !hasKey:
		return noKey
	case h.Attributes&attrLogAppendTime == 0:
		if !r.LogAppendTime && !r.inRange(timestampMs, nowMs) {
			return badTime
		}
	// A client claims LogAppendTime, so the timestamp of its records is the batch's maximum.
	case r.LogAppendTime || h.MaxTimestampMs == NoTimestampMs:
		return badTimeType
	// Kafka checks that one, then clears the attribute: then the record's own timestamp counts, which must be in
	// range, too.
	case !r.inRange(h.MaxTimestampMs, nowMs) || !r.inRange(timestampMs, nowMs):
		return badTime
	}
	return fine
}

// inRange lets the difference wrap around for absurd timestamps, as it does in Kafka: they are refused
// also when before.max is 2^63-1.
func (r *Rules) inRange(timestampMs, nowMs int64) bool {
	age := nowMs - timestampMs
	return timestampMs == NoTimestampMs || age <= r.TimestampBeforeMaxMs && -age <= r.TimestampAfterMaxMs
}

func (r *Rules) describe(f fault, index int32, timestampMs, nowMs int64) string {
	switch f {
	case noKey:
		return "A compacted topic needs a key in every record."
	case badTime:
		return fmt.Sprintf("Timestamp %d of record %d is out of range: it may be %d ms before and %d ms after the "+
			"broker's time, which is %d.",
			timestampMs, index, r.TimestampBeforeMaxMs, r.TimestampAfterMaxMs, nowMs)
	case badTimeType:
		return "Timestamp type LogAppendTime is set by the broker only, not by producers."
	}
	return ""
}
