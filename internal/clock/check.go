package clock

import (
	"sync"
	"time"
)

// Check is a periodic function, see Every. At most one run is active at a time.
//
// Locking: running holds a token while f runs, and is filled before mu is taken. f may call Now, and every method of a
// clock.
type Check struct {
	f         func()
	interval  func() time.Duration
	afterFunc func(time.Duration, func()) Timer
	stopped   func(*Check)  // called by Stop; may be nil
	running   chan struct{} // a token; a channel, so that a bubble of testing/synctest sees its waiters
	mu        struct {
		sync.Mutex
		timer Timer // nil while a run is under way, and once stopped
		ended bool
	}
}

func newCheck(afterFunc func(time.Duration, func()) Timer, interval func() time.Duration, f func()) *Check {
	return &Check{f: f, interval: interval, afterFunc: afterFunc, running: make(chan struct{}, 1)}
}

func (c *Check) arm(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.mu.ended {
		c.mu.timer = c.afterFunc(d, c.Run)
	}
}

// Run runs the check now, after the run that is under way if there is one, and waits for its end. The next one is due
// an interval later. It does nothing once the check is stopped.
func (c *Check) Run() {
	c.running <- struct{}{}
	defer func() { <-c.running }()
	c.mu.Lock()
	ended := c.mu.ended
	if c.mu.timer != nil {
		c.mu.timer.Stop()
		c.mu.timer = nil
	}
	c.mu.Unlock()
	if ended {
		return
	}
	c.f()
	c.arm(c.interval())
}

// Stop ends the check and waits for the run that is under way. f must not call it.
func (c *Check) Stop() {
	c.mu.Lock()
	c.mu.ended = true
	if c.mu.timer != nil {
		c.mu.timer.Stop()
		c.mu.timer = nil
	}
	c.mu.Unlock()
	if c.stopped != nil {
		c.stopped(c)
	}
	c.running <- struct{}{}
	defer func() { <-c.running }()
}
