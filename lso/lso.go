// Package lso computes the last stable offset of a partition. Tracker holds the open transactions, and the decided ones
// whose marker is not below the high watermark. It also computes the entry of an aborted transaction.
//
// Pure: no lock and no I/O. The partition that embeds a Tracker orders all calls.
package lso

import (
	"sort"

	"once/internal/invariant"
)

// Transaction is one producer's open transaction in a partition.
type Transaction struct {
	ProducerID  int64
	FirstOffset int64 // of its first data batch here
}

type decided struct{ firstOffset, markerOffset int64 }

// Tracker holds the transactions that hold back the last stable offset. The zero value has none.
type Tracker struct {
	open    []Transaction // ascending by FirstOffset: transactions begin in log order
	decided []decided     // ended, but their marker was not below the high watermark at the last look
}

// Begin adds a transaction. Transactions begin in the order of their first offsets.
func (t *Tracker) Begin(producerID, firstOffset int64) {
	if n := len(t.open); n > 0 {
		invariant.Check(t.open[n-1].FirstOffset < firstOffset, "transaction at %d begins behind one at %d", firstOffset,
			t.open[n-1].FirstOffset)
	}
	t.open = append(t.open, Transaction{ProducerID: producerID, FirstOffset: firstOffset})
}

// End removes the transaction of a producer that a marker at markerOffset ended. The transaction holds back the last
// stable offset until the high watermark has passed the marker. The result is the last stable offset for the entry of
// an aborted transaction (spec: log 5.4): the first offset of the earliest open transaction of another producer, or
// else the offset after the marker.
func (t *Tracker) End(producerID, markerOffset int64) (lastStableOffset int64, found bool) {
	lastStableOffset = markerOffset + 1
	at := -1
	for i, x := range t.open {
		if x.ProducerID == producerID {
			at = i
		} else if x.FirstOffset < lastStableOffset {
			lastStableOffset = x.FirstOffset
		}
	}
	if at < 0 {
		return lastStableOffset, false
	}
	t.decided = append(t.decided, decided{firstOffset: t.open[at].FirstOffset, markerOffset: markerOffset})
	t.open = append(t.open[:at], t.open[at+1:]...)
	return lastStableOffset, true
}

// LastStableOffset returns the first offset that a read_committed reader may not see: the first offset
// of the oldest transaction that is open, or decided with its marker at or above the high watermark,
// never below logStartOffset, and else the high watermark (spec: log 6).
func (t *Tracker) LastStableOffset(logStartOffset, highWatermark int64) int64 {
	stable := highWatermark
	if len(t.open) > 0 {
		stable = min(stable, t.open[0].FirstOffset)
	}
	kept := t.decided[:0]
	for _, d := range t.decided {
		if d.markerOffset < highWatermark {
			continue
		}
		kept = append(kept, d)
		stable = min(stable, d.firstOffset)
	}
	t.decided = kept
	return max(stable, min(logStartOffset, highWatermark))
}

// Open returns the open transactions, oldest first. The slice is valid until the next call.
func (t *Tracker) Open() []Transaction { return t.open }

// Reset replaces all transactions by those of a snapshot, given as first offset by producer ID.
func (t *Tracker) Reset(open map[int64]int64) {
	t.open, t.decided = nil, nil
	for id, first := range open {
		t.open = append(t.open, Transaction{ProducerID: id, FirstOffset: first})
	}
	sort.Slice(t.open, func(i, j int) bool { return t.open[i].FirstOffset < t.open[j].FirstOffset })
}
