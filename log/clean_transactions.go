package log

import (
	"slices"

	"once/log/batch"
)

// txnWalk says, batch by batch in the order of the log, which data was aborted and which markers have no data of
// their transaction left.
type txnWalk struct {
	ahead    []AbortedTxn         // not begun yet, by first offset
	aborted  map[int64]AbortedTxn // the last one begun, by producer ID
	withData map[int64]struct{}   // producer IDs with data since their last marker
}

// newTxnWalk gets all aborted transactions whose marker is at or above the offset at which the walk begins.
func newTxnWalk(all []AbortedTxn) *txnWalk {
	ahead := slices.Clone(all)
	slices.SortFunc(ahead, func(a, b AbortedTxn) int { return int(min(1, max(-1, a.FirstOffset-b.FirstOffset))) })
	return &txnWalk{ahead: ahead, aborted: map[int64]AbortedTxn{}, withData: map[int64]struct{}{}}
}

// addData handles a addData batch and says whether its transaction was aborted.
func (t *txnWalk) addData(h batch.Header) (aborted bool) {
	if !h.IsTransactional() {
		return false
	}
	t.withData[h.ProducerID] = struct{}{}
	for len(t.ahead) > 0 && t.ahead[0].FirstOffset <= h.LastOffset() {
		t.aborted[t.ahead[0].ProducerID] = t.ahead[0]
		t.ahead = t.ahead[1:]
	}
	a, ok := t.aborted[h.ProducerID]
	// The marker may have been removed by an earlier pass: data above it belongs to another transaction.
	return ok && h.LastOffset() < a.LastOffset
}

// addMarker handles a addMarker and says whether no data of its transaction is left.
func (t *txnWalk) addMarker(h batch.Header) (empty bool) {
	_, data := t.withData[h.ProducerID]
	delete(t.withData, h.ProducerID)
	return !data
}
