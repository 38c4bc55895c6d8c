package txncoordinator

import (
	"fmt"

	"once/durability"
)

// Abort aborts the open transaction of an ID as if its timeout had passed, and says whether there was one. While
// another request is ending it the error is ErrConcurrentTransactions. Errors: ErrTransactionalIDNotFound.
func (c *Coordinator) Abort(transactionalID string) (aborted bool, err error) {
	err = c.operate(func() (err error) {
		aborted, err = c.abort(transactionalID)
		return err
	})
	return aborted, err
}

func (c *Coordinator) abort(transactionalID string) (aborted bool, err error) {
	s, err := c.locate(transactionalID)
	if err != nil {
		return false, err
	}
	e := s.find(transactionalID)
	if e == nil {
		return false, ErrTransactionalIDNotFound
	}
	now := c.cfg.Clock.Now()
	e.mu.Lock()
	t := &e.mu.txn
	open, busy := t.State == Ongoing, t.Pending != NoState
	if open && !busy {
		e.mu.deadline = now.Add(-1)
	}
	e.mu.Unlock()
	switch {
	case busy:
		return false, ErrConcurrentTransactions
	case open:
		c.abortOne(e, now)
	}
	return open, nil
}

// Hang forgets an ID whose transaction is open, and leaves the transaction open in its partitions: such a transaction
// hangs, and only a marker of an administrator ends it. It says whether there was one. Errors as for Abort.
func (c *Coordinator) Hang(transactionalID string) (hung bool, err error) {
	err = c.operate(func() (err error) {
		hung, err = c.hang(transactionalID)
		return err
	})
	return hung, err
}

func (c *Coordinator) hang(transactionalID string) (hung bool, err error) {
	s, err := c.locate(transactionalID)
	if err != nil {
		return false, err
	}
	e := s.find(transactionalID)
	if e == nil {
		return false, ErrTransactionalIDNotFound
	}
	e.mu.Lock()
	t := &e.mu.txn
	open, busy := t.State == Ongoing, t.Pending != NoState
	if open && !busy {
		t.Pending = Dead
	}
	forgotten := *t // nobody changes it from here on
	e.mu.Unlock()
	switch {
	case busy:
		return false, ErrConcurrentTransactions
	case !open:
		return false, nil
	}
	nowMs := c.cfg.Clock.Now().UnixMilli()
	if _, err := s.stateLog.AppendCoordinator(encodeHang(&forgotten, c.cfg.TransactionVersion(), nowMs),
		durability.TransactionChanged); err != nil {
		e.endUnchanged()
		return false, fmt.Errorf("%w: forgetting a transactional ID: %w", ErrCoordinatorNotAvailable, err)
	}
	c.remove(s, transactionalID)
	return true, nil
}
