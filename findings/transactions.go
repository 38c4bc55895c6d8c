package findings

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// takeoverTime is the longest time between the last request of a client and the InitProducerId of another one with
// which the first still counts as alive. A client that was silent for longer has hung, and its successor is right to
// fence it.
const takeoverTime = 10 * time.Second

// maxConnections is how many connections of a client are remembered; then the oldest goes.
const maxConnections = 4

// transactional is what is known of a transactional ID: its incarnations, each of which begins with an InitProducerId
// that names no earlier producer ID.
type transactional struct {
	now, before incarnation // before is the last earlier one that had a transaction
	pairs       int64       // that were found
	shared      bool        // now and before are one of them
}

// transactionalBytes is about the size of a transactional, with what it points to.
const transactionalBytes = 2048

// incarnation is a client that uses a transactional ID.
type incarnation struct {
	connections []Client
	began       time.Time
	lastUsed    time.Time
	worked      bool // it had a transaction
}

// index returns the place of a connection in connections, -1 for none.
func (i *incarnation) index(connection int64) int {
	return slices.IndexFunc(i.connections, func(c Client) bool { return c.Connection == connection })
}

func (i *incarnation) add(c Client) {
	if i.index(c.Connection) >= 0 {
		return
	}
	if len(i.connections) == maxConnections {
		i.connections = slices.Delete(i.connections, 0, 1)
	}
	i.connections = append(i.connections, c.kept())
}

func (i *incarnation) connected() (Client, bool) {
	for _, c := range i.connections {
		if c.connected() {
			return c, true
		}
	}
	return Client{}, false
}

func (f *Findings) idLocked(transactionalID string) *transactional {
	if t := f.mu.ids.get(transactionalID); t != nil {
		return t
	}
	return f.mu.ids.add(strings.Clone(transactionalID), transactionalBytes)
}

// ProducerInitialized says that an InitProducerId that named no earlier producer ID has succeeded: a client has taken
// over the transactional ID.
func (f *Findings) ProducerInitialized(by Client, transactionalID string) {
	if f == nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	t := f.idLocked(transactionalID)
	switch {
	case t == nil:
		return
	case t.now.index(by.Connection) >= 0: // the same client, once more
		t.now.lastUsed = f.now()
		return
	case t.now.worked: // else it was there to fence the one before
		t.before = t.now
	}
	now := f.now()
	t.now, t.shared = incarnation{began: now, lastUsed: now}, false
	t.now.add(by)
}

// ProducerActed says that a client has sent a request of its transaction, and whether it succeeded. Without success it
// is most often fenced.
func (f *Findings) ProducerActed(by Client, transactionalID string, succeeded bool) {
	if f == nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	t := f.mu.ids.get(transactionalID)
	if t == nil && succeeded {
		t = f.idLocked(transactionalID)
	}
	if t == nil {
		return
	}
	if succeeded && t.before.index(by.Connection) < 0 {
		t.now.add(by)
		t.now.lastUsed = f.now()
	}
	f.lookAtPairLocked(transactionalID, t)
}

// TransactionBegan says that partitions were added to a new transaction.
func (f *Findings) TransactionBegan(transactionalID string) {
	if f == nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if t := f.idLocked(transactionalID); t != nil {
		t.now.worked, t.now.lastUsed = true, f.now()
	}
}

// lookAtPairLocked notices that two clients use a transactional ID: both had transactions, the second took over while
// the first was at work, and both are connected. A client that was killed, closed, or silent for a while is none; nor
// is one that only fences another, as an administrator does.
func (f *Findings) lookAtPairLocked(transactionalID string, t *transactional) {
	if t.shared || !t.before.worked || !t.now.worked || t.now.began.Sub(t.before.lastUsed) > takeoverTime {
		return
	}
	first, connected := t.before.connected()
	if !connected {
		return
	}
	second, connected := t.now.connected()
	if !connected {
		return
	}
	t.shared = true
	t.pairs++
	f.noteLocked(SharedTransactionalID, transactionalID, t.pairs, fmt.Sprintf("Transactional ID %s is used by two "+
		"clients that are both connected: client %s (connection %d) used it %s before client %s (connection %d) took it "+
		"over. Each one fences the other.", quoted(transactionalID), quoted(first.ID), first.Connection,
		t.now.began.Sub(t.before.lastUsed).Round(time.Millisecond), quoted(second.ID), second.Connection),
		Subjects{TransactionalID: strings.Clone(transactionalID), Clients: clientsOf(first, second)})
}

func (f *Findings) lookAtPairsLocked() { f.mu.ids.each(f.lookAtPairLocked) }

// Transaction is a transaction that is open or has ended.
type Transaction struct {
	TransactionalID string
	Began           time.Time     // by the cluster's clock, to the millisecond
	Open            time.Duration // for how long, by the same clock
	Timeout         time.Duration
	Ended           string // how: committed, aborted, timed out, fenced; "" while it is open
	ByClient        bool   // its own client has ended it
	Empty           bool   // it was committed, and no partition has a record of it
}

// TransactionSeen notices a transaction that is open for long, or has ended as it should not. One whose client is gone
// is open for as long as it takes to replace the client, which is no mistake.
func (f *Findings) TransactionSeen(t Transaction) {
	long := t.Open > t.Timeout/2
	if f == nil || !long && !t.Empty {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if !t.ByClient {
		id := f.mu.ids.get(t.TransactionalID)
		if id == nil {
			return
		}
		if _, connected := id.now.connected(); !connected {
			return
		}
	}
	id, about := quoted(t.TransactionalID), Subjects{TransactionalID: strings.Clone(t.TransactionalID)}
	if long {
		fate := fmt.Sprintf("was open for %s of its timeout of %s, and then %s", round(t.Open), t.Timeout, t.Ended)
		if t.Ended == "" {
			fate = fmt.Sprintf("has been open for %s of its timeout of %s", round(t.Open), t.Timeout)
		}
		f.noteLocked(LongTransaction, t.TransactionalID, t.Began.UnixMilli(), fmt.Sprintf("A transaction of transactional "+
			"ID %s %s: meanwhile read_committed readers get nothing behind its first record.", id, fate), about)
	}
	if t.Empty {
		f.noteLocked(EmptyTransaction, t.TransactionalID, 0, fmt.Sprintf("A transaction of transactional ID %s was "+
			"committed without a record: partitions were added to it, and nothing was written to them. Sends may have failed "+
			"without being noticed.", id), about)
	}
}

func round(d time.Duration) time.Duration { return d.Round(10 * time.Millisecond) }
