package txncoordinator

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"once/internal/clock"
)

// EnlistAgain asks every 20 ms until the producer's last operation is through, and at most for the limit. It returns at
// once when its request or the cluster is to end.
func TestEnlistAgainWaitsForTheLastOperation(t *testing.T) {
	for _, tc := range []struct {
		name      string
		interrupt func(release, cancel, end func()) // after 30 ms
		took      time.Duration
		refused   error
	}{
		{"released", func(release, _, _ func()) { release() }, 40 * time.Millisecond, nil},
		{"never released", func(_, _, _ func()) {}, 100 * time.Millisecond, ErrConcurrentTransactions},
		{"request ends", func(_, cancel, _ func()) { cancel() }, 30 * time.Millisecond, ErrConcurrentTransactions},
		{"cluster ends", func(_, _, end func()) { end() }, 30 * time.Millisecond, ErrConcurrentTransactions},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld()
				over := make(chan struct{})
				c := w.coordinator(t, func(cfg *Config) {
					cfg.RealTime, cfg.AddRetryLimit, cfg.Ended = clock.Real{}, 100*time.Millisecond, over
				})
				if err := c.Load(); err != nil {
					t.Fatal(err)
				}
				id, err := c.InitProducerID(InitRequest{TransactionalID: "t", ProducerID: NoProducerID,
					ProducerEpoch: NoProducerEpoch, TimeoutMs: 60_000})
				if err != nil {
					t.Fatal(err)
				}
				x := TopicPartition{"x", 0}
				e := Enlistment{
					TransactionalID: "t", ProducerID: id.ProducerID, ProducerEpoch: id.ProducerEpoch, ClientTransactionVersion: 2,
					Partitions: []EnlistedPartition{{TopicPartition: x, Verifier: &memPartition{w, x}, BaseSequence: -1}},
				}
				c.Enlist(&e)
				h := &hold{make(chan struct{}), make(chan struct{})}
				w.mu.held[x] = h
				ended := make(chan error, 1)
				go func() {
					_, err := c.EndTxn(EndRequest{TransactionalID: "t", ProducerID: id.ProducerID, ProducerEpoch: id.ProducerEpoch,
						Commit: true, ClientTransactionVersion: 2})
					ended <- err
				}()
				<-h.reached

				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				release := sync.OnceFunc(func() { close(h.release) })
				time.AfterFunc(30*time.Millisecond, func() { tc.interrupt(release, cancel, func() { close(over) }) })
				e.ProducerEpoch++
				if !c.Enlist(&e) {
					t.Error("no second attempt")
				}
				begun := time.Now()
				c.EnlistAgain(ctx, &e)
				if took := time.Since(begun); took != tc.took {
					t.Errorf("took %v, want %v", took, tc.took)
				}
				if err := e.Partitions[0].CoordinatorErr; err != tc.refused {
					t.Errorf("%v, want %v", err, tc.refused)
				}
				release()
				if err := <-ended; err != nil {
					t.Error(err)
				}
			})
		})
	}
}
