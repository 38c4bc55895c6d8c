package txncoordinator

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
)

// A reload waits for an end whose record is being written, and refuses what comes meanwhile.
func TestReloadWaitsForWhatIsUnderWay(t *testing.T) {
	w := newWorld()
	c := w.coordinator(t, nil)
	if err := c.Load(); err != nil {
		t.Fatal(err)
	}
	id, err := c.InitProducerID(InitRequest{TransactionalID: "t", ProducerID: NoProducerID, ProducerEpoch: NoProducerEpoch,
		TimeoutMs: 60_000})
	if err == nil {
		err = c.AddPartitions(AddRequest{TransactionalID: "t", ProducerID: id.ProducerID, ProducerEpoch: id.ProducerEpoch,
			Partitions: []TopicPartition{{"x", 0}}, ClientTransactionVersion: 2})
	}
	if err != nil {
		t.Fatal(err)
	}
	h := &hold{make(chan struct{}), make(chan struct{})}
	w.mu.held[TopicPartition{"state-log", 0}] = h
	ended, reloaded := make(chan error, 1), make(chan error, 1)
	go func() {
		_, err := c.EndTxn(EndRequest{TransactionalID: "t", ProducerID: id.ProducerID, ProducerEpoch: id.ProducerEpoch,
			Commit: true, ClientTransactionVersion: 2})
		ended <- err
	}()
	<-h.reached
	go func() {
		_, err := c.ReloadAll()
		reloaded <- err
	}()
	for err = nil; !errors.Is(err, ErrCoordinatorLoading); {
		_, err = c.Abort("other")
		select {
		case err := <-reloaded:
			t.Fatalf("the reload has not waited: %v", err)
		default:
		}
	}
	close(h.release)
	if err := errors.Join(<-ended, <-reloaded); err != nil {
		t.Fatal(err)
	}
	if d, err := c.Describe("t"); err != nil || d.State != CompleteCommit || d.ProducerEpoch != id.ProducerEpoch+1 {
		t.Errorf("%+v, %v", d, err)
	}
}

// A reload comes between the operations of all transactional IDs, never into one: each decision is made from what the
// log has, and each transaction ends once.
func TestReloadComesBetweenOperations(t *testing.T) {
	const ids, transactions = 4, 40
	w := newWorld()
	c := w.coordinator(t, nil)
	if err := c.Load(); err != nil {
		t.Fatal(err)
	}
	var clients, reloads sync.WaitGroup
	asked := make(chan struct{}) // a client is about to ask; taken when no reload is under way
	reloads.Go(func() {
		for range asked {
			if _, err := c.ReloadAll(); err != nil {
				t.Error(err)
			}
		}
	})
	for i := range ids {
		clients.Go(func() { runTransactions(t, c, fmt.Sprint("id-", i), transactions, asked) })
	}
	clients.Wait()
	close(asked)
	reloads.Wait()
	ended, marked := map[string]int{}, map[string]int{}
	for _, line := range w.takeTrace() {
		fields := strings.Fields(line)
		switch {
		case fields[0] == "append" && strings.HasPrefix(fields[2], "Complete"):
			ended[fields[1]]++
		case fields[0] == "marker":
			marked[fields[2]+fields[3]]++
		}
	}
	for id, n := range ended {
		if n != transactions {
			t.Errorf("%s has ended %d times, want %d", id, n, transactions)
		}
	}
	if len(ended) != ids || len(marked) != ids*transactions {
		t.Errorf("%d IDs have ended transactions, with %d markers", len(ended), len(marked))
	}
}

// runTransactions does what a client of transactions V2 does, which repeats what is refused for now.
func runTransactions(t *testing.T, c *Coordinator, id string, n int, asked chan<- struct{}) {
	again := func(do func() error) bool {
		for {
			asked <- struct{}{}
			err := do()
			if errors.Is(err, ErrCoordinatorLoading) || errors.Is(err, ErrConcurrentTransactions) {
				continue
			}
			if err != nil {
				t.Errorf("%s: %v", id, err)
			}
			return err == nil
		}
	}
	var now Identity
	ok := again(func() (err error) {
		now, err = c.InitProducerID(InitRequest{TransactionalID: id, ProducerID: NoProducerID, ProducerEpoch: NoProducerEpoch,
			TimeoutMs: 60_000})
		return err
	})
	part := []TopicPartition{{id, 0}}
	for i := 0; ok && i < n; i++ {
		ok = again(func() error {
			return c.AddPartitions(AddRequest{TransactionalID: id, ProducerID: now.ProducerID, ProducerEpoch: now.ProducerEpoch,
				Partitions: part, ClientTransactionVersion: 2})
		}) && again(func() error {
			next, err := c.EndTxn(EndRequest{TransactionalID: id, ProducerID: now.ProducerID, ProducerEpoch: now.ProducerEpoch,
				Commit: i%2 == 0, ClientTransactionVersion: 2})
			if err == nil {
				now = next
			}
			return err
		})
	}
}
