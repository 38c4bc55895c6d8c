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
	turn := func(what string, bytes int, want time.Duration) {
		t.Helper()
		if got := cr.turn(bytes, longestColdPause); got != want {
			t.Errorf("%s: a pause of %v, want %v", what, got, want)
		}
	}
	turn("nobody produces", rate, 0)
	turn("still nobody", rate, 0)
	cr.produced()
	turn("the first", rate/4, 0)
	turn("the next", rate/4, time.Second/4)
	turn("another, at the same time", rate/4, time.Second/2)
	if got := cr.turn(rate/8, time.Second/8); got != time.Second/8 {
		t.Errorf("one that has nearly waited its time: a pause of %v", got)
	}
	manual.Advance(time.Second / 2)
	turn("what was read has had part of its time", rate/8, 3*time.Second/8)
	cr.produced()
	for range 10 {
		cr.turn(rate, longestColdPause)
	}
	turn("many at once", rate, longestColdPause)
	if got := cr.turn(rate, 0); got != 0 {
		t.Errorf("one that has waited its time: a pause of %v", got)
	}
	turn("and that is at nobody's cost", rate, longestColdPause)
	manual.Advance(longestColdPause)
	cr.produced()
	turn("those who did not wait are forgotten", rate/4, 0)
	manual.Advance(producersActive + 1)
	turn("they have stopped", rate, 0)
	cr.produced()
	manual.Advance(time.Minute)
	cr.produced()
	turn("nothing is owed after a while", rate/4, 0)

	free := NewColdReads(0, manual, prometheus.NewRegistry())
	free.produced()
	for range 3 {
		if got := free.turn(rate, longestColdPause); got != 0 {
			t.Errorf("without a limit: a pause of %v", got)
		}
	}
}

// However many pieces one fetch reads, it waits for them no longer than a client has patience.
func TestOneFetchWaitsForItsTurnsOnlySoLong(t *testing.T) {
	manual := clock.NewManual(time.Unix(1_000_000, 0))
	r := prometheus.NewRegistry()
	cr := NewColdReads(1, manual, r)
	cr.produced()
	ended, hangUp := context.WithCancel(t.Context())
	hangUp() // so that nothing waits for a clock that stands still
	pace := cr.pace(ended)
	for range 10 {
		pace(1000)
	}
	for name, want := range map[string]float64{"fetch_cold_bytes_total": 10_000, "fetch_cold_paused_seconds_total": longestColdPause.Seconds()} {
		if got := counter(t, r, name); got != want {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
}

func counter(t *testing.T, r *prometheus.Registry, name string) float64 {
	t.Helper()
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			return f.GetMetric()[0].GetCounter().GetValue()
		}
	}
	t.Fatalf("no metric %s", name)
	return 0
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
