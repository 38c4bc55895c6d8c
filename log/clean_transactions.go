package log

import (
	"slices"

	"once/log/batch"
)

// txnWalk tells, batch after batch from the beginning of what is looked at, whose data was aborted and
// which markers have no data left before them.
type txnWalk struct {
	ahead    []AbortedTxn         // not begun yet, by first offset
	aborted  map[int64]AbortedTxn // the last one begun, by producer ID
	withData map[int64]struct{}   // producer IDs with data since their last marker
}

// newTxnWalk is told all aborted transactions whose marker is at or above the offset it begins at.
func newTxnWalk(all []AbortedTxn) *txnWalk {
	ahead := slices.Clone(all)
	slices.SortFunc(ahead, func(a, b AbortedTxn) int { return int(min(1, max(-1, a.FirstOffset-b.FirstOffset))) })
	return &txnWalk{ahead: ahead, aborted: map[int64]AbortedTxn{}, withData: map[int64]struct{}{}}
}

// data takes note of a data batch and says whether its transaction was aborted.
func (t *txnWalk) data(h batch.Header) (aborted bool) {
	if !h.IsTransactional() {
		return false
	}
	t.withData[h.ProducerID] = struct{}{}
	for len(t.ahead) > 0 && t.ahead[0].FirstOffset <= h.LastOffset() {
		t.aborted[t.ahead[0].ProducerID] = t.ahead[0]
		t.ahead = t.ahead[1:]
	}
	a, ok := t.aborted[h.ProducerID]
	// The marker may have been removed before: what lies behind it is another transaction.
	return ok && h.LastOffset() < a.LastOffset
}

// marker takes note of a marker and says whether its transaction had no data.
func (t *txnWalk) marker(h batch.Header) (empty bool) {
	_, data := t.withData[h.ProducerID]
	delete(t.withData, h.ProducerID)
	return !data
}
