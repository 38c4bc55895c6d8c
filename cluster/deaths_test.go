package cluster

import (
	"sync/atomic"
	"testing"
)

// Nothing that began before is still running after a wait, also when others begin meanwhile.
func TestDeathsAreWaitedForWhileOthersBegin(t *testing.T) {
	var d deaths
	d.Wait()
	var running atomic.Int64
	others := make(chan struct{})
	go func() {
		defer close(others)
		for range 1000 {
			d.Go(func() {})
		}
	}()
	for range 1000 {
		running.Add(2)
		d.Go(func() { running.Add(-1) })
		d.Go(func() { running.Add(-1) })
		if d.Wait(); running.Load() != 0 {
			t.Fatalf("%d still run", running.Load())
		}
	}
	<-others
	d.Wait()
}
