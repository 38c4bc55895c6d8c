package handlers

import (
	"testing"
	"time"

	"once/settings"
)

// A ShareFetch for which there is no session waits before it is refused, but no longer than its connection may be idle:
// meanwhile nobody notices that the connection has been closed.
func TestRefusedShareFetchWaitsNoLongerThanAnIdleConnection(t *testing.T) {
	f := &shareFetching{s: &Services{Settings: &settings.Broker{ConnectionsMaxIdle: time.Millisecond}}}
	done := make(chan struct{})
	go func() {
		defer close(done)
		f.pause(t.Context(), 24*time.Hour)
	}()
	select {
	case <-done:
	case <-time.After(time.Minute):
		t.Error("it still waits")
	}
}
