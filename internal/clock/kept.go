package clock

import (
	"log/slog"
	"sync/atomic"
	"time"
)

// Kept is a clock that runs and stands as a cluster's does, and does not go along when that one is moved by
// AdvanceKept:
// for deadlines that are to be kept, such as the sessions of group members that live. It is behind its cluster's clock
// by the sum of those moves. A timer of it may fire early, while its clock is moved.
type Kept struct {
	of     *Movable
	behind atomic.Int64
}

// NewKept returns a clock that is kept by a cluster's clock.
func NewKept(of *Movable) *Kept {
	k := &Kept{of: of}
	of.mu.Lock()
	defer of.mu.Unlock()
	of.mu.kept = append(of.mu.kept, k)
	return k
}

// Stop makes the clock go along with all moves from now on.
func (k *Kept) Stop() {
	m := k.of
	m.mu.Lock()
	defer m.mu.Unlock()
	for i, other := range m.mu.kept {
		if other == k {
			m.mu.kept = append(m.mu.kept[:i], m.mu.kept[i+1:]...)
			return
		}
	}
}

// Now implements Clock.
func (k *Kept) Now() time.Time { return k.of.Now().Add(-time.Duration(k.behind.Load())) }

// AfterFunc implements Clock.
func (k *Kept) AfterFunc(d time.Duration, f func()) Timer { return k.of.AfterFunc(d, f) }

// Every implements Clock.
func (k *Kept) Every(first time.Duration, interval func() time.Duration, f func()) *Check {
	return k.of.Every(first, interval, f)
}

// Did implements Clock.
func (k *Kept) Did(what string, attributes ...slog.Attr) { k.of.Did(what, attributes...) }

// AdvanceKept is like Advance, but the clocks that are kept stay where they are. Each of before is called when the
// clock stands, before anything falls due.
func (m *Movable) AdvanceKept(d time.Duration, before ...func()) []Event {
	return m.moveKept(func(now time.Time) time.Time { return now.Add(max(d, 0)) }, true, before...)
}

// keepLocked lets the kept clocks fall behind by the length of a move.
func (m *Movable) keepLocked(d time.Duration) {
	for _, k := range m.mu.kept {
		k.behind.Add(int64(d))
	}
}
