package txncoordinator

import (
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

// Markers that failed are tried again after firstRetry, then after twice as long each time, at most maxRetry.
const (
	firstRetry   = 20 * time.Millisecond
	maxRetry     = 2 * time.Second
	maxDoublings = 10 // more than it takes to get there, fewer than a time.Duration has room for
)

// end writes the Prepare record, which decides, then the markers and the Complete record. An error
// before the decision is returned as it is; after it, what is missing is left to the retry loop and the
// answer is ErrConcurrentTransactions, because the client must not take the end for visible yet.
func (c *Coordinator) end(e *entry, p *plan, as outcome) error {
	if err := fault.Hit("txn.prepare.before"); err != nil {
		e.giveBack()
		return fmt.Errorf("%w: %v", ErrCoordinatorNotAvailable, err)
	}
	if err := c.write(e, &p.next, durability.TransactionDecided); err != nil {
		return err
	}
	c.metrics.ended(as)
	if err := fault.Hit("txn.prepare.after"); err != nil {
		c.retryLater(e, 0)
		return ErrConcurrentTransactions
	}
	return c.finishOrRetry(e, 0)
}

// finishOrRetry finishes a prepared transaction or sees to it that the retry loop does.
func (c *Coordinator) finishOrRetry(e *entry, attempts int) error {
	err := c.finish(e)
	switch {
	case err == nil:
		return nil
	case errors.Is(err, errGaveUp):
		c.cfg.Logger.Error("transactional ID is blocked until the next start", "transactional_id", e.transactionalID(), "error", err)
	default:
		if attempts == 0 {
			c.cfg.Logger.Warn("transaction is decided but not finished; trying again", "transactional_id", e.transactionalID(), "error", err)
		}
		c.retryLater(e, attempts)
	}
	return ErrConcurrentTransactions
}

// finish writes the markers still owed and then the Complete record. The caller owns e, which is
// prepared. Called again after an error, it goes on with what is missing.
func (c *Coordinator) finish(e *entry) error {
	t, left := e.beginRound()
	m := batch.Marker{
		ProducerID: t.ProducerID, ProducerEpoch: t.ProducerEpoch, Type: batch.Abort,
		CoordinatorEpoch: e.shard.stateLog.LeaderEpoch(), TimestampMs: c.cfg.Clock.Now().UnixMilli(),
	}
	if t.State == PrepareCommit {
		m.Type = batch.Commit
	}
	var failed error
	for _, p := range left {
		err := c.mark(p, m, t.ClientTransactionVersion)
		e.marked(err == nil)
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

// mark writes one marker. A partition whose topic is gone needs none.
func (c *Coordinator) mark(p TopicPartition, m batch.Marker, transactionVersion int16) error {
	if err := fault.Hit("txn.marker.before"); err != nil {
		return err
	}
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
	return fault.Hit("txn.marker.after")
}

// complete appends the Complete record. It is not waited for: a start that does not find it writes the
// markers and the record again.
func (c *Coordinator) complete(e *entry, t *Transaction) error {
	if err := fault.Hit("txn.complete.before"); err != nil {
		return err
	}
	now := c.cfg.Clock.Now().UnixMilli()
	next := prepareComplete(t, now)
	if _, err := e.shard.stateLog.AppendCoordinator(encodeTransaction(&next, c.cfg.TransactionVersion(), now), durability.TransactionChanged); err != nil {
		return fmt.Errorf("%v of a transactional ID: %w", next.State, err)
	}
	e.mu.Lock()
	e.mu.owed, e.mu.failed = nil, nil
	e.mu.txn.apply(next)
	e.mu.Unlock()
	if err := fault.Hit("txn.complete.after"); err != nil {
		c.cfg.Logger.Warn("fault after the end of a transaction", "error", err)
	}
	return nil
}

func (e *entry) transactionalID() string {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.mu.txn.TransactionalID
}

// beginRound returns the prepared image and all partitions that still lack their marker.
func (e *entry) beginRound() (Transaction, []TopicPartition) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if len(e.mu.failed) > 0 {
		e.mu.owed, e.mu.failed = slices.Concat(e.mu.failed, e.mu.owed), nil
	}
	return e.mu.txn, e.mu.owed
}

// marked takes the first owed partition off the list, to be tried again when its marker failed.
func (e *entry) marked(ok bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if !ok {
		e.mu.failed = append(e.mu.failed, e.mu.owed[0])
	}
	e.mu.owed = e.mu.owed[1:]
}

// ApplyMarker writes a marker that an administrator sends to end a hanging transaction (spec:
// transactions 11, 15). The transactional ID, if one is concerned, is not told, as in Kafka: its own
// end still succeeds later. Errors: ErrUnknownPartition and those of the participant.
func (c *Coordinator) ApplyMarker(p TopicPartition, m batch.Marker, transactionVersion int16) error {
	participant, ok := c.cfg.Participants(p.Topic, p.Partition)
	if !ok {
		return ErrUnknownPartition
	}
	return participant.ApplyMarker(m, transactionVersion)
}
