package findings

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// world is a Findings with a clock and connections of its own.
type world struct {
	t *testing.T
	*Findings
	clock  time.Time
	closed map[int64]chan struct{}
}

func newWorld(t *testing.T) *world {
	w := &world{t: t, clock: time.Unix(1_900_000_000, 0), closed: map[int64]chan struct{}{}}
	w.Findings = New(4<<20, func() time.Time { return w.clock })
	return w
}

// client returns the client of a connection.
func (w *world) client(connection int64) Client {
	if w.closed[connection] == nil {
		w.closed[connection] = make(chan struct{})
	}
	return Client{Connection: connection, ID: fmt.Sprint("client-", connection), Closed: w.closed[connection]}
}

func (w *world) disconnect(connection int64) { close(w.closed[connection]) }

// transact has a client run a whole transaction.
func (w *world) transact(connection int64, id string) {
	w.TransactionBegan(id)
	w.ProducerActed(w.client(connection), id, true)
	w.clock = w.clock.Add(time.Millisecond)
}

func (w *world) begin(connection int64, id string) {
	w.ProducerInitialized(w.client(connection), id)
	w.transact(connection, id)
}

// expect expects the codes of all findings.
func (w *world) expect(codes ...Code) {
	w.t.Helper()
	var found []Code
	for _, f := range w.All() {
		found = append(found, f.Code)
	}
	if !slices.Equal(found, codes) {
		w.t.Errorf("found %v, want %v", w.All(), codes)
	}
}

// A member that commits in both ways is found at once, in either order.
func TestMemberThatCommitsInBothWays(t *testing.T) {
	for _, first := range []string{"", "orders"} {
		w := newWorld(t)
		other := "orders"
		if first == other {
			other = ""
		}
		w.OffsetsCommitted(w.client(1), Commit{Group: "g", MemberID: "m", TransactionalID: first})
		w.OffsetsCommitted(w.client(2), Commit{Group: "g", MemberID: "n", TransactionalID: first})
		w.OffsetsCommitted(w.client(3), Commit{Group: "other", MemberID: "m", TransactionalID: other})
		w.expect()
		w.OffsetsCommitted(w.client(3), Commit{Group: "g", MemberID: "m", TransactionalID: other})
		w.expect(MixedCommits)
	}
}

// A group that moves from one way to the other, instance by instance, is none; nor is a reset of its offsets by a tool.
func TestGroupThatChangesItsWay(t *testing.T) {
	w := newWorld(t)
	for range 3 {
		w.OffsetsCommitted(w.client(1), Commit{Group: "g", MemberID: "old"})
		w.OffsetsCommitted(w.client(2), Commit{Group: "g", MemberID: "new", TransactionalID: "orders"})
	}
	w.OffsetsCommitted(w.client(3), Commit{Group: "g"})
	w.expect()

	w.OffsetsCommitted(w.client(4), Commit{Group: "h", TransactionalID: "orders"})
	w.disconnect(4)
	w.OffsetsCommitted(w.client(5), Commit{Group: "h"})
	w.disconnect(5)
	w.OffsetsCommitted(w.client(6), Commit{Group: "h", TransactionalID: "orders"})
	w.expect()
}

// Without members, commits in both ways by clients that are both connected are found.
func TestClientsWithoutMembersThatCommitInBothWays(t *testing.T) {
	for _, order := range [][]string{{"", "orders"}, {"orders", ""}} {
		for _, member := range []string{"", "m"} {
			w := newWorld(t)
			for i, id := range order {
				c := Commit{Group: "g", TransactionalID: id}
				if id == "" {
					c.MemberID = member
				}
				w.OffsetsCommitted(w.client(int64(i+1)), c)
			}
			w.expect(MixedCommits)
		}
	}
}

// A transaction that is open for long is found while it is open, and not a second time when it ends.
func TestLongTransaction(t *testing.T) {
	w := newWorld(t)
	w.begin(1, "orders")
	see := func(open time.Duration, ended string) {
		w.TransactionSeen(Transaction{TransactionalID: "orders", Began: w.clock, Open: open, Timeout: time.Minute,
			Ended:    ended,
			ByClient: ended == "committed"})
	}
	see(30*time.Second, "committed")
	w.expect()
	see(31*time.Second, "")
	see(32*time.Second, "")
	see(33*time.Second, "committed")
	w.expect(LongTransaction)
	found := w.All()[0]
	if found.Count != 1 || !strings.Contains(found.Sentence,
		`"orders" was open for 33s of its timeout of 1m0s, and then committed`) {
		t.Errorf("%+v", found)
	}
	w.clock = w.clock.Add(time.Hour)
	see(40*time.Second, "timed out")
	if again := w.All()[0]; again.Count != 2 || !again.Since.Equal(found.Since) {
		t.Errorf("%+v", again)
	}
	if left := w.All(LongTransaction); len(left) != 0 {
		t.Errorf("ignored: %v", left)
	}
	w.Clear()
	see(31*time.Second, "")
	w.expect(LongTransaction)
}

// A transaction of a client that is gone stays open until its successor comes, which is no mistake.
func TestTransactionOfAClientThatIsGone(t *testing.T) {
	w := newWorld(t)
	w.begin(1, "orders")
	w.disconnect(1)
	for _, id := range []string{"orders", "unknown"} {
		for _, ended := range []string{"", "timed out", "fenced"} {
			w.TransactionSeen(Transaction{TransactionalID: id, Open: time.Hour, Timeout: time.Minute, Ended: ended})
		}
	}
	w.expect()
	w.TransactionSeen(Transaction{TransactionalID: "orders", Open: time.Hour, Timeout: time.Minute, Ended: "aborted",
		ByClient: true})
	w.expect(LongTransaction)
}

func TestEmptyTransaction(t *testing.T) {
	w := newWorld(t)
	w.TransactionSeen(Transaction{TransactionalID: "orders", Timeout: time.Minute, Ended: "committed", ByClient: true,
		Empty: true})
	w.TransactionSeen(Transaction{TransactionalID: "orders", Timeout: time.Minute, Ended: "committed", ByClient: true,
		Empty: true})
	w.expect(EmptyTransaction)
	if n := w.All()[0].Count; n != 2 {
		t.Errorf("%d times", n)
	}
}

// Two clients that are connected and take the ID from each other are found, when the second one has ended a transaction
// or when somebody looks; each pair once.
func TestSharedTransactionalID(t *testing.T) {
	w := newWorld(t)
	w.begin(1, "orders")
	w.begin(2, "orders")
	w.disconnect(1)
	w.expect(SharedTransactionalID)
	w.transact(2, "orders")
	if n := w.All()[0].Count; n != 1 {
		t.Errorf("one pair is found %d times", n)
	}
	w.begin(3, "orders")
	if n := w.All()[0].Count; n != 2 {
		t.Errorf("two pairs are found %d times", n)
	}

	w = newWorld(t)
	w.begin(1, "orders")
	w.ProducerInitialized(w.client(2), "orders")
	w.expect()
	w.TransactionBegan("orders")
	w.expect(SharedTransactionalID)
}

// A successor of a client that is gone, has hung or only fences is none; nor is the same client once more.
func TestSuccessorsAreNoSharers(t *testing.T) {
	w := newWorld(t)
	w.begin(1, "killed")
	w.disconnect(1)
	w.begin(2, "killed")
	w.ProducerActed(w.client(2), "killed", true)

	w.begin(3, "hung")
	w.clock = w.clock.Add(takeoverTime + time.Second)
	w.begin(4, "hung")
	w.ProducerActed(w.client(3), "hung", false) // the zombie wakes up, and is fenced
	w.transact(4, "hung")

	w.begin(5, "fenced")
	w.ProducerInitialized(w.client(6), "fenced") // by an administrator
	w.ProducerActed(w.client(5), "fenced", false)
	w.disconnect(5)
	w.begin(7, "fenced")

	w.begin(8, "again")
	w.begin(8, "again")

	w.begin(9, "over two connections")
	w.ProducerActed(w.client(10), "over two connections", true)
	w.begin(10, "over two connections")
	w.expect()
}

func TestSequencesReset(t *testing.T) {
	w := newWorld(t)
	w.IdempotentInitialized(w.client(1), -1, 7)
	w.IdempotentInitialized(w.client(2), -1, 8)
	w.expect()
	w.IdempotentInitialized(w.client(1), -1, 9)
	w.IdempotentInitialized(w.client(3), 8, 10)
	w.SequencesBegan(w.client(2), 8, 1, "t", 0)
	w.expect(SequencesReset, SequencesReset, SequencesReset)
	if id := w.All()[0].Subjects.ProducerID; *id != 7 {
		t.Errorf("producer %d", *id)
	}
}

// What is remembered has a limit, whatever the names are: the first findings stay, and the groups and IDs used last.
func TestFindingsAreBounded(t *testing.T) {
	w := newWorld(t)
	const maxBytes = 64 << 10
	w.Findings = New(maxBytes, w.now)
	long := strings.Repeat("x", 3000)
	verbose := func(connection int64) Client {
		c := w.client(connection)
		c.ID = long
		return c
	}
	for i := range 1000 {
		id := fmt.Sprint(long, i)
		w.begin(int64(2*i+1), id)
		w.begin(int64(2*i+2), id)
		w.ProducerActed(verbose(int64(2*i+2)), id, true)
		w.OffsetsCommitted(verbose(1), Commit{Group: id, MemberID: id})
		w.OffsetsCommitted(verbose(1), Commit{Group: id, MemberID: id, TransactionalID: id})
		w.IdempotentInitialized(w.client(int64(i)), 1, 2)
		w.All()
	}
	f := &w.Findings.mu
	if used := f.sizeBytes + f.groups.sizeBytes + f.ids.sizeBytes + f.producers.sizeBytes; used > maxBytes {
		t.Errorf("%d bytes", used)
	}
	if f.groups.order.Len() == 0 || f.groups.order.Len() != len(f.groups.byName) ||
		f.ids.get(fmt.Sprint(long, 999)) == nil {
		t.Error("the last groups and IDs are forgotten")
	}
	if g := f.groups.get(fmt.Sprint(long, 999)); len(g.plain.last.ID) > maxShown+3 ||
		len(g.inTransactions.transactionalID) > maxKept+3 {
		t.Error("long names are kept with a group")
	}
	if all := w.All(); len(all) < 5 || all[0].Subjects.TransactionalID != long+"0" {
		t.Errorf("%d findings", len(all))
	}
	w.Findings = New(0, w.now)
	w.begin(1, "orders")
	w.begin(2, "orders")
	w.TransactionSeen(Transaction{ByClient: true, Empty: true})
	w.expect()
	var none *Findings
	none.TransactionBegan("orders")
	none.ProducerInitialized(w.client(1), "orders")
	none.Clear()
}

// Clear begins anew: nothing that was seen before leads to a finding.
func TestClearForgetsClients(t *testing.T) {
	w := newWorld(t)
	w.begin(1, "orders")
	w.OffsetsCommitted(w.client(1), Commit{Group: "g", MemberID: "m"})
	w.TransactionSeen(Transaction{ByClient: true, Empty: true})
	w.Clear()
	w.begin(2, "orders")
	w.OffsetsCommitted(w.client(1), Commit{Group: "g", MemberID: "m", TransactionalID: "orders"})
	w.expect()
}
