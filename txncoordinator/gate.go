package txncoordinator

import "sync"

// gate keeps operations and a reload apart. Requests are refused while it closes and while it is shut; work without a
// request waits until it is open again. Work may enter again while it is inside, as a hold does that is released at
// once.
//
// Locking: mu is a leaf.
type gate struct {
	mu struct {
		sync.Mutex
		changed sync.Cond // signalled when the gate opens, and when nobody is inside any more
		inside  int
		closing bool // no request enters
		shut    bool // nobody is inside, and nobody enters
	}
}

func (g *gate) init() { g.mu.changed.L = &g.mu.Mutex }

// admit lets a request in, unless the gate closes.
func (g *gate) admit() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.mu.closing {
		return false
	}
	g.mu.inside++
	return true
}

// enter lets work in that has no request.
func (g *gate) enter() {
	g.mu.Lock()
	defer g.mu.Unlock()
	for g.mu.shut {
		g.mu.changed.Wait()
	}
	g.mu.inside++
}

// leave ends admit or enter.
func (g *gate) leave() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.mu.inside--; g.mu.inside == 0 && g.mu.closing {
		g.mu.changed.Broadcast()
	}
}

// close shuts the gate when all have left. One goroutine at a time may have it shut.
func (g *gate) close() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.mu.closing = true
	for g.mu.inside > 0 {
		g.mu.changed.Wait()
	}
	g.mu.shut = true
}

// open ends close.
func (g *gate) open() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.mu.closing, g.mu.shut = false, false
	g.mu.changed.Broadcast()
}
