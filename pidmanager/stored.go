package pidmanager

import (
	"cmp"
	"slices"
)

// StoredProducer is one entry of a producer state snapshot.
type StoredProducer struct {
	ProducerID       int64
	ProducerEpoch    int16
	LastSequence     int32 // -1 without a batch
	LastOffset       int64 // of the newest batch; -1 without one
	OffsetDelta      int32
	LastTimestampMs  int64
	CoordinatorEpoch int32
	TxnFirstOffset   int64   // -1 when no transaction is open
	Older            []Batch // those before the newest, oldest first
}

// DecodeSnapshot reads a producer state snapshot, ordered by producer ID. Errors wrap ErrSnapshot.
func DecodeSnapshot(b []byte) ([]StoredProducer, error) {
	var p Producers
	if err := p.Load(b); err != nil {
		return nil, err
	}
	all := make([]StoredProducer, 0, p.Count())
	p.All(func(id int64, e Producer) {
		s := StoredProducer{
			ProducerID: id, ProducerEpoch: e.ProducerEpoch, LastSequence: -1, LastOffset: -1,
			LastTimestampMs: e.LastTimestampMs, CoordinatorEpoch: e.CoordinatorEpoch, TxnFirstOffset: e.TxnFirstOffset,
		}
		if e.cached > 0 {
			last := e.batches[e.cached-1]
			s.LastSequence, s.LastOffset, s.OffsetDelta = last.LastSequence, last.LastOffset, last.OffsetDelta
			s.Older = slices.Clone(e.batches[:e.cached-1])
		}
		all = append(all, s)
	})
	slices.SortFunc(all, func(a, b StoredProducer) int { return cmp.Compare(a.ProducerID, b.ProducerID) })
	return all, nil
}

// LastOffset returns the offset of the last record of the newest batch, or -1.
func (e *Producer) LastOffset() int64 {
	if e.cached == 0 {
		return -1
	}
	return e.batches[e.cached-1].LastOffset
}
