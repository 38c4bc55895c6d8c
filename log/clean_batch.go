package log

import (
	"once/log/batch"
)

// LastOfProducer is what must stay in the log of a producer that the partition still knows, so that the
// next start knows it as well.
type LastOfProducer struct {
	DataOffset    int64 // last offset of its newest data batch in the current epoch; -1: none
	ProducerEpoch int16
}

// recordFilter decides what becomes of each batch in a pass (spec: log 10).
type recordFilter struct {
	keys            *keyMap
	mapEnd          int64 // the keys of records below are known
	roundEnd        int64 // where the pass ends; the batch before stays, so that the offset can be read
	nowMs           int64
	deleteHorizonMs int64 // for tombstones and markers that have none
	producers       map[int64]LastOfProducer
	txns            *txnWalk
	keep            []bool
	gone            map[int64]struct{} // offsets of markers that were removed
	inflatedBytes   int
}

// pass returns what is left of a batch: raw itself, another one, or nil. raw must have been verified.
func (s *recordFilter) pass(h batch.Header, raw []byte) ([]byte, error) {
	if h.IsControl() {
		return s.control(h, raw)
	}
	if s.txns.data(h) {
		return s.remains(h), nil
	}
	return s.data(h, raw)
}

// control keeps a marker until nothing is left of its transaction, and then for delete.retention.ms: a
// reader that has read the data must come to the marker, and one that has not must not miss it.
func (s *recordFilter) control(h batch.Header, raw []byte) ([]byte, error) {
	_, isMarker, err := batch.ParseMarker(raw)
	if err != nil {
		return nil, err
	}
	switch {
	case h.RecordCount == 0:
		return s.remains(h), nil
	case !isMarker || !s.txns.marker(h) || s.holdsEpoch(h):
		return raw, nil
	case !h.HasDeleteHorizon():
		return batch.Filter(raw, s.inflatedBytes, s.deleteHorizonMs, func(batch.Record) bool { return true })
	case h.BaseTimestampMs > s.nowMs:
		return raw, nil
	}
	s.gone[h.BaseOffset] = struct{}{}
	return s.remains(h), nil
}

func (s *recordFilter) data(h batch.Header, raw []byte) ([]byte, error) {
	s.keep = s.keep[:0]
	kept, tombstones := 0, 0
	expired := h.HasDeleteHorizon() && h.BaseTimestampMs <= s.nowMs
	for r, err := range batch.Records(raw, s.inflatedBytes) {
		if err != nil {
			return nil, err
		}
		keep := s.wanted(h.BaseOffset+int64(r.OffsetDelta), r, expired)
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
		return s.remains(h), nil
	case kept == len(s.keep) && stamp < 0:
		return raw, nil
	}
	i := -1
	return batch.Filter(raw, s.inflatedBytes, stamp, func(batch.Record) bool { i++; return s.keep[i] })
}

// wanted says whether a record of a committed transaction, or of none, stays.
func (s *recordFilter) wanted(offset int64, r batch.Record, expired bool) bool {
	if offset >= s.mapEnd {
		return true
	}
	if r.Key == nil {
		return false
	}
	return offset >= s.keys.last(r.Key) && (r.Value != nil || !expired)
}

// holdsEpoch says whether a marker is the only thing that tells a producer's epoch. Kafka keeps its
// header, from which the next start learns nothing; here it stays whole.
func (s *recordFilter) holdsEpoch(h batch.Header) bool {
	last, active := s.producers[h.ProducerID]
	return active && last.DataOffset < 0 && last.ProducerEpoch == h.ProducerEpoch
}

// remains is what stays of a batch without records: a header if it stands for a producer or for the end
// of the pass, else nothing.
func (s *recordFilter) remains(h batch.Header) []byte {
	last, active := s.producers[h.ProducerID]
	if h.NextOffset() == s.roundEnd || active && h.HasProducer() && last.DataOffset == h.LastOffset() {
		return batch.Empty(h)
	}
	return nil
}
