package cluster

import (
	"once/findings"
	"once/txncoordinator"
)

// transactionObserver tells findings of transactions, but for those that the opening of the engine aborts.
type transactionObserver struct{ engine *engine }

func (o transactionObserver) TransactionBegan(transactionalID string) {
	o.engine.cluster.noticed.TransactionBegan(transactionalID)
}

func (o transactionObserver) TransactionEnded(e txncoordinator.End) {
	if c := o.engine.cluster; c.engine() == o.engine {
		c.noticed.TransactionSeen(seen(e))
	}
}

func seen(e txncoordinator.End) findings.Transaction {
	return findings.Transaction{TransactionalID: e.TransactionalID, Began: e.Began, Open: e.Open, Timeout: e.Timeout,
		Ended: e.How, ByClient: e.ByClient, Empty: e.Empty}
}

// Findings returns what was noticed about the cluster's clients, but for the codes in ignore. ok is false while the lab
// is off: then nothing is noticed. Transactions that are open now are looked at, too.
func (c *Cluster) Findings(ignore ...findings.Code) (all []findings.Finding, ok bool) {
	if c.noticed == nil {
		return nil, false
	}
	c.lookAtOpenTransactions()
	return c.noticed.All(ignore...), true
}

// ClearFindings forgets the findings and what has been seen of clients so far, and returns what Findings would have.
// What goes on, such as a transaction that is open for long, will be found again.
func (c *Cluster) ClearFindings() (cleared []findings.Finding, ok bool) {
	if c.noticed == nil {
		return nil, false
	}
	c.lookAtOpenTransactions()
	return c.noticed.Clear(), true
}

func (c *Cluster) lookAtOpenTransactions() {
	if v, open := c.View(); open {
		defer v.End()
		v.Txns.EachOpen(func(e txncoordinator.End) { c.noticed.TransactionSeen(seen(e)) })
	}
}
