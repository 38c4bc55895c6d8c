package clock

import (
	"cmp"
	"container/heap"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Movable is the clock of a cluster. It follows the machine's until it is frozen or moved; then it stands still, or
// runs on at its distance. It goes back in Follow only.
//
// Locking: moving is held by one move at a time, and taken before mu. mu is a leaf: nothing is called while it is held.
type Movable struct {
	machine Clock // nil for a manual clock, which never runs by itself
	reading atomic.Pointer[reading]
	moving  sync.Mutex
	mu      struct {
		sync.Mutex
		idle      sync.Cond // signalled when running falls to 0
		deadlines deadlines
		checksDue deadlines // when each of checks runs by itself
		checks    []*Check
		wake      Timer     // of the machine, for what is due first
		wakeAt    time.Time // on this clock
		running   int       // functions that are under way
		did       []Event   // of the move that is under way
		journal   bool      // a move is under way
		made      uint64    // deadlines so far; breaks ties in their order
	}
}

// reading is the state of the clock: an offset from the machine's clock, or a time at which the clock stands.
type reading struct {
	offset time.Duration
	frozen bool
	at     time.Time
}

// Event is work that was done because time has passed.
type Event struct {
	At         time.Time // on the clock
	What       string
	Attributes []slog.Attr
}

// NewMovable returns a clock that goes as the machine's does.
func NewMovable() *Movable { return newMovable(Real{}, reading{}) }

// NewManual returns a clock for tests. It stands at now and moves only when told to; whatever falls due runs in
// Advance, and nothing runs by itself.
func NewManual(now time.Time) *Movable { return newMovable(nil, reading{frozen: true, at: now}) }

func newMovable(machine Clock, r reading) *Movable {
	m := &Movable{machine: machine}
	m.reading.Store(&r)
	m.mu.idle.L = &m.mu
	return m
}

// Now implements Clock.
func (m *Movable) Now() time.Time {
	r := m.reading.Load()
	if r.frozen {
		return r.at
	}
	return m.machine.Now().Add(r.offset)
}

// AfterFunc implements Clock.
func (m *Movable) AfterFunc(d time.Duration, f func()) Timer { return m.add(&m.mu.deadlines, d, f) }

func (m *Movable) add(to *deadlines, d time.Duration, f func()) Timer {
	m.mu.Lock()
	defer m.mu.Unlock()
	t := &deadline{clock: m, of: to, at: m.Now().Add(d), order: m.mu.made, f: f}
	m.mu.made++
	heap.Push(to, t)
	m.armLocked()
	return t
}

// Every implements Clock.
func (m *Movable) Every(first time.Duration, interval func() time.Duration, f func()) *Check {
	c := newCheck(func(d time.Duration, run func()) Timer { return m.add(&m.mu.checksDue, d, run) }, interval, f)
	c.stopped = m.forget
	m.mu.Lock()
	m.mu.checks = append(m.mu.checks, c)
	m.mu.Unlock()
	c.arm(first)
	return c
}

func (m *Movable) forget(c *Check) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mu.checks = slices.DeleteFunc(m.mu.checks, func(x *Check) bool { return x == c })
}

// Did implements Clock.
func (m *Movable) Did(what string, attributes ...slog.Attr) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.mu.journal {
		m.mu.did = append(m.mu.did, Event{At: m.Now(), What: what, Attributes: attributes})
	}
}

// Frozen reports whether the clock stands still.
func (m *Movable) Frozen() bool { return m.reading.Load().frozen }

// Offset is how far the clock is ahead of the machine's; negative where it is behind.
func (m *Movable) Offset() time.Duration {
	if r := m.reading.Load(); !r.frozen {
		return r.offset
	}
	if m.machine == nil {
		return 0
	}
	return m.Now().Sub(m.machine.Now())
}

// Next returns when the first deadline or check is due; false when none is waiting.
func (m *Movable) Next() (time.Time, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if first := m.firstLocked(); first != nil {
		return first.at, true
	}
	return time.Time{}, false
}

// firstLocked is what is due first; nil for nothing.
func (m *Movable) firstLocked() *deadline {
	var first *deadline
	for _, d := range []deadlines{m.mu.deadlines, m.mu.checksDue} {
		if len(d) > 0 && (first == nil || before(d[0], first)) {
			first = d[0]
		}
	}
	return first
}

// Freeze makes the clock stand still. What is due already still runs.
func (m *Movable) Freeze() {
	m.moving.Lock()
	defer m.moving.Unlock()
	m.set(reading{frozen: true, at: m.Now()})
}

// Resume makes the clock run on from where it stands. A manual clock does not run.
func (m *Movable) Resume() {
	m.moving.Lock()
	defer m.moving.Unlock()
	if m.machine != nil {
		m.set(reading{offset: m.Offset()})
	}
}

// Follow makes the clock follow the machine's, even if it has to go back: for a reset. A manual clock does not change.
func (m *Movable) Follow() {
	m.moving.Lock()
	defer m.moving.Unlock()
	if m.machine != nil {
		m.set(reading{})
	}
}

// Restore makes the clock stand at a time, or go on from it, even if it has to go back: for a cluster that is closed. A
// manual clock does not change.
func (m *Movable) Restore(at time.Time, frozen bool) {
	m.moving.Lock()
	defer m.moving.Unlock()
	if m.machine == nil {
		return
	}
	now := m.machine.Now()
	offset := at.Round(0).Sub(now.Round(0))
	if frozen {
		m.set(reading{frozen: true, at: now.Add(offset)})
		return
	}
	m.set(reading{offset: offset})
}

func (m *Movable) set(r reading) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.reading.Store(&r)
	m.armLocked()
}

// Advance moves the clock forward by d. It runs everything that falls due on the way: deadlines in the order of their
// time, each with the clock at that time, then each check once. It returns the events after all of them have ended.
func (m *Movable) Advance(d time.Duration) []Event {
	return m.move(func(now time.Time) time.Time { return now.Add(max(d, 0)) })
}

// AdvanceTo is like Advance, to a time. A past time moves nothing.
func (m *Movable) AdvanceTo(to time.Time) []Event {
	return m.move(func(now time.Time) time.Time {
		if to.Before(now) {
			return now
		}
		return now.Add(to.Sub(now)) // with now's monotonic reading
	})
}

func (m *Movable) move(target func(now time.Time) time.Time) []Event {
	return m.moveKept(target, nil)
}

func (m *Movable) moveKept(target func(now time.Time) time.Time, keep []*Kept, before ...func()) []Event {
	m.moving.Lock()
	defer m.moving.Unlock()
	was := *m.reading.Load()
	start, end := m.begin(target)
	for _, f := range before {
		f()
	}
	for _, k := range keep {
		k.behind.Add(int64(end.Sub(start)))
	}
	m.runDeadlines(end)
	m.mu.Lock()
	checks := slices.Clone(m.mu.checks)
	m.mu.Unlock()
	for _, c := range checks {
		c.Run()
	}
	m.runDeadlines(end) // what the checks have made due
	return m.end(was, start, end)
}

// begin stops the clock for a move.
func (m *Movable) begin(target func(now time.Time) time.Time) (start, end time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.Now()
	m.reading.Store(&reading{frozen: true, at: now})
	m.mu.journal = true
	m.armLocked()
	m.awaitIdleLocked()
	return now, target(now)
}

// end ends a move; the clock runs or stands as before. A clock that runs is ahead by the length of the move, exactly:
// the time that the move took has passed on it, too.
func (m *Movable) end(was reading, start, end time.Time) []Event {
	m.mu.Lock()
	defer m.mu.Unlock()
	r := reading{frozen: true, at: end}
	if !was.frozen {
		r = reading{offset: was.offset + end.Sub(start)}
	}
	m.reading.Store(&r)
	did := m.mu.did
	m.mu.did, m.mu.journal = nil, false
	m.armLocked()
	return did
}

// runDeadlines runs every deadline up to end, and moves the clock there.
func (m *Movable) runDeadlines(end time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for len(m.mu.deadlines) > 0 && !m.mu.deadlines[0].at.After(end) {
		t := heap.Pop(&m.mu.deadlines).(*deadline)
		if t.at.After(m.Now()) {
			m.reading.Store(&reading{frozen: true, at: t.at})
		}
		m.mu.Unlock()
		t.f()
		m.mu.Lock()
		m.awaitIdleLocked()
	}
	m.reading.Store(&reading{frozen: true, at: end})
}

// awaitIdleLocked waits for functions that have been started by the machine's clock.
func (m *Movable) awaitIdleLocked() {
	for m.mu.running > 0 {
		m.mu.idle.Wait()
	}
}

// armLocked makes the machine wake this clock when its first deadline is due: at once when that has passed, never
// when the clock stands before it.
func (m *Movable) armLocked() {
	first, now := m.firstLocked(), m.Now()
	// a move runs what is due
	never := m.machine == nil || m.mu.journal || first == nil || m.Frozen() && first.at.After(now)
	if m.mu.wake != nil {
		if !never && m.mu.wakeAt.Equal(first.at) {
			return
		}
		m.mu.wake.Stop()
		m.mu.wake = nil
	}
	if !never {
		m.mu.wake, m.mu.wakeAt = m.machine.AfterFunc(first.at.Sub(now), m.onWake), first.at
	}
}

// onWake starts what is due.
func (m *Movable) onWake() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mu.wake = nil
	if m.mu.journal {
		return
	}
	now := m.Now()
	for t := m.firstLocked(); t != nil && !t.at.After(now); t = m.firstLocked() {
		heap.Remove(t.of, t.index)
		m.mu.running++
		go func() {
			defer m.ended()
			t.f()
		}()
	}
	m.armLocked()
}

func (m *Movable) ended() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.mu.running--; m.mu.running == 0 {
		m.mu.idle.Broadcast()
	}
}

// deadline is a pending call of AfterFunc.
type deadline struct {
	clock *Movable
	of    *deadlines
	at    time.Time
	order uint64
	f     func()
	index int // in the heap; -1 when it is not there
}

// Stop implements Timer.
func (t *deadline) Stop() bool {
	t.clock.mu.Lock()
	defer t.clock.mu.Unlock()
	if t.index < 0 {
		return false
	}
	heap.Remove(t.of, t.index)
	t.clock.armLocked() // so that the machine lets go of a clock that nobody waits for
	return true
}

// deadlines is a heap, the earliest first; of two at one time the one made first.
type deadlines []*deadline

func before(a, b *deadline) bool {
	return cmp.Or(a.at.Compare(b.at), cmp.Compare(a.order, b.order)) < 0
}

func (d deadlines) Len() int           { return len(d) }
func (d deadlines) Less(i, j int) bool { return before(d[i], d[j]) }
func (d deadlines) Swap(i, j int) {
	d[i], d[j] = d[j], d[i]
	d[i].index, d[j].index = i, j
}
func (d *deadlines) Push(x any) {
	t := x.(*deadline)
	t.index = len(*d)
	*d = append(*d, t)
}
func (d *deadlines) Pop() any {
	old := *d
	t := old[len(old)-1]
	old[len(old)-1] = nil
	*d, t.index = old[:len(old)-1], -1
	return t
}
