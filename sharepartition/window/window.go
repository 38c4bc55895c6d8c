// Package window is the state machine of a share partition: which records of one topic-partition a share group has
// in flight, who owns them, and how often they were delivered (spec: share-groups 1, 9, 10, 11). It has no lock, no
// clock and no I/O: times and limits are arguments.
//
// Changes that are stored are decided first, as a Change; the caller stores them and then calls Apply. An acquisition
// is never stored, so Acquire changes the window at once.
package window

import (
	"fmt"
	"slices"
	"sort"
	"time"

	"once/internal/invariant"
)

// State is the state of a record, with its number in stored records.
type State int8

// The states. Acquired is never stored. Acknowledged and Archived are final.
const (
	Available    State = 0
	Acquired     State = 1
	Acknowledged State = 2
	Archiving    State = 3 // the dead letter is not written yet
	Archived     State = 4
)

// String returns Kafka's name of the state.
func (s State) String() string {
	switch s {
	case Available:
		return "Available"
	case Acquired:
		return "Acquired"
	case Acknowledged:
		return "Acknowledged"
	case Archiving:
		return "Archiving"
	case Archived:
		return "Archived"
	}
	return fmt.Sprintf("state %d", int8(s))
}

// IsFinal says whether a record in the state is finished.
func (s State) IsFinal() bool { return s == Acknowledged || s == Archived }

// Batch is a run of offsets with one state, as it is stored.
type Batch struct {
	FirstOffset, LastOffset int64
	State                   State
	DeliveryCount           int16
}

// Limits are the settings of the group that the window obeys.
type Limits struct {
	DeliveryCount int16         // share.delivery.count.limit
	RecordLocks   int64         // share.partition.max.record.locks
	LockDuration  time.Duration // share.record.lock.duration.ms
	Renew         bool          // share.renew.acknowledge.enable
	DeadLetters   bool          // the group has a dead-letter queue
}

// cell is the state of one offset, or of all offsets of an entry.
type cell struct {
	state    State
	count    int16     // deliveries so far
	member   string    // the owner, while Acquired
	deadline time.Time // of the lock, while Acquired
}

// entry is a run of offsets that were acquired together. Its offsets have one state until they diverge.
type entry struct {
	first, last int64
	all         cell
	each        []cell // one for each offset, once they have diverged
}

func (e *entry) size() int64 { return e.last - e.first + 1 }

// cell returns the state of an offset of the entry, and the last offset of the run from there on that shares it.
func (e *entry) cell(offset int64) (*cell, int64) {
	if e.each == nil {
		return &e.all, e.last
	}
	return &e.each[offset-e.first], offset
}

// split gives each offset its own state.
func (e *entry) split() {
	if e.each != nil {
		return
	}
	e.each = make([]cell, e.size())
	for i := range e.each {
		e.each[i] = e.all
	}
}

// Window holds the records of a share partition that are in flight, from the start offset up to the end offset.
// Everything below the start offset is finished.
type Window struct {
	start    int64
	next     int64    // the first offset that no entry has had; the end offset is the one before it
	entries  []*entry // by offset; each ends above the start offset
	finished int64    // offsets of entries, at or above start, in a final state
	// Offsets from holesFrom on and below holesTo that no entry covers were never delivered: the window was loaded with
	// holes.
	holesFrom, holesTo int64
	wake               time.Time // no lock ends before it; zero when none is known
}

// New returns a window that begins at the start offset, with the stored batches of a share partition. Stored batches
// must be in order and must not overlap.
func New(start int64, stored []Batch) (*Window, error) {
	w := &Window{start: start, next: start, holesFrom: start, holesTo: start}
	for _, b := range stored {
		switch {
		case b.LastOffset < b.FirstOffset || b.FirstOffset < w.next:
			return nil, fmt.Errorf("stored batch %d-%d is out of order at offset %d", b.FirstOffset, b.LastOffset, w.next)
		case b.State < Available || b.State > Archived || b.State == Acquired:
			return nil, fmt.Errorf("stored batch %d-%d has state %d", b.FirstOffset, b.LastOffset, b.State)
		case b.LastOffset-start >= maxWindow:
			return nil, fmt.Errorf("stored batch %d-%d is too far above start offset %d", b.FirstOffset, b.LastOffset, start)
		}
		if b.FirstOffset > w.next {
			w.holesTo = b.FirstOffset
		}
		e := &entry{first: b.FirstOffset, last: b.LastOffset, all: cell{state: b.State, count: b.DeliveryCount}}
		w.entries = append(w.entries, e)
		w.next = b.LastOffset + 1
		if b.State.IsFinal() {
			w.finished += e.size()
		}
	}
	w.advance()
	return w, nil
}

// maxWindow bounds the offsets of a window that is read from storage. Record locks are bounded by 10,000 and one log
// batch, whose offsets an int32 counts.
const maxWindow = 1 << 31

// StartOffset returns the offset below which everything is finished.
func (w *Window) StartOffset() int64 { return w.start }

// EndOffset returns the last offset of the window; the start offset while the window is empty.
func (w *Window) EndOffset() int64 { return max(w.start, w.next-1) }

// Finished returns how many offsets of the window are finished.
func (w *Window) Finished() int64 { return w.finished }

// InFlight returns the number of offsets from the start offset to the end offset.
func (w *Window) InFlight() int64 { return w.next - w.start }

// NextFetchOffset returns the offset that the next fetch reads from: the first Available one, or one that was never
// delivered.
func (w *Window) NextFetchOffset() int64 {
	hole := max(w.holesFrom, w.start)
	for _, e := range w.entries {
		if hole < w.holesTo && e.first > hole {
			return hole
		}
		if offset := e.firstAvailable(w.start); offset >= 0 {
			return offset
		}
		hole = max(hole, e.last+1)
	}
	return w.next
}

func (e *entry) firstAvailable(from int64) int64 {
	if e.each == nil {
		if e.all.state == Available {
			return max(e.first, from)
		}
		return -1
	}
	for offset := max(e.first, from); offset <= e.last; offset++ {
		if e.each[offset-e.first].state == Available {
			return offset
		}
	}
	return -1
}

// CanAcquire says whether a fetch may find records: the window has room, or Available records.
func (w *Window) CanAcquire(l Limits) bool {
	return w.InFlight() < l.RecordLocks || w.NextFetchOffset() != w.next
}

// overlapping returns the index of the first entry that ends at or above an offset.
func (w *Window) overlapping(offset int64) int {
	return sort.Search(len(w.entries), func(i int) bool { return w.entries[i].last >= offset })
}

// advance moves the start offset over finished offsets, and over gaps in which the log has no records.
func (w *Window) advance() {
	drop := 0
	for _, e := range w.entries {
		if w.start < e.first {
			if max(w.start, w.holesFrom) < min(w.holesTo, e.first) {
				w.start = max(w.start, w.holesFrom)
				break
			}
			w.start = e.first
		}
		if w.start = e.finishedTo(w.start, &w.finished); w.start <= e.last {
			break
		}
		drop++
	}
	w.entries = slices.Delete(w.entries, 0, drop)
	if len(w.entries) == 0 {
		w.start = w.next
	}
	if invariant.Enabled {
		w.check()
	}
}

// finishedTo returns the first offset from one on that is not finished, and takes those before it off the count.
func (e *entry) finishedTo(from int64, finished *int64) int64 {
	for from <= e.last {
		c, last := e.cell(from)
		if !c.state.IsFinal() {
			break
		}
		*finished -= last - from + 1
		from = last + 1
	}
	return from
}

// check verifies the count of finished offsets and the order of the entries.
func (w *Window) check() {
	finished, last := int64(0), w.start-1
	for i, e := range w.entries {
		invariant.Check(e.first > last || i == 0 && e.last >= w.start, "entry %d-%d after offset %d", e.first, e.last, last)
		for offset := max(e.first, w.start); offset <= e.last; {
			c, to := e.cell(offset)
			if c.state.IsFinal() {
				finished += to - offset + 1
			}
			offset = to + 1
		}
		last = e.last
	}
	invariant.Check(finished == w.finished, "%d finished offsets, counted %d", finished, w.finished)
	invariant.Check(len(w.entries) == 0 || last == w.next-1, "window ends at %d, next offset %d", last, w.next)
}

// archive makes the Available offsets of [from, to) Archived. It returns whether there were any.
func (w *Window) archive(from, to int64) bool {
	return w.each(max(from, w.start), to, func(c *cell, offsets int64) bool {
		if c.state != Available {
			return false
		}
		*c = cell{state: Archived, count: c.count}
		w.finished += offsets
		return true
	})
}

// each calls change with each state in [from, to), and with how many offsets have it. An entry that lies inside only in
// part is split, if wanted says so. It reports whether any call did.
func (w *Window) each(from, to int64, change func(c *cell, offsets int64) bool) (any bool) {
	for i := w.overlapping(from); i < len(w.entries) && w.entries[i].first < to; i++ {
		e := w.entries[i]
		first, last := max(e.first, from), min(e.last, to-1)
		if e.each == nil && (first != e.first && first != w.start || last != e.last) {
			if probe := e.all; !change(&probe, 0) {
				continue
			}
			e.split()
		}
		for offset := first; offset <= last; {
			c, end := e.cell(offset)
			any = change(c, end-offset+1) || any
			offset = end + 1
		}
	}
	return any
}

// LogStartMoved archives what the log has lost below its start offset. Owners of lost records may still acknowledge
// them: an acknowledgement below the start offset succeeds (spec: share-groups 12).
func (w *Window) LogStartMoved(logStart int64) {
	if logStart <= w.start {
		return
	}
	for len(w.entries) > 0 && w.entries[0].last < logStart {
		w.forgetFinished(w.entries[0], w.entries[0].last)
		w.entries = slices.Delete(w.entries, 0, 1)
	}
	if len(w.entries) > 0 && w.entries[0].first < logStart {
		w.forgetFinished(w.entries[0], logStart-1)
	}
	w.start, w.next = logStart, max(w.next, logStart)
	w.holesFrom = max(w.holesFrom, logStart)
	w.holesTo = max(w.holesTo, w.holesFrom)
	w.advance()
}

// forgetFinished takes the finished offsets of an entry up to last off the count.
func (w *Window) forgetFinished(e *entry, last int64) {
	for offset := max(e.first, w.start); offset <= last; {
		c, end := e.cell(offset)
		end = min(end, last)
		if c.state.IsFinal() {
			w.finished -= end - offset + 1
		}
		offset = end + 1
	}
}

// Counts returns how many offsets of the window are in each state, for metrics.
func (w *Window) Counts() (counts [Archived + 1]int64) {
	for _, e := range w.entries {
		for offset := max(e.first, w.start); offset <= e.last; {
			c, to := e.cell(offset)
			counts[c.state] += to - offset + 1
			offset = to + 1
		}
	}
	return counts
}
