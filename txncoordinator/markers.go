package txncoordinator

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"time"

	"once/durability"
	"once/internal/fault"
	"once/log/batch"
)

// errGaveUp: a partition refused a marker for good; the ID stays busy until the next start (spec:
// transactions 11).
var errGaveUp = errors.New("txncoordinator: marker refused")

// Failed markers are retried after firstRetry, then after twice as long each time, at most maxRetry.
const (
	firstRetry   = 20 * time.Millisecond
	maxRetry     = 2 * time.Second
	maxDoublings = 10 // more than it takes to get there, fewer than a time.Duration has room for
)

// end writes the Prepare record, which decides, then the markers and the Complete record. An error before the decision
// is returned as it is. After it, the retry loop does the rest and the answer is ErrConcurrentTransactions, because the
// end is not visible yet. errHeld means that faults hold all missing steps.
func (c *Coordinator) end(e *entry, p *plan, as outcome) error {
	hold, err := c.cfg.Faults.Meet(fault.TxnPrepare, fault.Attributes{TransactionalID: p.next.TransactionalID})
	switch {
	case err != nil:
		e.endUnchanged()
		return fmt.Errorf("%w: %w", ErrCoordinatorNotAvailable, err)
	case hold != nil:
		return c.endWhenReleased(hold, e, *p, as)
	}
	return c.decide(e, p, as)
}

// decide is the part of end after the fault point.
func (c *Coordinator) decide(e *entry, p *plan, as outcome) error {
	e.mu.Lock()
	e.mu.decidedAs = as
	e.mu.Unlock()
	end := c.observedEnd(&p.next, as)
	if err := c.write(e, &p.next, durability.TransactionDecided); err != nil {
		return err
	}
	c.metrics.ended(as)
	if end != nil {
		c.cfg.Observer.TransactionEnded(*end)
	}
	if err := c.cfg.Faults.Hit(fault.TxnPrepared, fault.Attributes{TransactionalID: p.next.TransactionalID}); err != nil {
		c.retryLater(e, 0)
		return ErrConcurrentTransactions
	}
	return c.finishOrRetry(e, 0)
}

// finishOrRetry finishes a prepared transaction, or leaves it to the retry loop or to the release of a hold.
func (c *Coordinator) finishOrRetry(e *entry, attempts int) error {
	err := c.finish(e)
	switch {
	case err == nil || errors.Is(err, errHeld):
		return err
	case errors.Is(err, errGaveUp):
		c.cfg.Logger.Error("transactional ID is blocked until the next start", "transactional_id", e.transactionalID(),
			"error", err)
	default:
		if attempts == 0 {
			c.cfg.Logger.Warn("transaction is decided but not finished; trying again", "transactional_id", e.transactionalID(),
				"error", err)
		}
		c.retryLater(e, attempts)
	}
	return ErrConcurrentTransactions
}

// finish writes the markers still owed and then the Complete record. The caller owns e, which is prepared. After an
// error another call continues with the missing steps.
func (c *Coordinator) finish(e *entry) error {
	t := e.beginRound()
	m := batch.Marker{
		ProducerID: t.ProducerID, ProducerEpoch: t.ProducerEpoch, Type: batch.Abort,
		CoordinatorEpoch: e.shard.stateLog.LeaderEpoch(), TimestampMs: c.cfg.Clock.Now().UnixMilli(),
	}
	if t.State == PrepareCommit {
		m.Type = batch.Commit
	}
	var failed error
	for {
		p, more, left := e.nextOwed()
		if left {
			return errHeld
		}
		if !more {
			break
		}
		hold, err := c.beforeMarker(e, t.TransactionalID, p)
		if hold != nil {
			c.holdMarker(e, p, hold)
			continue
		}
		if err == nil {
			err = c.mark(t.TransactionalID, p, m, t.ClientTransactionVersion)
		}
		e.removeFirstOwed(err == nil)
		if err != nil {
			failed = errors.Join(failed, fmt.Errorf("marker for %v: %w", p, err))
		}
		if errors.Is(err, errGaveUp) {
			return failed
		}
	}
	if failed != nil {
		return failed
	}
	return c.complete(e, &t)
}

// mark writes one marker. A partition of a deleted topic needs none.
func (c *Coordinator) mark(transactionalID string, p TopicPartition, m batch.Marker, transactionVersion int16) error {
	participant, ok := c.cfg.Participants(p.Topic, p.Partition)
	if !ok {
		return nil
	}
	if err := participant.ApplyMarker(m, transactionVersion); err != nil {
		if c.cfg.Refused(err) {
			return fmt.Errorf("%w: %w", errGaveUp, err)
		}
		return err
	}
	return c.cfg.Faults.Hit(fault.TxnMarked, fault.Attributes{TransactionalID: transactionalID, Topic: p.Topic,
		Partition: p.Partition})
}

// complete appends the Complete record. It does not wait for it: a start that does not find it writes the markers and
// the record again.
func (c *Coordinator) complete(e *entry, t *Transaction) error {
	if held, err := c.beforeComplete(e, t.TransactionalID); held || err != nil {
		return cmp.Or(err, errHeld)
	}
	now := c.cfg.Clock.Now().UnixMilli()
	next := prepareComplete(t, now)
	if _, err := e.shard.stateLog.AppendCoordinator(encodeTransaction(&next, c.cfg.TransactionVersion(), now),
		durability.TransactionChanged); err != nil {
		return fmt.Errorf("%v of a transactional ID: %w", next.State, err)
	}
	e.mu.Lock()
	e.mu.owed, e.mu.failed, e.mu.holds = nil, nil, nil
	e.mu.txn.apply(next)
	e.noteLocked(time.UnixMilli(now), "markers written", Source{})
	e.mu.Unlock()
	_ = c.cfg.Faults.Hit(fault.TxnCompleted, fault.Attributes{TransactionalID: next.TransactionalID}) // it has ended
	return nil
}

func (e *entry) transactionalID() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.mu.txn.TransactionalID
}

// beginRound returns the prepared image, and makes all partitions without marker owed again.
func (e *entry) beginRound() Transaction {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.mu.failed) > 0 {
		e.mu.owed, e.mu.failed = slices.Concat(e.mu.failed, e.mu.owed), nil
	}
	return e.mu.txn
}

// nextOwed returns the first partition whose marker is owed; it stays so until marked. left says that only held markers
// are missing: then the caller does not own the transaction any more.
func (e *entry) nextOwed() (p TopicPartition, more, left bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.mu.owed) > 0 {
		return e.mu.owed[0], true, false
	}
	h := e.mu.holds
	left = h != nil && len(h.markers) > 0 && len(e.mu.failed) == 0
	if left {
		h.ownerless = true
	}
	return p, false, left
}

// removeFirstOwed takes the first owed partition off the list; a failed one is retried.
func (e *entry) removeFirstOwed(ok bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !ok {
		e.mu.failed = append(e.mu.failed, e.mu.owed[0])
	}
	e.mu.owed = e.mu.owed[1:]
}

// ApplyMarker writes a marker that an administrator sends to end a hanging transaction (spec: transactions 11, 15). As
// in Kafka the state of the transactional ID does not change: its own end still succeeds later. Errors:
// ErrUnknownPartition and those of the participant.
func (c *Coordinator) ApplyMarker(p TopicPartition, m batch.Marker, transactionVersion int16) error {
	participant, ok := c.cfg.Participants(p.Topic, p.Partition)
	if !ok {
		return ErrUnknownPartition
	}
	return participant.ApplyMarker(m, transactionVersion)
}
