package txncoordinator

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// told is an observer that writes down what it is told.
type told struct{ lines []string }

func (o *told) TransactionBegan(id string) { o.lines = append(o.lines, "began "+id) }

func (o *told) TransactionEnded(e End) {
	o.lines = append(o.lines, fmt.Sprintf("%s %s after %s of %s, empty: %v", e.TransactionalID, e.How, e.Open, e.Timeout,
		e.Empty))
}

// An observer is told of each transaction once: of its first partitions, and of its end with how long it was open. An
// abort without a transaction is none.
func TestObserverIsToldOfTransactions(t *testing.T) {
	w, o := newWorld(), &told{}
	c := w.coordinator(t, func(cfg *Config) { cfg.Observer = o })
	if err := c.Load(); err != nil {
		t.Fatal(err)
	}
	at := TopicPartition{"orders", 0}
	var by Identity
	step := func(name string, err error) {
		t.Helper()
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	initialize := func() {
		var err error
		for by, err = c.InitProducerID(InitRequest{TransactionalID: "x", ProducerID: -1, ProducerEpoch: -1,
			TimeoutMs: 60_000}); err != nil; {
			by, err = c.InitProducerID(InitRequest{TransactionalID: "x", ProducerID: -1, ProducerEpoch: -1, TimeoutMs: 60_000})
		}
	}
	add := func(p TopicPartition, write bool) {
		step("add", c.AddPartitions(AddRequest{TransactionalID: "x", ProducerID: by.ProducerID,
			ProducerEpoch: by.ProducerEpoch,
			Partitions:    []TopicPartition{p}, ClientTransactionVersion: 2}))
		if write {
			partition := &memPartition{w, p}
			guard, _, err := partition.BeginVerification(by.ProducerID, by.ProducerEpoch, -1, true)
			step("verify", err)
			step("append", partition.append(by.ProducerID, by.ProducerEpoch, guard))
		}
	}
	end := func(commit bool) {
		var err error
		by, err = c.EndTxn(EndRequest{TransactionalID: "x", ProducerID: by.ProducerID, ProducerEpoch: by.ProducerEpoch,
			Commit: commit, ClientTransactionVersion: 2})
		step("end", err)
	}
	expect := func(lines ...string) {
		t.Helper()
		if !slices.Equal(o.lines, lines) {
			t.Errorf("told %q, want %q", o.lines, lines)
		}
		o.lines = nil
	}
	initialize()
	end(false)
	expect()
	add(at, true)
	add(TopicPartition{"orders", 1}, false)
	w.clock.Advance(10 * time.Second)
	end(true)
	expect("began x", "x committed after 10s of 1m0s, empty: false")
	add(at, false)
	end(true)
	expect("began x", "x committed after 0s of 1m0s, empty: true")
	add(at, false)
	end(false)
	expect("began x", "x aborted after 0s of 1m0s, empty: false")
	add(at, true)
	w.clock.Advance(40 * time.Second)
	open := 0
	c.EachOpen(func(e End) {
		open++
		if e.TransactionalID != "x" || e.Open != 40*time.Second || e.How != "" {
			t.Errorf("open: %+v", e)
		}
	})
	if open != 1 {
		t.Errorf("%d are open", open)
	}
	initialize()
	expect("began x", "x fenced after 40s of 1m0s, empty: false")
	add(at, true)
	w.clock.Advance(2 * time.Minute)
	w.due(c)
	expect("began x", "x timed out after 2m0s of 1m0s, empty: false")
}
