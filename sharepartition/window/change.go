package window

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// The errors of acknowledgements.
var (
	// ErrInvalidState: a record is not acquired, or not by this member.
	ErrInvalidState = errors.New("record is not acquired by the member")
	// ErrInvalidBatch: the acknowledgement is malformed, or for offsets above the window.
	ErrInvalidBatch = errors.New("acknowledgement does not fit the share partition")
)

// AcknowledgeType is what a member says about a record, with its number on the wire.
type AcknowledgeType = int8

// The types of acknowledgements.
const (
	Gap     AcknowledgeType = 0 // there is no record
	Accept  AcknowledgeType = 1
	Release AcknowledgeType = 2
	Reject  AcknowledgeType = 3
	Renew   AcknowledgeType = 4 // the lock begins anew
)

// Acknowledgement is what a member says about a run of offsets: one type for all, or one for each.
type Acknowledgement struct {
	FirstOffset, LastOffset int64
	Types                   []AcknowledgeType
}

// CheckForm checks what can be checked without the share partition: order, numbers and types (spec: share-groups 10).
func CheckForm(list []Acknowledgement, renew bool) error {
	highest := Reject
	if renew {
		highest = Renew
	}
	previous := int64(-1) // the lowest first offset that Kafka accepts
	for _, a := range list {
		switch {
		case a.FirstOffset > a.LastOffset:
			return fmt.Errorf("%w: last offset %d below first offset %d", ErrInvalidBatch, a.LastOffset, a.FirstOffset)
		case a.FirstOffset < previous:
			return fmt.Errorf("%w: offset %d after offset %d", ErrInvalidBatch, a.FirstOffset, previous)
		case len(a.Types) == 0:
			return fmt.Errorf("%w: no types", ErrInvalidBatch)
		case len(a.Types) > 1 && int64(len(a.Types)) != a.LastOffset-a.FirstOffset+1:
			return fmt.Errorf("%w: %d types for offsets %d-%d", ErrInvalidBatch, len(a.Types), a.FirstOffset, a.LastOffset)
		}
		for _, t := range a.Types {
			if t < Gap || t > highest {
				return fmt.Errorf("%w: type %d", ErrInvalidBatch, t)
			}
		}
		previous = a.LastOffset
	}
	return nil
}

// LetterReason is the reason of a dead letter.
type LetterReason uint8

// The reasons.
const (
	NoLetter LetterReason = iota
	Rejected
	DeliveryLimit
)

// Letter is a run of offsets that a change makes Archiving: each is to be written to the dead-letter queue.
type Letter struct {
	FirstOffset, LastOffset int64
	DeliveryCount           int16
	Reason                  LetterReason
}

// Change is a decided change of states that has not been applied. Batches, StartOffset and Finished are to be stored.
type Change struct {
	Batches     []Batch // in order; neighbours with one state and count are joined
	StartOffset int64   // before the change, as Kafka stores it
	Finished    int64   // offsets at or above StartOffset that are finished after the change
	Letters     []Letter
	renewals    []Batch
}

// IsEmpty says whether there is nothing to store.
func (c *Change) IsEmpty() bool { return len(c.Batches) == 0 }

// Releases says whether the change makes records Available.
func (c *Change) Releases() bool {
	return slices.ContainsFunc(c.Batches, func(b Batch) bool { return b.State == Available })
}

func (w *Window) newChange() *Change { return &Change{StartOffset: w.start, Finished: w.finished} }

// move adds a run of offsets with one state to the change.
func (c *Change) move(first, last int64, from *cell, to State, reason LetterReason) {
	if to.IsFinal() {
		c.Finished += last - first + 1
	}
	if to == Archiving {
		c.Letters = append(c.Letters, Letter{FirstOffset: first, LastOffset: last, DeliveryCount: from.count, Reason: reason})
	}
	if n := len(c.Batches); n > 0 {
		if b := &c.Batches[n-1]; b.LastOffset == first-1 && b.State == to && b.DeliveryCount == from.count {
			b.LastOffset = last
			return
		}
	}
	c.Batches = append(c.Batches, Batch{FirstOffset: first, LastOffset: last, State: to, DeliveryCount: from.count})
}

// released is the state of a record that its owner gives back, or loses.
func (l Limits) released(c *cell) (State, LetterReason) {
	switch {
	case c.count < l.DeliveryCount:
		return Available, NoLetter
	case l.DeadLetters:
		return Archiving, DeliveryLimit
	default:
		return Archived, NoLetter
	}
}

func (l Limits) acknowledged(c *cell, t AcknowledgeType) (State, LetterReason) {
	switch t {
	case Accept:
		return Acknowledged, NoLetter
	case Release:
		return l.released(c)
	case Reject:
		if l.DeadLetters {
			return Archiving, Rejected
		}
	}
	return Archived, NoLetter
}

// Acknowledge decides what a member's acknowledgements change: all of them, or nothing. Their form has been checked.
func (w *Window) Acknowledge(memberID string, list []Acknowledgement, l Limits) (*Change, error) {
	c := w.newChange()
	done := int64(-1) // the highest offset that has a new state
	for _, a := range list {
		if a.LastOffset < w.start {
			continue
		}
		first, err := w.locate(a)
		if err != nil {
			return nil, err
		}
		for i := first; i < len(w.entries) && w.entries[i].first <= a.LastOffset; i++ {
			if err := w.acknowledge(c, w.entries[i], memberID, a, l, &done); err != nil {
				return nil, err
			}
		}
	}
	return c, nil
}

// locate returns the index of the first entry of an acknowledgement.
func (w *Window) locate(a Acknowledgement) (int, error) {
	i := w.overlapping(max(a.FirstOffset, w.start))
	if len(w.entries) == 0 || a.FirstOffset >= w.start && w.entries[0].first > a.FirstOffset {
		return 0, fmt.Errorf("%w: nothing at offset %d", ErrInvalidState, a.FirstOffset)
	}
	last := w.overlapping(a.LastOffset)
	if last == len(w.entries) || w.entries[last].first > a.LastOffset {
		return 0, fmt.Errorf("%w: offset %d, the window ends at offset %d", ErrInvalidBatch, a.LastOffset, w.EndOffset())
	}
	return i, nil
}

func (w *Window) acknowledge(c *Change, e *entry, memberID string, a Acknowledgement, l Limits, done *int64) error {
	first, last := max(e.first, a.FirstOffset, w.start), min(e.last, a.LastOffset)
	for offset := first; offset <= last; {
		state, end := e.cell(offset)
		end = min(end, last)
		if state.state != Acquired || state.member != memberID || offset <= *done {
			return fmt.Errorf("%w: offset %d", ErrInvalidState, offset)
		}
		t := a.Types[0]
		if len(a.Types) > 1 {
			t = a.Types[offset-a.FirstOffset]
			for end > offset && !sameTypes(a.Types[offset-a.FirstOffset:end-a.FirstOffset+1]) {
				end = offset
			}
		}
		if t == Renew {
			if !l.Renew {
				return fmt.Errorf("%w: offset %d: locks cannot be renewed", ErrInvalidState, offset)
			}
			c.renewals = append(c.renewals, Batch{FirstOffset: offset, LastOffset: end})
		} else {
			to, reason := l.acknowledged(state, t)
			c.move(offset, end, state, to, reason)
			*done = end
		}
		offset = end + 1
	}
	return nil
}

func sameTypes(types []AcknowledgeType) bool {
	for _, t := range types {
		if t != types[0] {
			return false
		}
	}
	return true
}

// release decides the release of the acquired offsets that match.
func (w *Window) release(matches func(*cell) bool, l Limits) *Change {
	c := w.newChange()
	for _, e := range w.entries {
		for offset := max(e.first, w.start); offset <= e.last; {
			state, end := e.cell(offset)
			if state.state == Acquired && matches(state) {
				to, reason := l.released(state)
				c.move(offset, end, state, to, reason)
			}
			offset = end + 1
		}
	}
	return c
}

// Expire decides the release of the records whose lock has ended.
func (w *Window) Expire(now time.Time, l Limits) *Change {
	return w.release(func(c *cell) bool { return !c.deadline.After(now) }, l)
}

// ReleaseMember decides the release of all records of a member.
func (w *Window) ReleaseMember(memberID string, l Limits) *Change {
	return w.release(func(c *cell) bool { return c.member == memberID }, l)
}

// FinishLetters decides that the letters of a run of offsets are done with: written, or given up.
func (w *Window) FinishLetters(first, last int64) *Change {
	c := w.newChange()
	for i := w.overlapping(max(first, w.start)); i < len(w.entries) && w.entries[i].first <= last; i++ {
		e := w.entries[i]
		for offset := max(e.first, first, w.start); offset <= min(e.last, last); {
			state, end := e.cell(offset)
			end = min(end, last)
			if state.state == Archiving {
				c.move(offset, end, state, Archived, NoLetter)
			}
			offset = end + 1
		}
	}
	return c
}

// OpenLetters returns the letters that are due after the window was loaded. The reason was not stored.
func (w *Window) OpenLetters(l Limits) (letters []Letter) {
	for _, e := range w.entries {
		for offset := max(e.first, w.start); offset <= e.last; {
			state, end := e.cell(offset)
			if state.state == Archiving {
				reason := Rejected
				if state.count >= l.DeliveryCount {
					reason = DeliveryLimit
				}
				letters = append(letters, Letter{FirstOffset: offset, LastOffset: end, DeliveryCount: state.count, Reason: reason})
			}
			offset = end + 1
		}
	}
	return letters
}

// Apply carries out a change that was decided on this window, with nothing in between. now and the lock duration are
// for renewed locks.
func (w *Window) Apply(c *Change, l Limits, now time.Time) {
	for _, b := range c.renewals {
		w.each(b.FirstOffset, b.LastOffset+1, func(c *cell, _ int64) bool {
			c.deadline = now.Add(l.LockDuration)
			return true
		})
	}
	for _, b := range c.Batches {
		w.each(b.FirstOffset, b.LastOffset+1, func(state *cell, offsets int64) bool {
			*state = cell{state: b.State, count: b.DeliveryCount}
			if b.State.IsFinal() {
				w.finished += offsets
			}
			return true
		})
	}
	w.advance()
}

// NextExpiry returns the time before which no lock ends; false when nothing is acquired. It may be early: then Expire
// finds nothing and Rearm gives the next time.
func (w *Window) NextExpiry() (time.Time, bool) { return w.wake, !w.wake.IsZero() }

// Shorten makes the locks of some members end earlier, and reports whether there were any.
func (w *Window) Shorten(by time.Duration, of func(memberID string) bool) bool {
	any := w.each(w.start, w.next, func(c *cell, _ int64) bool {
		if c.state != Acquired || !of(c.member) {
			return false
		}
		c.deadline = c.deadline.Add(-by)
		return true
	})
	if any {
		w.Rearm()
	}
	return any
}

// Rearm looks for the lock that ends first.
func (w *Window) Rearm() {
	w.wake = time.Time{}
	for _, e := range w.entries {
		for offset := max(e.first, w.start); offset <= e.last; {
			c, end := e.cell(offset)
			if c.state == Acquired && (w.wake.IsZero() || c.deadline.Before(w.wake)) {
				w.wake = c.deadline
			}
			offset = end + 1
		}
	}
}
