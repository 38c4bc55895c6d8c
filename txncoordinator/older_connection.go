package txncoordinator

// Connection is a client's connection to this broker, and what the client calls itself on it.
type Connection struct {
	ID       int64 // the accept number, which grows
	Software string
	ClientID string
}

// lastConnection is the connection over which an identity was last used.
type lastConnection struct {
	Identity
	Connection
}

// IsFromOlderConnection says whether a request to add to a transaction or to end it comes over an older connection than
// the client's last such request of this identity. A client that keeps a single connection has closed the older one, so
// the request was overtaken on the way. Before transactions V2 a producer keeps its epoch from one transaction to the
// next, so nothing else distinguishes a request of an earlier transaction from one of the open transaction. The late
// request must not be carried out (spec: reliability P23).
//
// Call it only for clients that keep a single connection. A client has the same software name and client ID on all of
// its connections. Connections that differ in one of them belong to two clients that share the identity, like a writer
// and a committer of Flink, and neither is older than the other. For other identities, which are refused anyway, the
// answer is false: a fenced producer that comes back does not make its successor's connection older.
func (c *Coordinator) IsFromOlderConnection(transactionalID string, by Identity, over Connection) bool {
	e, err := c.known(transactionalID)
	if err != nil {
		return false
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if t := &e.mu.txn; by != (Identity{t.ProducerID, t.ProducerEpoch}) {
		return false
	}
	last := &e.mu.lastConnection
	sameClient := last.Identity == by && last.Software == over.Software && last.ClientID == over.ClientID
	if sameClient && over.ID < last.ID {
		c.metrics.late.Inc()
		return true
	}
	*last = lastConnection{by, over}
	return false
}
