package wire

import (
	"net"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"
)

// pace gives all connections the same times, which can change.
type pace struct{ wait, hold atomic.Int64 }

func (p *pace) of(net.Listener, netip.Addr) (wait, hold time.Duration) {
	return time.Duration(p.wait.Load()), time.Duration(p.hold.Load())
}

// A connection that is held is not served, and holds up no other one. It is closed when its time is over, or the server
// ends.
func TestHeldConnectionsAreNotServed(t *testing.T) {
	var p pace
	s := start(t, options{APIs: echoAPIs(), Pace: p.of}, 0)
	p.hold.Store(int64(time.Hour))
	held := s.dial()
	if _, err := held.Send(metadataRequest(12, "orders")); err != nil {
		t.Fatal(err)
	}
	s.wantClosed(tooFastPerIP, 1)
	p.hold.Store(0)
	mustMetadata(t, s.dial())
	if n := metricValue(s.metrics.connections); n != 1 {
		t.Errorf("%v connections are served", n)
	}
	p.hold.Store(int64(10 * time.Millisecond))
	short := s.dial()
	if _, err := short.Send(metadataRequest(12, "orders")); err != nil {
		t.Fatal(err)
	}
	if err := short.WaitClosed(); err != nil {
		t.Error(err)
	}
	if err := s.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := held.WaitClosed(); err != nil {
		t.Error(err)
	}
	if n := len(s.mu.held); n > 0 {
		t.Errorf("%d connections are held", n)
	}
}

// Above the limit a connection is closed at once.
func TestHeldConnectionsAreBounded(t *testing.T) {
	s := mustServer(t, options{APIs: echoAPIs()})
	for range maxHeld {
		_, end := net.Pipe()
		s.hold(end, time.Hour)
	}
	client, end := net.Pipe()
	s.hold(end, time.Hour)
	if _, err := client.Read(make([]byte, 1)); err == nil || len(s.mu.held) != maxHeld {
		t.Errorf("%d connections are held, one more is not closed", len(s.mu.held))
	}
	if err := s.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	late, end := net.Pipe()
	s.hold(end, time.Hour)
	if _, err := late.Read(make([]byte, 1)); err == nil || len(s.mu.held) > 0 {
		t.Errorf("%d connections are held after the end", len(s.mu.held))
	}
}

// After a wait the connection is served; the end of the server ends a wait.
func TestAcceptingWaits(t *testing.T) {
	var p pace
	s := start(t, options{APIs: echoAPIs(), Pace: p.of}, 0)
	p.wait.Store(int64(50 * time.Millisecond))
	began := time.Now()
	mustMetadata(t, s.dial())
	if took := time.Since(began); took < 50*time.Millisecond {
		t.Errorf("served after %v", took)
	}
	p.wait.Store(int64(time.Hour))
	waits := s.dial()
	if _, err := waits.Send(metadataRequest(12, "orders")); err != nil {
		t.Fatal(err)
	}
	if err := s.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := waits.WaitClosed(); err != nil {
		t.Error(err)
	}
}
