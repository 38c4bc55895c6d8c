package sharepartition

import (
	"errors"
	"runtime"
	"sync"
	"testing"
	"time"

	"once/sharepartition/window"
)

// together calls functions at once, and waits for them.
func together(all ...func()) {
	start := make(chan struct{})
	var running sync.WaitGroup
	for _, f := range all {
		running.Go(func() {
			<-start
			f()
		})
	}
	close(start)
	running.Wait()
}

// Of two acknowledgements of one record exactly one counts, whoever sends them (spec: share-groups SG-91). The record
// before keeps the start offset in place: below it any acknowledgement succeeds.
func TestOneOfTwoAcknowledgementsCounts(t *testing.T) {
	for range 200 {
		w := newWorld(t)
		w.produce(2)
		w.wantFetch("m1", "0-1*1")
		var errs [3]error
		together(
			func() { errs[0] = w.acknowledge("m1", 1, 1, window.Accept) },
			func() { errs[1] = w.acknowledge("m1", 1, 1, window.Reject) },
			func() { errs[2] = w.acknowledge("m2", 1, 1, window.Accept) },
		)
		if (errs[0] == nil) == (errs[1] == nil) || !errors.Is(errors.Join(errs[0], errs[1]), window.ErrInvalidState) {
			t.Fatalf("the owner's acknowledgements: %v and %v", errs[0], errs[1])
		}
		if !errors.Is(errs[2], window.ErrInvalidState) {
			t.Fatalf("another member's acknowledgement: %v", errs[2])
		}
	}
}

// The end of a session, the end of a lock and an acknowledgement may come at once: one of them counts, the delivery
// count is right, and neither a timer nor a goroutine is left (spec: share-groups SG-92).
func TestEndOfSessionLockAndAcknowledgementAtOnce(t *testing.T) {
	const rounds, limit = 3000, 5
	w := newWorld(t)
	w.settings.DeliveryCountLimit = limit
	goroutines := runtime.NumGoroutine()
	offset, count := int64(-1), int16(limit)
	for round := range rounds {
		if count == limit {
			w.produce(1)
			offset, count = offset+1, 0
		}
		s := w.mustBegin("m1", 1)
		got, err := w.m.Fetch(FetchRequest{Key: w.key(), Partition: w.part, MemberID: "m1", MaxRecords: 1, BatchSize: 1,
			MaxBytes: 1 << 20})
		must(t, err)
		got.Slice.Release()
		count++
		if len(got.Acquired) != 1 || got.Acquired[0] != (window.AcquiredRange{FirstOffset: offset, LastOffset: offset,
			DeliveryCount: count}) {
			t.Fatalf("round %d acquires %v, want offset %d for the %dth time", round, got.Acquired, offset, count)
		}
		together(
			func() { w.m.End(s) },
			func() { w.clock.Advance(w.settings.LockDuration) },
			func() { err = w.acknowledge("m1", offset, offset, window.Accept) },
		)
		start, finished, _, stateErr := w.m.State(w.key())
		must(t, stateErr)
		switch {
		case err == nil || count == limit: // accepted, below the start offset, or archived at the limit
			count = limit
			if start != offset+1 || finished != 0 {
				t.Fatalf("round %d: start offset %d, %d finished, want %d and 0", round, start, finished, offset+1)
			}
		case !errors.Is(err, window.ErrInvalidState):
			t.Fatalf("round %d: %v", round, err)
		case start > offset:
			t.Fatalf("round %d: start offset %d, and record %d was not accepted", round, start, offset)
		}
	}
	w.clock.Advance(time.Minute) // what is set early finds nothing
	if at, ok := w.clock.Next(); ok {
		t.Errorf("a timer is set for %v", at)
	}
	// the last ones are about to end
	for began := time.Now(); runtime.NumGoroutine() > goroutines; <-time.Tick(time.Millisecond) {
		if time.Since(began) > time.Minute {
			t.Fatalf("%d goroutines, there were %d", runtime.NumGoroutine(), goroutines)
		}
	}
	if n := len(w.m.mu.byConn); n != 0 || w.m.Sessions() != 0 {
		t.Errorf("%d sessions of %d connections are left", w.m.Sessions(), n)
	}
}
