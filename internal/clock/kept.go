package clock

import (
	"log/slog"
	"sync/atomic"
	"time"
)

// Kept is a clock that runs and stands as a cluster's does, and need not go along when that one is moved by
// AdvanceKept: for deadlines that are to be kept, such as the sessions of group members that live. It is behind its
// cluster's clock by the sum of those moves. A timer of it may fire early, while its clock is moved.
type Kept struct {
	of     *Movable
	behind atomic.Int64
}

// NewKept returns a clock that a cluster's clock can keep.
func NewKept(of *Movable) *Kept { return &Kept{of: of} }

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

// AdvanceKept is like Advance, but some clocks stay where they are. Each of before is called when the clock stands,
// before anything falls due.
func (m *Movable) AdvanceKept(d time.Duration, keep []*Kept, before ...func()) []Event {
	return m.moveKept(func(now time.Time) time.Time { return now.Add(max(d, 0)) }, keep, before...)
}
