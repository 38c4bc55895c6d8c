package cluster

import "sync"

// deaths are the engines that are being closed because a fault has killed them. Unlike a sync.WaitGroup it may be
// waited for while another one is killed.
type deaths struct {
	mu   sync.Mutex
	last chan struct{} // closed when the newest one and all before it have ended; nil before the first
}

// Go runs bury in a goroutine of its own.
func (d *deaths) Go(bury func()) {
	ended := make(chan struct{})
	d.mu.Lock()
	before := d.last
	d.last = ended
	d.mu.Unlock()
	go func() {
		defer close(ended)
		bury()
		if before != nil {
			<-before
		}
	}()
}

// Wait waits for all that began before the call.
func (d *deaths) Wait() {
	d.mu.Lock()
	last := d.last
	d.mu.Unlock()
	if last != nil {
		<-last
	}
}
