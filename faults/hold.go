package faults

import (
	"context"
	"slices"
	"time"
)

// Hold is a request, or an answer, that a rule holds.
type Hold struct {
	of    *Armed
	rules *Rules
	timer *time.Timer   // lets go of it; nil unless the rule delays
	ended chan struct{} // closed when it is let go or dropped

	waiting bool          // Wait has been called; under Rules.mu
	dropped bool          // under Rules.mu until ended is closed
	late    func()        // carries the request out; nil while its connection is open
	bytes   int           // that late keeps
	after   chan struct{} // closed when the request has been carried out, or will not be
}

// Outcome is how a wait for a Hold ended.
type Outcome int8

// The outcomes.
const (
	Released Outcome = iota // go on
	Dropped                 // the cluster has ended: close the connection
	Gone                    // the client has gone; Late says how to go on without it
)

func (r *Rules) holdLocked(a *Armed) *Hold {
	h := &Hold{of: a, rules: r, ended: make(chan struct{}), after: make(chan struct{})}
	a.held = append(a.held, h)
	if d := max(a.rule.Do.Delay, a.rule.Do.DelayAnswer); d > 0 {
		h.timer = time.AfterFunc(time.Duration(d), func() { r.letGo([]*Hold{h}) })
	}
	return h
}

// Wait waits until the hold ends, or ctx does because the client has gone. Unless the outcome is Gone, the caller calls
// Done when it has gone on.
func (h *Hold) Wait(ctx context.Context) Outcome {
	h.rules.mu.Lock()
	h.waiting = true
	h.rules.changedLocked()
	h.rules.mu.Unlock()
	select {
	case <-h.ended:
	case <-ctx.Done():
		select {
		case <-h.ended: // then it counts
		default:
			return Gone
		}
	}
	if h.dropped {
		return Dropped
	}
	return Released
}

// Done says that the caller has gone on after the end of the hold.
func (h *Hold) Done() { close(h.after) }

// Late leaves the request, which has a size, to the release, which calls carryOut; nothing is left to do when it is
// nil, or when the cluster ends before. A request that there is no room for is lost.
func (h *Hold) Late(sizeBytes int, carryOut func()) {
	r := h.rules
	r.mu.Lock()
	select {
	case <-h.ended:
		dropped := h.dropped
		r.mu.Unlock()
		if carryOut != nil && !dropped {
			carryOut()
		}
		close(h.after)
		return
	default:
	}
	if carryOut != nil && r.keepLateLocked(sizeBytes) {
		h.late, h.bytes = carryOut, sizeBytes
	} else { // an answer that nobody waits for, or no room
		h.leaveLocked(true)
		close(h.after)
	}
	r.mu.Unlock()
}

// keepLateLocked takes room for a request whose client has gone; false when there is none.
func (r *Rules) keepLateLocked(sizeBytes int) bool {
	if r.mu.late == maxLate || r.mu.lateBytes+sizeBytes > maxLateBytes {
		return false
	}
	r.mu.late++
	r.mu.lateBytes += sizeBytes
	return true
}

func (r *Rules) endLateLocked(sizeBytes int) {
	r.mu.late--
	r.mu.lateBytes -= sizeBytes
}

// GoLate carries out a request whose client has gone in a goroutine of its own, for which Wait waits. It returns false,
// and does nothing, when there is no room or the cluster ends.
func (r *Rules) GoLate(sizeBytes int, carryOut func()) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.mu.suspended || !r.keepLateLocked(sizeBytes) {
		return false
	}
	r.late.Go(func() {
		defer func() {
			r.mu.Lock()
			defer r.mu.Unlock()
			r.endLateLocked(sizeBytes)
		}()
		carryOut()
	})
	return true
}

func (h *Hold) leaveLocked(dropped bool) {
	h.dropped = dropped
	h.of.held = slices.DeleteFunc(h.of.held, func(other *Hold) bool { return other == h })
	if h.timer != nil {
		h.timer.Stop()
	}
	close(h.ended)
	h.rules.changedLocked()
}

// release lets go of all that a rule holds, and returns how much that was.
func (r *Rules) release(a *Armed) int {
	r.mu.Lock()
	held := slices.Clone(a.held)
	r.mu.Unlock()
	return r.letGo(held)
}

// letGo returns when the requests have been carried out.
func (r *Rules) letGo(held []*Hold) (n int) {
	var late []*Hold
	r.mu.Lock()
	for _, h := range held {
		if !slices.Contains(h.of.held, h) {
			continue
		}
		n++
		h.leaveLocked(false)
		if h.late != nil {
			late = append(late, h)
		}
	}
	if n > 0 { // never after Suspend, when somebody may be in Rules.Wait
		r.late.Add(1)
		defer r.late.Done()
	}
	r.mu.Unlock()
	for _, h := range late {
		h.late()
		close(h.after)
		r.mu.Lock()
		r.endLateLocked(h.bytes)
		r.mu.Unlock()
	}
	for _, h := range held {
		select {
		case <-h.ended:
			if !h.dropped {
				<-h.after
			}
		default:
		}
	}
	return n
}

// Suspend drops what is held: the cluster ends. Until Resume no request is held or delayed.
func (r *Rules) Suspend() {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.mu.suspended = true
	for _, a := range r.mu.all {
		for _, h := range slices.Clone(a.held) {
			h.leaveLocked(true)
			if h.late != nil {
				close(h.after)
				r.endLateLocked(h.bytes)
			}
		}
	}
}

// Resume ends Suspend.
func (r *Rules) Resume() {
	if r == nil {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.mu.suspended = false
}

// Wait waits for requests that are carried out without their clients. It is called after Suspend.
func (r *Rules) Wait() {
	if r != nil {
		r.late.Wait()
	}
}
