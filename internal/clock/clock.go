// Package clock is the one source of time for all decisions.
//
// There are two kinds of time. Kafka's deadlines (timeouts of transactions, sessions of members, retention, the
// timestamps of LogAppendTime) use the clock of their cluster, a Movable, which a test may freeze and move. Waits for
// the network or the disk (a Fetch, a Produce, retries, syncs) use Real. Fields of the first kind are called Clock,
// those of the second RealTime.
//
// State machines take the time as an argument; only the loops at the edge hold a Clock.
package clock

import (
	"log/slog"
	"time"
)

// Clock returns the time and runs functions later. All methods may be called from any goroutine.
type Clock interface {
	// Now returns the wall clock time, with a monotonic reading where the platform has one: differences between two
	// times of one clock use the latter.
	Now() time.Time
	// AfterFunc runs f once d has passed, in a goroutine of its own or in the one that moves the clock. A d of zero
	// or less runs it at once. It is for deadlines, each of which is acted on when it is due.
	AfterFunc(d time.Duration, f func()) Timer
	// Every runs f when first has passed, and from then on whenever interval has passed since f returned. It is for
	// checks: a clock that is moved runs each of them once, at the end of the move.
	Every(first time.Duration, interval func() time.Duration, f func()) *Check
	// Did reports work that was done because time has passed; attributes are named as in Kafka's protocol. The result
	// of a running move of the clock includes it; else it is dropped.
	Did(what string, attributes ...slog.Attr)
}

// Timer is a pending call of AfterFunc.
type Timer interface {
	// Stop prevents the call and reports whether it did; false means that the call has begun or ended.
	Stop() bool
}

// Real is the machine's clock.
type Real struct{}

// Now implements Clock.
func (Real) Now() time.Time { return time.Now() }

// AfterFunc implements Clock.
func (Real) AfterFunc(d time.Duration, f func()) Timer { return time.AfterFunc(d, f) }

// Every implements Clock.
func (r Real) Every(first time.Duration, interval func() time.Duration, f func()) *Check {
	c := newCheck(r.AfterFunc, interval, f)
	c.arm(first)
	return c
}

// Did implements Clock. This clock is never moved.
func (Real) Did(string, ...slog.Attr) {}
