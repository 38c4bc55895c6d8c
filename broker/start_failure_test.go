package broker

import (
	"errors"
	"testing"
	"testing/synctest"
)

// A cluster that fails before the broker has started closes the broker only then: nothing that is still being made
// stays open.
func TestFailureDuringTheStart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &Broker{started: make(chan struct{}), done: make(chan struct{}), leaveContext: func() bool { return true }}
		failure := errors.New("the disk has failed")
		b.fail(failure)
		synctest.Wait()
		select {
		case <-b.Done():
			t.Error("the broker is closed while it starts")
		default:
		}
		close(b.started)
		<-b.Done()
		if b.Err() != failure {
			t.Errorf("it has stopped because of %v", b.Err())
		}
	})
}
