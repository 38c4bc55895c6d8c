package handlers

import (
	"context"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"once/internal/clock"
)

func TestColdReadsGiveWayToProducers(t *testing.T) {
	const rate = 1 << 20
	manual := clock.NewManual(time.Unix(1_000_000, 0))
	cr := NewColdReads(rate, manual, prometheus.NewRegistry())
	take := func(what string, bytes int, want time.Duration) {
		t.Helper()
		if got := cr.take(bytes); got != want {
			t.Errorf("%s: a pause of %v, want %v", what, got, want)
		}
	}
	take("nobody produces", rate, 0)
	take("still nobody", rate, 0)
	cr.produced()
	take("the first", rate/4, 0)
	take("the next", rate/4, time.Second/4)
	take("what was in memory", 0, 0)
	take("another, at the same time", rate/4, time.Second/2)
	manual.Advance(time.Second / 2)
	take("what was sent has had part of its time", rate/4, time.Second/4)
	cr.produced()
	for range 10 {
		cr.take(rate)
	}
	take("many at once", rate, longestColdPause)
	manual.Advance(producersActive + 1)
	take("they have stopped", rate, 0)
	cr.produced()
	manual.Advance(time.Minute)
	cr.produced()
	take("nothing is owed after a while", rate/4, 0)

	free := NewColdReads(0, manual, prometheus.NewRegistry())
	free.produced()
	for range 3 {
		if got := free.take(rate); got != 0 {
			t.Errorf("without a limit: a pause of %v", got)
		}
	}
}

func TestPauseEndsWithItsTimeOrItsConnection(t *testing.T) {
	manual := clock.NewManual(time.Unix(1_000_000, 0))
	cr := NewColdReads(1, manual, prometheus.NewRegistry())
	over := make(chan struct{})
	waits := func(ctx context.Context) {
		go func() {
			cr.wait(ctx, time.Second)
			over <- struct{}{}
		}()
	}
	ctx, hangUp := context.WithCancel(t.Context())
	waits(ctx)
	hangUp()
	<-over
	cr.produced()
	waits(t.Context())
	for done := false; !done; {
		manual.Advance(time.Second) // until the timer has been set and has fired
		select {
		case <-over:
			done = true
		default:
		}
	}
}
