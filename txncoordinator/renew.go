package txncoordinator

import (
	"errors"
	"fmt"

	"once/durability"
)

// RenewIdentities aborts all open transactions, finishes the decided ones, and gives each transactional ID a new
// producer ID, as when its epochs are used up: holders of an old one are refused. It is called once, between Load and
// Start, in a fork: the original goes on, and one producer ID and epoch given out by both would be two producers. After
// an error or a crash another call continues.
func (c *Coordinator) RenewIdentities() error {
	c.schedule.mu.Lock()
	c.schedule.mu.retries = nil // all are tried here
	c.schedule.mu.Unlock()
	for _, e := range c.entriesWhere(func(*entry) bool { return true }) {
		if err := c.renewIdentity(e); err != nil {
			return fmt.Errorf("txncoordinator: renew the producer ID of %q: %w", e.transactionalID(), err)
		}
	}
	return nil
}

func (c *Coordinator) renewIdentity(e *entry) error {
	freshID, err := c.freshProducerID()
	if err != nil {
		return err
	}
	if e.completeWith(freshID) {
		return c.finish(e)
	}
	version := c.cfg.TransactionVersion()
	p, err := c.begin(e, Source{}, func(t *Transaction, _, nowMs int64) (plan, error) {
		if t.State != Ongoing {
			return prepareRenewed(t, freshID, nowMs), nil
		}
		p, err := prepareFence(t, freshID, version, nowMs)
		p.next.NextProducerID = freshID
		return p, err
	})
	if err != nil {
		return err
	}
	if err := c.write(e, &p.next, durability.TransactionChanged); err != nil || !p.next.State.prepared() {
		return err
	}
	c.metrics.ended(outcomeFenced)
	if err := c.finish(e); errors.Is(err, errGaveUp) {
		return err
	} else if err != nil {
		c.retryLater(e, 0) // a partition that is offline may hold it up; the Prepare record has the new producer ID
	}
	return nil
}

// completeWith makes the end of a prepared transaction move its transactional ID to another producer ID.
func (e *entry) completeWith(producerID int64) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	prepared := e.mu.txn.State.prepared()
	if prepared {
		e.mu.txn.NextProducerID = producerID
	}
	return prepared
}

// prepareRenewed moves a transactional ID that has no transaction to another producer ID.
func prepareRenewed(t *Transaction, freshID, nowMs int64) plan {
	next := t.transition(Empty, nowMs)
	next.ProducerID, next.ProducerEpoch, next.LastProducerEpoch = freshID, 0, NoProducerEpoch
	next.PreviousProducerID, next.NextProducerID = NoProducerID, NoProducerID
	next.Partitions, next.StartTimestampMs = nil, noTimestampMs
	return plan{next: next}
}
