package txncoordinator

// Abort aborts the open transaction of an ID as if its timeout had passed, and says whether there was one. While another
// request is ending it the error is ErrConcurrentTransactions. Errors: ErrTransactionalIDNotFound.
func (c *Coordinator) Abort(transactionalID string) (aborted bool, err error) {
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
