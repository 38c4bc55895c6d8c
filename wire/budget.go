package wire

import (
	"sync"
	"time"
)

// byteBudget is the semaphore of request bytes in flight (P30). Waiters are served in order, so that a big
// request is not starved by small ones.
//
// Connections that each hold part of a request can wait for each other; the frame timeout ends that.
type byteBudget struct {
	max int64
	mu  struct {
		sync.Mutex
		used    int64
		waiters []*budgetWaiter
	}
}

type budgetWaiter struct {
	n, held int64
	granted chan struct{} // closed under mu when the bytes are the waiter's
}

// acquire takes n more bytes for a request that holds held bytes already. It waits at most timeout and until done is
// closed, and says whether it got them. A request that is the only one may exceed the budget, so that the longest
// frame always passes.
func (b *byteBudget) acquire(n, held int64, timeout time.Duration, done <-chan struct{}) bool {
	b.mu.Lock()
	if len(b.mu.waiters) == 0 && b.fitsLocked(n, held) {
		b.mu.used += n
		b.mu.Unlock()
		return true
	}
	w := &budgetWaiter{n: n, held: held, granted: make(chan struct{})}
	b.mu.waiters = append(b.mu.waiters, w)
	b.mu.Unlock()

	timer := time.NewTimer(timeout)
	defer timer.Stop()
	select {
	case <-w.granted:
		return true
	case <-timer.C:
	case <-done:
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for i, x := range b.mu.waiters {
		if x == w {
			b.mu.waiters = append(b.mu.waiters[:i], b.mu.waiters[i+1:]...)
			b.grantLocked() // w may have stood in the way of smaller ones
			return false
		}
	}
	return true // granted meanwhile
}

func (b *byteBudget) release(n int64) {
	if n == 0 {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.mu.used -= n
	b.grantLocked()
}

func (b *byteBudget) fitsLocked(n, held int64) bool {
	return b.mu.used <= held || b.mu.used+n <= b.max
}

func (b *byteBudget) grantLocked() {
	for len(b.mu.waiters) > 0 && b.fitsLocked(b.mu.waiters[0].n, b.mu.waiters[0].held) {
		w := b.mu.waiters[0]
		b.mu.waiters = b.mu.waiters[1:]
		b.mu.used += w.n
		close(w.granted)
	}
}

// inUse returns the bytes held.
func (b *byteBudget) inUse() int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.mu.used
}
