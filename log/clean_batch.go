package log

import (
	"once/log/batch"
)

// LastOfProducer is what the log has to keep of a producer that the partition still knows, so that a restart can
// rebuild its state.
type LastOfProducer struct {
	DataOffset    int64 // last offset of its newest data batch in the current epoch; -1: none
	ProducerEpoch int16
}

// recordFilter decides which batches and records a pass keeps (spec: log 10).
type recordFilter struct {
	keys            *keyMap
	mapEnd          int64 // the keys of records below are known
	roundEnd        int64 // end of the pass; the last batch before it stays, so that the offset can be read
	nowMs           int64
	deleteHorizonMs int64 // for tombstones and markers that have none
	producers       map[int64]LastOfProducer
	txns            *txnWalk
	keep            []bool
	gone            map[int64]struct{} // offsets of markers that were removed
	inflatedBytes   int
}

// filterBatch returns the rest of a batch: raw itself, a smaller batch, or nil. raw must have been verified.
func (s *recordFilter) filterBatch(h batch.Header, raw []byte) ([]byte, error) {
	if h.IsControl() {
		return s.filterMarker(h, raw)
	}
	if s.txns.addData(h) {
		return s.emptiedBatch(h), nil
	}
	return s.data(h, raw)
}

// filterMarker keeps a marker until no data of its transaction is left, and then for delete.retention.ms: a reader that
// has read the data must get the marker, too.
func (s *recordFilter) filterMarker(h batch.Header, raw []byte) ([]byte, error) {
	_, isMarker, err := batch.ParseMarker(raw)
	if err != nil {
		return nil, err
	}
	switch {
	case h.RecordCount == 0:
		return s.emptiedBatch(h), nil
	case !isMarker || !s.txns.addMarker(h) || s.holdsEpoch(h):
		return raw, nil
	case !h.HasDeleteHorizon():
		return batch.Filter(raw, s.inflatedBytes, s.deleteHorizonMs, func(batch.Record) bool { return true })
	case h.BaseTimestampMs > s.nowMs:
		return raw, nil
	}
	s.gone[h.BaseOffset] = struct{}{}
	return s.emptiedBatch(h), nil
}

func (s *recordFilter) data(h batch.Header, raw []byte) ([]byte, error) {
	s.keep = s.keep[:0]
	kept, tombstones := 0, 0
	expired := h.HasDeleteHorizon() && h.BaseTimestampMs <= s.nowMs
	for r, err := range batch.Records(raw, s.inflatedBytes) {
		if err != nil {
			return nil, err
		}
		keep := s.keepsRecord(h.BaseOffset+int64(r.OffsetDelta), r, expired)
		s.keep = append(s.keep, keep)
		if keep {
			kept++
			if r.Value == nil {
				tombstones++
			}
		}
	}
	stamp := int64(-1)
	if tombstones > 0 && !h.HasDeleteHorizon() {
		stamp = s.deleteHorizonMs
	}
	switch {
	case kept == 0:
		return s.emptiedBatch(h), nil
	case kept == len(s.keep) && stamp < 0:
		return raw, nil
	}
	i := -1
	return batch.Filter(raw, s.inflatedBytes, stamp, func(batch.Record) bool { i++; return s.keep[i] })
}

// keepsRecord says whether a record that is not in an aborted transaction stays.
func (s *recordFilter) keepsRecord(offset int64, r batch.Record, expired bool) bool {
	if offset >= s.mapEnd {
		return true
	}
	if r.Key == nil {
		return false
	}
	return offset >= s.keys.last(r.Key) && (r.Value != nil || !expired)
}

// holdsEpoch says whether a producer's epoch stands in this marker only. Kafka keeps the marker's header, which does
// not give the epoch back at a start; here the whole marker stays.
func (s *recordFilter) holdsEpoch(h batch.Header) bool {
	last, active := s.producers[h.ProducerID]
	return active && last.DataOffset < 0 && last.ProducerEpoch == h.ProducerEpoch
}

// emptiedBatch returns the rest of a batch without records: its header if the producer state or the end of the pass
// needs it, else nothing.
func (s *recordFilter) emptiedBatch(h batch.Header) []byte {
	last, active := s.producers[h.ProducerID]
	if h.NextOffset() == s.roundEnd || active && h.HasProducer() && last.DataOffset == h.LastOffset() {
		return batch.Empty(h)
	}
	return nil
}
