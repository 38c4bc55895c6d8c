package txncoordinator

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"once/log/batch"
)

// TestCrashAtEveryWrite lets the process die before and after every write of a history, state log record
// or marker, 0, 1, 2 … until it comes through; then it starts again on what was written. What the
// state log has decided must have happened, and nothing else; the client's retry hears the same.
func TestCrashAtEveryWrite(t *testing.T) {
	for _, version := range []int16{0, 2} {
		for _, before := range []bool{true, false} {
			deaths := 0
			for n := 0; crashAndRestart(t, version, n, before); n++ {
				deaths++
			}
			if deaths < 12 {
				t.Errorf("version %d: the history has only %d writes", version, deaths)
			}
		}
	}
}

var sweepParts = []TopicPartition{{"x", 0}, {"x", 1}, {"y", 0}}

// client is a producer that does one transaction after the other.
type client struct {
	id      Identity
	version int16
}

func (cl *client) end(c *Coordinator, commit bool) error {
	id, err := c.EndTxn(EndRequest{TransactionalID: "t", ProducerID: cl.id.ProducerID, ProducerEpoch: cl.id.ProducerEpoch,
		Commit: commit, ClientTransactionVersion: cl.version})
	if err == nil && cl.version >= 2 {
		cl.id = id
	}
	return err
}

func (cl *client) add(c *Coordinator, p TopicPartition) error {
	return c.AddPartitions(AddRequest{TransactionalID: "t", ProducerID: cl.id.ProducerID,
		ProducerEpoch: cl.id.ProducerEpoch, Partitions: []TopicPartition{p}, ClientTransactionVersion: cl.version})
}

// history runs a commit, an abort and a timeout, and returns what was going on when it stopped.
func (cl *client) history(w *world, c *Coordinator) (doing string) {
	id, err := c.InitProducerID(InitRequest{TransactionalID: "t", ProducerID: -1, ProducerEpoch: -1, TimeoutMs: 1000})
	if err != nil {
		return "init"
	}
	cl.id = id
	for _, commit := range []bool{true, false} {
		for _, p := range sweepParts {
			if cl.add(c, p) != nil {
				return "add"
			}
		}
		if cl.end(c, commit) != nil {
			return fmt.Sprintf("end commit=%v", commit)
		}
	}
	if cl.add(c, sweepParts[0]) != nil {
		return "add"
	}
	w.clock.Advance(time.Minute)
	w.due(c)
	if w.mu.crash.Dead() {
		return "timeout"
	}
	return "done"
}

func crashAndRestart(t *testing.T, version int16, n int, before bool) (died bool) {
	t.Helper()
	w := newWorld()
	w.mu.version = version
	c := w.coordinator(t, nil)
	if err := c.Load(); err != nil {
		t.Fatal(err)
	}
	w.mu.crash.AtWrite(n, before)
	cl := &client{version: version}
	doing := cl.history(w, c)
	died = w.mu.crash.Dead()
	if died == (doing == "done") {
		t.Fatalf("version %d, write %d: dead %v while %s", version, n, died, doing)
	}
	name := fmt.Sprintf("version %d, death before=%v write %d, during %s", version, before, n, doing)
	decided := stateLogDecisions(t, w)

	c = w.coordinator(t, nil)
	if err := c.Load(); err != nil {
		t.Fatal(err)
	}
	checkOutcomes(t, name, w, decided)
	if !died {
		return false
	}
	switch doing {
	case "end commit=true", "end commit=false":
		commit := doing == "end commit=true"
		if err := cl.end(c, !commit); !errors.Is(err, ErrInvalidTxnState) && lastDecision(decided, commit) {
			t.Errorf("%s: the opposite answers %v", name, err)
		} else if err == nil && lastDecision(decided, commit) {
			t.Errorf("%s: the opposite succeeds", name)
		} else if err == nil {
			return true // nothing was decided before, so this decided
		}
		if err := cl.end(c, commit); err != nil {
			t.Errorf("%s: the retry answers %v", name, err)
		}
	case "add", "init":
		if _, err := c.InitProducerID(InitRequest{TransactionalID: "t", ProducerID: -1, ProducerEpoch: -1,
			TimeoutMs: 1000}); err != nil && !errors.Is(err, ErrConcurrentTransactions) {
			t.Errorf("%s: init answers %v", name, err)
		}
	}
	checkOutcomes(t, name+", then retried", w, stateLogDecisions(t, w))
	return true
}

// stateLogDecisions returns the Prepare images in the state log, in order.
func stateLogDecisions(t *testing.T, w *world) (decided []Transaction) {
	t.Helper()
	for _, raw := range w.stateLog(0).(*memStateLog).batches {
		for r, err := range batch.Records(raw, 1<<20) {
			if err != nil {
				t.Fatal(err)
			}
			txn, err := decodeValue("t", r.Value)
			if err != nil {
				t.Fatal(err)
			}
			if txn.State.prepared() {
				decided = append(decided, txn)
			}
		}
	}
	return decided
}

func lastDecision(decided []Transaction, commit bool) bool {
	want := PrepareAbort
	if commit {
		want = PrepareCommit
	}
	return len(decided) > 0 && decided[len(decided)-1].State == want
}

// checkOutcomes: every decision has its marker in every partition of it, in the order of the decisions;
// a marker may come twice in a row, but there is none that was not decided.
func checkOutcomes(t *testing.T, name string, w *world, decided []Transaction) {
	t.Helper()
	type mark struct {
		epoch int16
		what  batch.MarkerType
	}
	for _, p := range sweepParts {
		var want, got []mark
		for _, d := range decided {
			if d.has(p) {
				want = append(want, mark{d.ProducerEpoch, batch.MarkerType(3 - d.State)})
			}
		}
		for _, m := range w.mu.markers[p] {
			got = append(got, mark{m.ProducerEpoch, m.Type})
		}
		if got, want = slices.Compact(got), slices.Compact(want); !slices.Equal(got, want) {
			t.Errorf("%s: %v has markers %v, decided %v", name, p, got, want)
		}
	}
	if n := len(decided); n > 0 {
		raw := w.stateLog(0).(*memStateLog).batches
		if text, kind := describeBatch(raw[len(raw)-1]); kind == "prepare" {
			t.Errorf("%s: the state log ends with %s", name, text)
		}
	}
}
