package txncoordinator

import (
	"errors"
	"fmt"
	"sync"
	"time"

	"once/durability"
	"once/internal/invariant"
	"once/log/batch"
)

// entry is one transactional ID. mu is a leaf lock: no call is made while it is held (docs/architecture.md has the
// order of all locks). The goroutine that sets Pending owns the ID until Pending is NoState again; only the owner calls
// finish.
type entry struct {
	shard *shard // immutable
	mu    struct {
		sync.Mutex
		txn            Transaction
		deadline       time.Time        // of an Ongoing transaction, with a monotonic reading
		owed           []TopicPartition // of a prepared one: no marker tried yet in this round
		failed         []TopicPartition // tried in this round without success
		holds          *holds           // what faults hold of the transaction; nil for nothing
		lastConnection lastConnection
		decidedAs      outcome      // of the last end
		source         Source       // of the operation that is under way, or was the last
		transitions    []Transition // the last ones; see Config.KeepTransitions
	}
}

// begin decides under the ID's lock and makes the caller its owner if a record is to be written. A decision that needs
// a fresh producer ID is made again with one; the lock is not held meanwhile. by is the request, if there is one.
func (c *Coordinator) begin(e *entry, by Source,
	decide func(t *Transaction, freshID, nowMs int64) (plan, error)) (plan, error) {
	freshID := NoProducerID
	for {
		p, err := e.tryBegin(by, decide, freshID, c.cfg.Clock.Now().UnixMilli())
		if !errors.Is(err, errNeedProducerID) {
			return p, err
		}
		if freshID, err = c.freshProducerID(); err != nil {
			return plan{}, err
		}
	}
}

func (e *entry) tryBegin(by Source, decide func(t *Transaction, freshID, nowMs int64) (plan, error),
	freshID, nowMs int64) (plan, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	t := &e.mu.txn
	p, err := decide(t, freshID, nowMs)
	if err != nil || p.done {
		return p, err
	}
	invariant.Check(t.Pending == NoState && mayFollow(p.next.State, t.State),
		"transaction goes from %v to %v while %v is pending", t.State, p.next.State, t.Pending)
	if p.raiseFirst {
		t.raise(&p.next)
	}
	t.Pending, e.mu.source = p.next.State, by
	return p, nil
}

// write appends an image, waits as long as its answer has to, and applies it. A failed append leaves the ID unchanged
// and without owner. After a failed wait the ID stays owned until the next start: the record may or may not survive,
// and no other decision may be made meanwhile.
func (c *Coordinator) write(e *entry, next *Transaction, answer durability.Answer) error {
	now := c.cfg.Clock.Now()
	appended, err := e.shard.stateLog.AppendCoordinator(
		encodeTransaction(next, c.cfg.TransactionVersion(), now.UnixMilli()), answer)
	if err != nil {
		e.endUnchanged()
		if errors.Is(err, batch.ErrTooLarge) || errors.Is(err, batch.ErrRecordListTooLarge) {
			return fmt.Errorf("%w: %v of a transactional ID: %v", ErrRecordTooLarge, next.State, err)
		}
		return fmt.Errorf("%w: %v of a transactional ID: %v", ErrCoordinatorNotAvailable, next.State, err)
	}
	if err := appended.Durable.Wait(c.ctx); err != nil {
		c.cfg.Logger.Error("transactional ID is blocked: its record may not be durable",
			"transactional_id", next.TransactionalID, "state", next.State.String(), "error", err)
		return fmt.Errorf("%w: %v of a transactional ID: %v", ErrCoordinatorNotAvailable, next.State, err)
	}
	if began := e.written(next, now); began && c.cfg.Observer != nil {
		c.cfg.Observer.TransactionBegan(next.TransactionalID)
	}
	return nil
}

// written applies an image that is in the log, and says whether a transaction began with it.
func (e *entry) written(next *Transaction, now time.Time) (began bool) {
	e.mu.Lock()
	if began = next.State == Ongoing && e.mu.txn.State != Ongoing; began {
		e.mu.deadline = now.Add(time.Duration(next.TimeoutMs) * time.Millisecond)
	}
	if next.State.prepared() {
		e.mu.owed, e.mu.failed = next.Partitions, nil
	}
	before := e.mu.txn.State
	e.mu.txn.apply(*next)
	e.noteLocked(now, causeOf(before, next.State, e.mu.decidedAs), e.mu.source)
	expiry := e.endHoldsLocked()
	e.mu.Unlock()
	expiry.Forget()
	return began
}

// endUnchanged ends an operation without a change.
func (e *entry) endUnchanged() {
	e.mu.Lock()
	e.mu.txn.Pending = NoState
	e.mu.Unlock()
}
