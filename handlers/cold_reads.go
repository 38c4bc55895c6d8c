package handlers

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"once/internal/clock"
)

const (
	// producersActive is how long after a Produce request producers count as being at work.
	producersActive = time.Second
	// coldAnswerBytes is how much such an answer holds, or a batch of each partition: what it takes to send it is
	// what a Produce may have to wait for.
	coldAnswerBytes = 256 << 10
	// longestColdPause bounds how long one fetch is held back, however many read at once: clients give up on a
	// request after some 30 s, and only a share of that is the broker's to spend.
	longestColdPause = time.Second
)

// ColdReads holds back fetches of records that came from the disk, while producers are at work. A consumer that
// reads old records as fast as it can keeps disk and processors busy for longer than a Produce takes, and each
// Produce would wait for its turn among them. So all such fetches together get a number of bytes a second
// (fetch.cold.max.bytes.per.second). What lies in memory is never held back, and nothing is while nobody
// produces. Safe for concurrent use.
type ColdReads struct {
	clock          clock.Clock // immutable, as is the rest up to mu
	bytesPerSecond int64       // 0: no limit
	bytes          prometheus.Counter
	paused         prometheus.Counter

	producedAt atomic.Int64 // when the last Produce request came, Unix ns
	mu         struct {
		sync.Mutex
		free time.Time // when what was sent before has had its time
	}
}

// NewColdReads limits cold fetches to so many bytes a second, 0 for no limit, and registers its metrics with r.
func NewColdReads(bytesPerSecond int64, c clock.Clock, r prometheus.Registerer) *ColdReads {
	cr := &ColdReads{
		clock: c, bytesPerSecond: bytesPerSecond,
		bytes: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "fetch_cold_bytes_total", Help: "Bytes of records that had to be read from the disk for consumers.",
		}),
		paused: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "fetch_cold_paused_seconds_total", Help: "How long fetches of such records were held back for producers (fetch.cold.max.bytes.per.second).",
		}),
	}
	r.MustRegister(cr.bytes, cr.paused)
	return cr
}

// produced notes a Produce request.
func (cr *ColdReads) produced() { cr.producedAt.Store(cr.clock.Now().UnixNano()) }

// limited says whether cold reads have to give way now.
func (cr *ColdReads) limited() bool {
	return cr.bytesPerSecond > 0 && cr.clock.Now().UnixNano()-cr.producedAt.Load() <= int64(producersActive)
}

// pace returns what one fetch has called before it reads so many bytes from the disk. It waits for their turn, or
// until ctx ends.
func (cr *ColdReads) pace(ctx context.Context) func(sizeBytes int) {
	left := longestColdPause
	return func(sizeBytes int) {
		cr.bytes.Add(float64(sizeBytes))
		if pause := cr.turn(sizeBytes, left); pause > 0 {
			left -= pause
			cr.paused.Add(pause.Seconds())
			cr.wait(ctx, pause)
		}
	}
}

// turn returns how long the next so many bytes have to wait for those before them, but no longer than most.
func (cr *ColdReads) turn(sizeBytes int, most time.Duration) time.Duration {
	if !cr.limited() {
		return 0
	}
	now := cr.clock.Now()
	cr.mu.Lock()
	defer cr.mu.Unlock()
	pause := max(0, cr.mu.free.Sub(now))
	takes := time.Duration(float64(sizeBytes) / float64(cr.bytesPerSecond) * float64(time.Second))
	cr.mu.free = now.Add(min(pause+takes, longestColdPause))
	return min(pause, most)
}

// wait returns when the pause is over or ctx ends.
func (cr *ColdReads) wait(ctx context.Context, pause time.Duration) {
	over := make(chan struct{})
	timer := cr.clock.AfterFunc(pause, func() { close(over) })
	defer timer.Stop()
	select {
	case <-over:
	case <-ctx.Done():
	}
}
