// Package clock is the one source of time for everything that decides by it.
//
// State machines take the time as an argument; only the loops at the edge of the broker hold a Clock.
// Real reads both the wall clock and the monotonic clock: a time.Time carries both, and differences
// between two of them use the monotonic one. Manual stands still until a test moves it.
package clock

import (
	"sync"
	"time"
)

// Clock tells the time and runs functions later. All methods may be called from any goroutine.
type Clock interface {
	// Now returns the wall clock time, with a monotonic reading where the platform has one.
	Now() time.Time
	// AfterFunc runs f in a goroutine of its own once d has passed. A d of zero or less runs it at once.
	AfterFunc(d time.Duration, f func()) Timer
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

// Manual is a clock for tests. It moves only when told to, and runs what falls due, in order of its
// time, before Advance returns.
type Manual struct {
	mu struct {
		sync.Mutex
		now    time.Time
		timers []*manualTimer
	}
}

type manualTimer struct {
	clock *Manual
	at    time.Time
	f     func()
}

// NewManual returns a clock that stands at now.
func NewManual(now time.Time) *Manual {
	m := &Manual{}
	m.mu.now = now
	return m
}

// Now implements Clock.
func (m *Manual) Now() time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.mu.now
}

// AfterFunc implements Clock. Unlike Real, the function runs on the goroutine that calls Advance.
func (m *Manual) AfterFunc(d time.Duration, f func()) Timer {
	m.mu.Lock()
	defer m.mu.Unlock()
	t := &manualTimer{clock: m, at: m.mu.now.Add(d), f: f}
	m.mu.timers = append(m.mu.timers, t)
	return t
}

// Stop implements Timer.
func (t *manualTimer) Stop() bool {
	m := t.clock
	m.mu.Lock()
	defer m.mu.Unlock()
	for i, x := range m.mu.timers {
		if x == t {
			m.mu.timers = append(m.mu.timers[:i], m.mu.timers[i+1:]...)
			return true
		}
	}
	return false
}

// Advance moves the clock forward by d and runs every function that falls due on the way, each with
// the clock standing at its own time.
func (m *Manual) Advance(d time.Duration) {
	m.mu.Lock()
	end := m.mu.now.Add(d)
	for {
		next := -1
		for i, t := range m.mu.timers {
			if !t.at.After(end) && (next < 0 || t.at.Before(m.mu.timers[next].at)) {
				next = i
			}
		}
		if next < 0 {
			break
		}
		t := m.mu.timers[next]
		m.mu.timers = append(m.mu.timers[:next], m.mu.timers[next+1:]...)
		if t.at.After(m.mu.now) {
			m.mu.now = t.at
		}
		m.mu.Unlock()
		t.f()
		m.mu.Lock()
	}
	m.mu.now = end
	m.mu.Unlock()
}
