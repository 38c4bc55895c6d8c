package txncoordinator

import "time"

// howEnded names each outcome for an Observer.
var howEnded = [...]string{
	outcomeCommit: "committed", outcomeAbort: "aborted", outcomeTimeout: "timed out", outcomeFenced: "fenced",
}

// observedEnd describes the end of an open transaction for the observer, before its markers are written; nil without
// an observer, and for an abort without a transaction.
func (c *Coordinator) observedEnd(next *Transaction, as outcome) *End {
	if c.cfg.Observer == nil || len(next.Partitions) == 0 {
		return nil
	}
	began := time.UnixMilli(next.StartTimestampMs)
	return &End{
		TransactionalID: next.TransactionalID, Began: began, Open: c.cfg.Clock.Now().Sub(began),
		Timeout: time.Duration(next.TimeoutMs) * time.Millisecond, How: howEnded[as],
		ByClient: as == outcomeCommit || as == outcomeAbort, Empty: as == outcomeCommit && !c.hasRecords(next),
	}
}

// hasRecords says whether some partition has a record of an open transaction. If a topic is deleted, its records are
// not known any more.
func (c *Coordinator) hasRecords(t *Transaction) bool {
	for _, p := range t.Partitions {
		participant, ok := c.cfg.Participants(p.Topic, p.Partition)
		if !ok || participant.HasOpenTransaction(t.ProducerID) {
			return true
		}
	}
	return false
}

// EachOpen calls fn with each transaction that is open, in no particular order, as it has been open so far.
func (c *Coordinator) EachOpen(fn func(End)) {
	var open []End
	now := c.cfg.Clock.Now()
	c.each(func(e *entry) {
		e.mu.Lock()
		defer e.mu.Unlock()
		if t := &e.mu.txn; t.State == Ongoing {
			began := time.UnixMilli(t.StartTimestampMs)
			open = append(open, End{TransactionalID: t.TransactionalID, Began: began, Open: now.Sub(began),
				Timeout: time.Duration(t.TimeoutMs) * time.Millisecond})
		}
	})
	for _, e := range open {
		fn(e)
	}
}
