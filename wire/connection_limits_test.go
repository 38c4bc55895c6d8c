package wire

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"testing"

	"once/internal/kafkatest"
)

// serveMore serves another listener until the end of the test.
func (s *testServer) serveMore(o options) net.Listener {
	s.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		s.t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(l, o.handle) }()
	s.t.Cleanup(func() { l.Close(); <-served })
	return l
}

func dialListener(t *testing.T, l net.Listener) *kafkatest.Conn {
	t.Helper()
	c, err := kafkatest.Dial(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// wantOpen waits until so many connections are open.
func (s *testServer) wantOpen(n int) {
	s.t.Helper()
	eventually(s.t, func() error {
		if got := metricValue(s.metrics.connections); got != float64(n) {
			return fmt.Errorf("%v connections are open, want %d", got, n)
		}
		return nil
	})
}

// A listener with a limit of its own accepts no further connection while it has so many; other listeners do. A
// connection that ends makes room.
func TestConnectionLimitOfAListener(t *testing.T) {
	o := options{APIs: echoAPIs()}
	s := start(t, o, 0)
	limited := s.serveMore(o)
	s.SetConnectionLimits(ConnectionLimits{Listeners: map[net.Listener]int{limited: 1}})
	first := dialListener(t, limited)
	mustMetadata(t, first)
	second := dialListener(t, limited) // waits in the backlog
	third := s.dial()
	mustMetadata(t, third)
	mustMetadata(t, s.dial())
	s.wantOpen(3)
	first.Close()
	mustMetadata(t, second)
	s.wantOpen(3)
}

// A lower limit for all closes the connections that are idle the longest. The protected listener accepts nevertheless,
// and the others lose connections, but it never loses one.
func TestExcessConnectionsAreClosed(t *testing.T) {
	o := options{APIs: echoAPIs()}
	s := start(t, o, 0)
	protected := s.serveMore(o)
	a, b, c := s.dial(), s.dial(), s.dial()
	for _, conn := range []*kafkatest.Conn{b, a, c, b} { // a is idle the longest, then c
		mustMetadata(t, conn)
	}
	s.SetConnectionLimits(ConnectionLimits{Total: 2, Protected: protected})
	if err := a.WaitClosed(); err != nil {
		t.Fatal(err)
	}
	s.wantClosed(tooMany, 1)
	mustMetadata(t, c)
	mustMetadata(t, dialListener(t, protected))
	if err := b.WaitClosed(); err != nil {
		t.Fatal(err)
	}
	s.wantClosed(tooMany, 2)
	mustMetadata(t, c)
	for range 3 {
		mustMetadata(t, dialListener(t, protected))
	}
	if err := c.WaitClosed(); err != nil {
		t.Fatal(err)
	}
	s.wantOpen(4)
	s.wantClosed(tooMany, 3)
}

// A listener that waits for the end of a connection of another one can be stopped, before and after it is served.
func TestAListenerThatWaitsIsStopped(t *testing.T) {
	o := options{APIs: echoAPIs()}
	s := start(t, o, 0)
	s.SetConnectionLimits(ConnectionLimits{Total: 1})
	mustMetadata(t, s.dial())
	waits := s.serveMore(o)
	eventually(t, func() error {
		s.mu.Lock()
		defer s.mu.Unlock()
		if !s.isServedLocked(waits) {
			return errors.New("the listener is not served")
		}
		return nil
	})
	s.StopServing(waits) // the end of the test waits for Serve

	late, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.StopServing(late)
	if err := s.Serve(late, o.handle); err != nil {
		t.Error(err)
	}
	if len(s.mu.stopped) > 0 {
		t.Error("a listener that has been stopped is remembered")
	}
}

// An address with a limit of its own has this one.
func TestConnectionLimitsOfAddresses(t *testing.T) {
	s := start(t, options{APIs: echoAPIs(), Limits: Limits{MaxConnectionsPerIP: 1}}, 0)
	s.SetConnectionLimits(ConnectionLimits{PerIP: 1, Exceptions: map[netip.Addr]int{netip.MustParseAddr("127.0.0.1"): 2}})
	mustMetadata(t, s.dial())
	mustMetadata(t, s.dial())
	if err := s.dial().WaitClosed(); err != nil {
		t.Error(err)
	}
	s.wantClosed(tooManyPerIP, 1)
	s.SetConnectionLimits(ConnectionLimits{})
	mustMetadata(t, s.dial())
	s.SetConnectionLimits(ConnectionLimits{Exceptions: map[netip.Addr]int{netip.MustParseAddr("127.0.0.2"): 2}})
	if err := s.dial().WaitClosed(); err != nil {
		t.Error(err)
	}
	s.wantClosed(tooManyPerIP, 2)
}
