package txncoordinator

// carrier is the youngest connection that has carried requests of an identity.
type carrier struct {
	Identity
	connection int64
}

// IsLate reports whether a request to add to a transaction or to end it has been overtaken: it comes over an
// older connection than one that has already carried such a request of this identity. Before transactions V2 a
// producer keeps its epoch from one transaction to the next, so nothing else tells a request that a network held
// back from one of the transaction that is open now; and it must not be carried out (spec: reliability P23).
// Stock clients send all of these over one connection, and over a new one only when that is gone.
//
// connection is the accept number, which grows. The answer for requests of other identities, which are refused
// anyway, is no: so a fenced producer that comes back does not make its successor look old.
func (c *Coordinator) IsLate(transactionalID string, by Identity, connection int64) bool {
	e, err := c.known(transactionalID)
	if err != nil {
		return false
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if t := &e.mu.txn; by != (Identity{t.ProducerID, t.ProducerEpoch}) {
		return false
	}
	if e.mu.carrier.Identity != by {
		e.mu.carrier = carrier{Identity: by}
	}
	if connection < e.mu.carrier.connection {
		c.metrics.late.Inc()
		return true
	}
	e.mu.carrier.connection = connection
	return false
}
