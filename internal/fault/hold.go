package fault

import (
	"slices"
	"time"
)

// Hold is one call that a fault holds.
type Hold struct {
	At    Attributes // immutable, as are the next two
	fault *Fault
	timer *time.Timer // releases it; nil unless the fault delays

	state        holdState // under Points.mu, as is the next one
	resume, drop func()    // nil until Then
}

type holdState int8

const (
	held holdState = iota
	released
	dropped
)

// Then sets the functions for the end of the hold: resume at the release, or drop, which may be nil, when the cluster
// drops the hold. One of the two is called once, by Then itself if the hold has ended already. The caller holds no
// lock.
func (h *Hold) Then(resume, drop func()) {
	p := h.fault.points
	p.mu.Lock()
	state := h.state
	h.resume, h.drop = resume, drop
	p.mu.Unlock()
	switch {
	case state == released:
		resume()
	case state == dropped && drop != nil:
		drop()
	}
}

// Forget ends a hold for something that does not exist any more. Neither function of Then is called. A nil Hold is
// allowed.
func (h *Hold) Forget() {
	if h == nil {
		return
	}
	p := h.fault.points
	p.mu.Lock()
	defer p.mu.Unlock()
	if h.state == held {
		h.resume, h.drop = nil, nil
		h.leaveLocked(dropped)
		p.changedLocked()
	}
}

// leaveLocked ends a hold.
func (h *Hold) leaveLocked(to holdState) {
	h.state = to
	h.fault.held = slices.DeleteFunc(h.fault.held, func(other *Hold) bool { return other == h })
	if h.timer != nil {
		h.timer.Stop()
	}
}

// release ends the holds that are still active, calls their functions, and returns their number.
func (p *Points) release(holds []*Hold) (n int) {
	var follow []func()
	p.mu.Lock()
	for _, h := range holds {
		if h.state != held {
			continue
		}
		n++
		h.leaveLocked(released)
		if h.resume != nil {
			follow = append(follow, h.resume)
		}
	}
	p.changedLocked()
	if n == 0 { // as always after Suspend, when somebody may be in Wait
		p.mu.Unlock()
		return 0
	}
	p.resuming.Add(1)
	p.mu.Unlock()
	defer p.resuming.Done()
	for _, resume := range follow {
		resume()
	}
	return n
}
