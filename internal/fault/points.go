package fault

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Points are the points of one cluster with their armed faults. Safe for concurrent use; a nil *Points has nothing
// armed. Faults stay armed when the cluster is closed or killed and opened again.
//
// Locking: mu is a leaf lock. Only Rule.Fires is called while it is held.
type Points struct {
	armed atomic.Uint64 // a bit for each point at which something is armed
	mu    struct {
		sync.Mutex
		faults       []*Fault      // in the order in which they were armed
		suspended    bool          // nothing is delayed or held
		letGo        chan struct{} // closed by Suspend
		changed      chan struct{} // closed when the counts of a fault change; nil while nobody waits for that
		kill         func()
		killsProcess bool
	}
	resuming sync.WaitGroup // functions that a release has started
}

// Rule is an action at a point, and its condition.
type Rule struct {
	Point Point
	// Fires says whether the fault acts on a call of the point; nil: always. Calls come one at a time, and must not
	// call the Points.
	Fires func(at Attributes) bool
	Do    Action
}

// Nth is for Rule.Fires: the n-th time only, counted from 1.
func Nth(n int) func(Attributes) bool {
	seen := 0
	return func(Attributes) bool {
		seen++
		return seen == n
	}
}

// Fault is a rule that is armed.
type Fault struct {
	points    *Points // immutable, as is the next one
	rule      Rule
	triggered int     // under points.mu, as is the next one
	held      []*Hold // in the order in which they came
}

// Counts are the counters of a fault.
type Counts struct {
	Triggered int // how often it has acted
	Held      int // what it holds now
}

// NewPoints returns points at which nothing is armed.
func NewPoints() *Points {
	p := &Points{}
	p.mu.letGo = make(chan struct{})
	return p
}

// Check returns the error with which a rule cannot be armed.
func (r *Rule) Check() error {
	var needs Actions
	actions := 0
	for kind, given := range map[Actions]bool{
		CanFail: r.Do.Error != nil, CanDelay: r.Do.Delay > 0, CanHold: r.Do.Hold, CanKill: r.Do.Kill,
		CanGoOffline: r.Do.Offline,
	} {
		if given {
			needs |= kind
			actions++
		}
	}
	switch {
	case r.Point >= numPoints:
		return errors.New("fault: no such point")
	case r.Do.Delay < 0:
		return errors.New("fault: the delay is negative")
	case actions != 1:
		return fmt.Errorf("fault: %d actions at %v, it must be one", actions, r.Point)
	case !r.Point.Can(needs):
		return fmt.Errorf("fault: %v has no such action", r.Point)
	}
	return nil
}

// Arm arms a rule after the armed ones: the first one that fires acts.
func (p *Points) Arm(r Rule) (*Fault, error) {
	if err := r.Check(); err != nil {
		return nil, err
	}
	f := &Fault{points: p, rule: r}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mu.faults = append(p.mu.faults, f)
	p.countLocked()
	return f, nil
}

// countLocked updates armed.
func (p *Points) countLocked() {
	var armed uint64
	for _, f := range p.mu.faults {
		armed |= 1 << f.rule.Point
	}
	p.armed.Store(armed)
}

// Hit asks a point that cannot hold. It returns the error to fail with, at once or after a delay.
func (p *Points) Hit(point Point, at Attributes) error {
	if p != nil && p.armed.Load()>>point&1 != 0 {
		return p.hit(point, at)
	}
	return nil
}

func (p *Points) hit(point Point, at Attributes) error {
	do, _, letGo := p.fire(point, at)
	if do.Delay > 0 {
		timer := time.NewTimer(do.Delay)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-letGo:
		}
	}
	return p.carryOut(do)
}

// Meet asks a point that can hold. With a Hold the caller stops there, see Hold.Then; with an error it fails.
func (p *Points) Meet(point Point, at Attributes) (*Hold, error) {
	if p != nil && p.armed.Load()>>point&1 != 0 {
		return p.meet(point, at)
	}
	return nil, nil
}

func (p *Points) meet(point Point, at Attributes) (*Hold, error) {
	do, hold, _ := p.fire(point, at)
	if hold != nil {
		return hold, nil
	}
	return nil, p.carryOut(do)
}

// fire finds the first fault that fires and counts it. letGo is closed when a delay is to end early.
func (p *Points) fire(point Point, at Attributes) (do Action, hold *Hold, letGo <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, f := range p.mu.faults {
		waits := f.rule.Do.Hold || f.rule.Do.Delay > 0
		if f.rule.Point != point || waits && p.mu.suspended || f.rule.Fires != nil && !f.rule.Fires(at) {
			continue
		}
		f.triggered++
		if waits && point.Can(CanHold) {
			hold = f.holdLocked(at)
		}
		p.changedLocked()
		return f.rule.Do, hold, p.mu.letGo
	}
	return Action{}, nil, nil
}

func (f *Fault) holdLocked(at Attributes) *Hold {
	h := &Hold{At: at, fault: f}
	f.held = append(f.held, h)
	if f.rule.Do.Delay > 0 {
		h.timer = time.AfterFunc(f.rule.Do.Delay, func() { f.points.release([]*Hold{h}) })
	}
	return h
}

func (p *Points) carryOut(do Action) error {
	switch {
	case do.Offline:
		return ErrOffline
	case !do.Kill:
		return do.Error
	}
	p.mu.Lock()
	kill, process := p.mu.kill, p.mu.killsProcess
	p.mu.Unlock()
	switch {
	case process:
		killProcess()
	case kill != nil:
		kill()
	}
	return ErrKilled
}

// killProcess ends the process like kill -9.
func killProcess() {
	if self, err := os.FindProcess(os.Getpid()); err == nil {
		_ = self.Kill()
	}
	select {} // until it is gone
}

// KillsProcess makes the action kill end the process.
func (p *Points) KillsProcess() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mu.killsProcess = true
}

// OnKill sets the function of the action kill, unless it ends the process. kill is called with locks of the cluster
// held, and must not wait for any.
func (p *Points) OnKill(kill func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.mu.kill = kill
}

// Suspend drops all holds and ends delays. Until Resume nothing is delayed or held. A cluster is suspended while it is
// not open: its next opening does the work that was held, or nobody does.
func (p *Points) Suspend() {
	p.mu.Lock()
	if !p.mu.suspended {
		p.mu.suspended = true
		close(p.mu.letGo)
	}
	var drops []func()
	for _, f := range p.mu.faults {
		for _, h := range slices.Clone(f.held) {
			h.leaveLocked(dropped)
			if h.drop != nil {
				drops = append(drops, h.drop)
			}
		}
	}
	p.changedLocked()
	p.mu.Unlock()
	for _, drop := range drops {
		drop()
	}
}

// Resume ends Suspend.
func (p *Points) Resume() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mu.suspended {
		p.mu.suspended, p.mu.letGo = false, make(chan struct{})
	}
}

// Wait waits for the functions that releases have started. It is called after Suspend.
func (p *Points) Wait() { p.resuming.Wait() }

// Clear disarms everything.
func (p *Points) Clear() {
	p.mu.Lock()
	faults := slices.Clone(p.mu.faults)
	p.mu.Unlock()
	for _, f := range faults {
		f.Disarm()
	}
}

// Release ends the fault's holds, and returns their number after their functions have ended.
func (f *Fault) Release() int {
	f.points.mu.Lock()
	held := slices.Clone(f.held)
	f.points.mu.Unlock()
	return f.points.release(held)
}

// Disarm ends the fault and releases what it holds.
func (f *Fault) Disarm() {
	p := f.points
	p.mu.Lock()
	p.mu.faults = slices.DeleteFunc(p.mu.faults, func(other *Fault) bool { return other == f })
	p.countLocked()
	p.mu.Unlock()
	f.Release()
}

// Counts returns the counters of the fault.
func (f *Fault) Counts() Counts {
	f.points.mu.Lock()
	defer f.points.mu.Unlock()
	return f.countsLocked()
}

func (f *Fault) countsLocked() Counts { return Counts{f.triggered, len(f.held)} }

// Await returns true when the counts of the fault are enough, or false when done is closed.
func (f *Fault) Await(done <-chan struct{}, enough func(Counts) bool) bool {
	p := f.points
	for {
		p.mu.Lock()
		if enough(f.countsLocked()) {
			p.mu.Unlock()
			return true
		}
		if p.mu.changed == nil {
			p.mu.changed = make(chan struct{})
		}
		changed := p.mu.changed
		p.mu.Unlock()
		select {
		case <-changed:
		case <-done:
			return false
		}
	}
}

func (p *Points) changedLocked() {
	if p.mu.changed != nil {
		close(p.mu.changed)
		p.mu.changed = nil
	}
}
