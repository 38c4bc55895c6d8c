package partition

import "sync"

// Waiter receives a signal when a partition that it watches may have more to read. C holds at most one signal; after
// it the waiter reads again.
type Waiter struct {
	C         chan struct{}
	Committed bool // wake for the last stable offset, not for the high watermark
}

// NewWaiter returns a waiter that watches nothing yet.
func NewWaiter(committed bool) *Waiter {
	return &Waiter{C: make(chan struct{}, 1), Committed: committed}
}

// wakeUp says which bounds have moved.
type wakeUp struct{ uncommitted, committed bool }

// waiters are the waiters of one partition. Its lock is taken after the partition's is released.
type waiters struct {
	mu  sync.Mutex
	set map[*Waiter]struct{}
}

// Watch registers a waiter. The caller must read once more after it, because earlier appends give no signal.
func (p *Partition) Watch(w *Waiter) {
	p.waiters.mu.Lock()
	defer p.waiters.mu.Unlock()
	if p.waiters.set == nil {
		p.waiters.set = make(map[*Waiter]struct{}, 1)
	}
	p.waiters.set[w] = struct{}{}
}

// Unwatch removes a waiter.
func (p *Partition) Unwatch(w *Waiter) {
	p.waiters.mu.Lock()
	defer p.waiters.mu.Unlock()
	delete(p.waiters.set, w)
}

func (ws *waiters) wake(moved wakeUp) {
	if !moved.uncommitted && !moved.committed {
		return
	}
	ws.mu.Lock()
	defer ws.mu.Unlock()
	for w := range ws.set {
		if w.Committed && !moved.committed || !w.Committed && !moved.uncommitted {
			continue
		}
		select {
		case w.C <- struct{}{}:
		default:
		}
	}
}
