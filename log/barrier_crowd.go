package log

import "time"

const (
	// crowdFrom is how many waiters make it worth holding a barrier back for those who are on their way.
	crowdFrom = 4
	// crowdMaxWait bounds how long; twice what the last sync took does, too.
	crowdMaxWait = 2 * time.Millisecond
)

// crowd decides when a barrier begins that several wait for. Producers that each wait for their answer would
// otherwise fall into two halves: whoever comes first after a barrier has begun the next one alone, and the
// others wait for two. A sync costs the same for one as for all; so the next barrier waits a moment for as many
// as the last one had, it and those who came during it. Guarded by the barrier's mu.
type crowd struct {
	enabled       bool // immutable
	running, next int  // who waits for the barrier that runs, and for the one that collects
	expected      int
	holding       bool
	took          time.Duration
}

// arriveLocked counts one who begins to wait.
func (c *crowd) arriveLocked(forNext bool) {
	if forNext {
		c.next++
	} else {
		c.running++
	}
}

// completeLocked says whether a barrier that is held back may begin.
func (c *crowd) completeLocked() bool { return !c.holding || c.next >= c.expected }

// beginLocked: a barrier has noted its instant.
func (c *crowd) beginLocked() { c.running, c.next = c.next, 0 }

// endLocked: it is complete.
func (c *crowd) endLocked() { c.expected, c.running = c.running+c.next, 0 }

// gather holds a barrier back until its crowd is complete.
func (b *Barrier) gather() {
	b.mu.Lock()
	c := &b.crowd
	hold := min(2*c.took, crowdMaxWait)
	c.holding = c.enabled && c.expected >= crowdFrom && c.next < c.expected && hold > 0 && !b.mu.ending
	holding := c.holding
	b.mu.Unlock()
	if !holding {
		return
	}
	// The disk's time is real in tests, too, whatever the clock of everything else.
	timer := time.NewTimer(hold)
	defer timer.Stop()
	for complete := false; !complete; {
		select {
		case <-b.wakeup:
		case <-timer.C:
			complete = true
		}
		b.mu.Lock()
		complete = complete || c.completeLocked() || b.mu.ending
		c.holding = !complete
		b.mu.Unlock()
	}
}
