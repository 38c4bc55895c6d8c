package txncoordinator

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"once/internal/fault"
)

// A hold by a fault is a state of the transactional ID: no goroutine sleeps, nothing is retried or logged. A client is
// answered as if the held markers were written, as Kafka answers before it writes any; its next request gets
// CONCURRENT_TRANSACTIONS. The next Load writes markers that are held at the end of the process.

// errHeld: faults hold all missing steps of a transaction's end.
var errHeld = errors.New("txncoordinator: the rest is held by a fault")

// holds are the holds by faults of one transactional ID. They stay when the coordinator loads again.
type holds struct {
	prepare          bool // the end is decided on and not written; the hold owns the transactional ID
	markers          []heldMarker
	released         []TopicPartition // their markers are written without asking the point again
	complete         bool             // the Complete record is held
	completeReleased bool             // it is written without asking the point again
	expiry           *fault.Hold      // of a timeout that has passed
	ownerless        bool             // only what is held is missing: its release owns the transaction
}

type heldMarker struct {
	TopicPartition
	hold *fault.Hold
}

// partitions returns those whose markers are held.
func (h *holds) partitions() (all []TopicPartition) {
	if h != nil {
		for _, m := range h.markers {
			all = append(all, m.TopicPartition)
		}
	}
	return all
}

func (e *entry) holdsLocked() *holds {
	if e.mu.holds == nil {
		e.mu.holds = &holds{}
	}
	return e.mu.holds
}

// endHoldsLocked ends the holds of the state before. It returns the hold of the timeout, to be forgotten, when the
// transaction is not open any more; else nil.
func (e *entry) endHoldsLocked() (expiry *fault.Hold) {
	if e.mu.holds == nil || e.mu.txn.State == Ongoing {
		return nil
	}
	expiry = e.mu.holds.expiry
	e.mu.holds = nil
	return expiry
}

// heldEnd is the error of an end that a fault holds before it is decided, until its request waits for the release.
type heldEnd struct {
	decided chan error
	success error // what the request is answered when the end has succeeded
}

// Error implements error.
func (h *heldEnd) Error() string { return errHeld.Error() }

// wait returns what the request is answered.
func (h *heldEnd) wait(ctx context.Context) error {
	select {
	case err := <-h.decided:
		if err == nil || errors.Is(err, errHeld) {
			err = h.success
		}
		return err
	case <-ctx.Done():
		return errEnds
	}
}

var errEnds = fmt.Errorf("%w: the cluster ends", ErrCoordinatorNotAvailable)

// endWhenReleased ends the transaction when the hold is released. A request waits for that with heldEnd; a timeout does
// not.
func (c *Coordinator) endWhenReleased(hold *fault.Hold, e *entry, p plan, as outcome) error {
	held := &heldEnd{decided: make(chan error, 1)}
	e.holdPrepare(true)
	giveUp := func() {
		e.holdPrepare(false)
		e.endUnchanged()
		held.decided <- errEnds
	}
	hold.Then(func() {
		c.work(func() {
			if c.ctx.Err() != nil {
				giveUp()
				return
			}
			e.holdPrepare(false)
			held.decided <- c.decide(e, &p, as)
		})
	}, giveUp)
	if as == outcomeTimeout {
		return errHeld
	}
	return held
}

func (e *entry) holdPrepare(is bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if is || e.mu.holds != nil {
		e.holdsLocked().prepare = is
	}
}

// beforeMarker asks the fault point before a marker. e is nil when nothing can be held.
func (c *Coordinator) beforeMarker(e *entry, transactionalID string, p TopicPartition) (*fault.Hold, error) {
	if e != nil && e.wasReleased(p) {
		return nil, nil
	}
	return c.cfg.Faults.Meet(fault.TxnMarker, fault.Attributes{TransactionalID: transactionalID, Topic: p.Topic,
		Partition: p.Partition})
}

func (e *entry) wasReleased(p TopicPartition) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.mu.holds != nil && slices.Contains(e.mu.holds.released, p)
}

// holdMarker leaves the marker of the first owed partition to its release.
func (c *Coordinator) holdMarker(e *entry, p TopicPartition, hold *fault.Hold) {
	e.mu.Lock()
	e.mu.owed = e.mu.owed[1:]
	h := e.holdsLocked()
	h.markers = append(h.markers, heldMarker{p, hold})
	e.mu.Unlock()
	c.heldMarkers.Add(1)
	hold.Then(func() { c.work(func() { c.releaseMarker(e, p) }) }, nil)
}

// releaseMarker lets a held marker be written, at once if no other goroutine owns the transaction.
func (c *Coordinator) releaseMarker(e *entry, p TopicPartition) {
	e.mu.Lock()
	if e.takeHeldLocked(p) {
		c.heldMarkers.Add(-1)
		e.mu.holds.released = append(e.mu.holds.released, p)
		e.mu.owed = slices.Concat(e.mu.owed, []TopicPartition{p})
	}
	owned := e.ownLocked()
	e.mu.Unlock()
	c.finishOrWakeOwner(e, owned)
}

// takeHeldLocked removes a partition from those whose marker is held.
func (e *entry) takeHeldLocked(p TopicPartition) bool {
	h := e.mu.holds
	if h == nil {
		return false
	}
	i := slices.IndexFunc(h.markers, func(m heldMarker) bool { return m.TopicPartition == p })
	if i < 0 {
		return false
	}
	h.markers = slices.Delete(h.markers, i, i+1)
	return true
}

// ownLocked makes the caller the owner of a transaction that has none.
func (e *entry) ownLocked() bool {
	h := e.mu.holds
	owned := h != nil && h.ownerless
	if owned {
		h.ownerless = false
	}
	return owned
}

// finishOrWakeOwner finishes a transaction that the caller owns, or wakes the owner of any other.
func (c *Coordinator) finishOrWakeOwner(e *entry, owned bool) {
	switch {
	case c.ctx.Err() != nil || e.shard.offline.Load(): // the next load does it
	case owned:
		_ = c.finishOrRetry(e, 0) // puts itself back
	default:
		c.hurry(e)
	}
}

// beforeComplete asks the fault point before the Complete record. If it holds, the caller does not own the transaction
// any more.
func (c *Coordinator) beforeComplete(e *entry, transactionalID string) (held bool, err error) {
	e.mu.Lock()
	released := e.mu.holds != nil && e.mu.holds.completeReleased
	heldAlready := e.mu.holds != nil && e.mu.holds.complete
	if heldAlready {
		e.mu.holds.ownerless = true
	}
	e.mu.Unlock()
	if released || heldAlready {
		return heldAlready, nil
	}
	hold, err := c.cfg.Faults.Meet(fault.TxnComplete, fault.Attributes{TransactionalID: transactionalID})
	if hold == nil {
		return false, err
	}
	e.mu.Lock()
	e.holdsLocked().ownerless, e.holdsLocked().complete = true, true
	e.mu.Unlock()
	hold.Then(func() {
		c.work(func() {
			e.mu.Lock()
			e.holdsLocked().completeReleased, e.holdsLocked().complete = true, false
			owned := e.ownLocked()
			e.mu.Unlock()
			c.finishOrWakeOwner(e, owned)
		})
	}, nil)
	return true, nil
}

// expireTransaction aborts a transaction whose timeout has passed, unless a fault holds that.
func (c *Coordinator) expireTransaction(e *entry, now time.Time) {
	hold, _ := c.cfg.Faults.Meet(fault.TxnExpire, fault.Attributes{TransactionalID: e.transactionalID()}) // cannot fail
	if hold == nil {
		c.abortOne(e, now)
		return
	}
	e.mu.Lock()
	due := e.timedOutLocked(now)
	if due {
		e.holdsLocked().expiry = hold
	}
	e.mu.Unlock()
	if !due { // it has been ended meanwhile
		hold.Forget()
		return
	}
	hold.Then(func() {
		c.work(func() {
			e.mu.Lock()
			if e.mu.holds != nil && e.mu.holds.expiry == hold {
				e.mu.holds = nil
			}
			e.mu.Unlock()
			if c.ctx.Err() == nil {
				c.abortOne(e, c.cfg.Clock.Now())
			}
		})
	}, nil)
}

// TopicDeleted drops the held markers for partitions of a deleted topic, which are not needed any more.
func (c *Coordinator) TopicDeleted(topic string) {
	if c.heldMarkers.Load() == 0 {
		return
	}
	c.gate.enter()
	defer c.gate.leave()
	c.each(func(e *entry) {
		e.mu.Lock()
		var forgotten []heldMarker
		if h := e.mu.holds; h != nil {
			forgotten = slices.Clone(h.markers)
			forgotten = slices.DeleteFunc(forgotten, func(m heldMarker) bool { return m.Topic != topic })
		}
		for _, m := range forgotten {
			e.takeHeldLocked(m.TopicPartition)
		}
		owned := len(forgotten) > 0 && e.ownLocked()
		e.mu.Unlock()
		for _, m := range forgotten {
			m.hold.Forget()
		}
		c.heldMarkers.Add(-int64(len(forgotten)))
		if owned {
			c.finishOrWakeOwner(e, true)
		}
	})
}
