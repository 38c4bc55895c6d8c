// Package wire is the broker's front door: listeners, connections, frames, headers, and the decoding of
// requests and encoding of responses. It knows bytes and versions, and no topics: what a request means is
// the business of the handlers in the table that it is given.
//
// Always: the requests of one connection are handled in the order in which they arrived, one at a time,
// and answered in that order; a handler sees only requests whose bytes have been checked against the
// schema of their version; memory grows with the bytes received and never with a length announced; and no
// bytes from a client end the process or touch another connection. Limits names every bound.
//
// Package broker creates the Server; handlers use Request, Reply and Code.
package wire

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"once/internal/apiname"
	"once/internal/clock"
)

// Options configures a Server. Zero values are the defaults.
type Options struct {
	APIs       []API
	Limits     Limits
	Logger     *slog.Logger          // default: discard
	Registerer prometheus.Registerer // nil leaves the metrics unregistered
	RealTime   clock.Clock           // for log limits only; sockets keep their own time. Default: clock.Real
	// OnClose, if set, is called once for each connection after its last request, from its goroutine, for
	// owners of state that lives as long as a connection. It must not block.
	OnClose func(*Conn)
	// Pace, if set, is asked about each connection that has been accepted: further ones are accepted after wait. After
	// hold this one is closed without having been served; 0 serves it. It must not block.
	Pace func(l net.Listener, from netip.Addr) (wait, hold time.Duration)
}

// Server accepts connections and serves the table of APIs on them.
type Server struct {
	apis     [maxKey + 1]*servedAPI // immutable, as are all fields up to wg
	limits   Limits
	log      *slog.Logger
	metrics  *metrics
	onClose  func(*Conn)
	pace     func(net.Listener, netip.Addr) (wait, hold time.Duration)
	ctx      context.Context // ends with Shutdown
	cancel   context.CancelFunc
	refusals refusalLog
	budget   byteBudget

	wg       sync.WaitGroup // connections and their pipelines
	draining atomic.Bool    // set under mu
	lastID   atomic.Int64
	mu       struct {
		sync.Mutex
		listeners map[net.Listener]int // open connections of each that is served
		conns     map[*Conn]struct{}
		perIP     map[netip.Addr]int
		stopped   map[net.Listener]bool    // by StopServing, before Serve has begun
		held      map[net.Conn]*time.Timer // until they are closed without having been served
		allowed   ConnectionLimits         // can change
	}
	freed sync.Cond // of mu: a connection has ended, or Shutdown begun
}

// NewServer checks the table and the limits, and reports everything that is wrong with them at once.
func NewServer(o Options) (*Server, error) {
	o.Limits.setDefaults()
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.RealTime == nil {
		o.RealTime = clock.Real{}
	}
	s := &Server{limits: o.Limits, log: o.Logger, onClose: o.OnClose, pace: o.Pace}
	s.refusals = refusalLog{log: o.Logger, clock: o.RealTime}
	s.budget.max = o.Limits.MaxRequestBytesInFlight
	m, err := newMetrics(o.Registerer, s.budget.inUse)
	if err != nil {
		return nil, fmt.Errorf("wire: registering metrics: %w", err)
	}
	s.metrics = m
	errs := []error{o.Limits.validate()}
	for _, a := range o.APIs {
		errs = append(errs, s.addAPI(a))
	}
	if err := errors.Join(errs...); err != nil {
		return nil, fmt.Errorf("wire: %w", err)
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.mu.listeners = make(map[net.Listener]int)
	s.mu.stopped = make(map[net.Listener]bool)
	s.mu.conns = make(map[*Conn]struct{})
	s.mu.perIP = make(map[netip.Addr]int)
	s.mu.held = make(map[net.Conn]*time.Timer)
	s.mu.allowed = ConnectionLimits{Total: o.Limits.MaxConnections, PerIP: o.Limits.MaxConnectionsPerIP}
	s.freed.L = &s.mu
	return s, nil
}

func (s *Server) addAPI(a API) error {
	name := apiname.Of(a.Key)
	switch sch := schemas()[a.Key]; {
	case a.Key < 0 || a.Key > maxKey || sch == nil:
		return fmt.Errorf("API %d has no schema", a.Key)
	case s.apis[a.Key] != nil:
		return fmt.Errorf("API %s stands twice in the table", name)
	case a.Min < 0 || a.Min > a.Max: // a test compares with kmsg: asking it here would load the code of every API
		return fmt.Errorf("API %s has a bad version range %d-%d", name, a.Min, a.Max)
	default:
		lo, hi := sch.versionBounds()
		if a.Min < lo || a.Max > hi {
			return fmt.Errorf("API %s: versions %d-%d are not within the schema's %d-%d", name, a.Min, a.Max, lo, hi)
		}
		s.apis[a.Key] = &servedAPI{API: a, name: name, schema: sch,
			requests: s.metrics.requests.WithLabelValues(name), duration: s.metrics.duration.WithLabelValues(name)}
		return nil
	}
}

// Serve accepts connections until Shutdown, closes l, and then returns nil. Their requests go to handle. It may be
// called for several listeners, each with a handler of its own. After Shutdown it accepts nothing: the caller of
// Shutdown may be faster than the goroutine that was started to serve.
func (s *Server) Serve(l net.Listener, handle Handler) error {
	s.mu.Lock()
	if s.draining.Load() || s.mu.stopped[l] {
		delete(s.mu.stopped, l)
		s.mu.Unlock()
		l.Close() // the caller of Shutdown may have closed it, too
		return nil
	}
	s.mu.listeners[l] = 0
	s.wg.Add(1)
	s.mu.Unlock()
	defer s.wg.Done()
	defer func() {
		l.Close()
		s.mu.Lock()
		delete(s.mu.listeners, l)
		s.mu.Unlock()
	}()
	var backoff time.Duration
	for s.waitSlot(l) {
		nc, err := l.Accept()
		switch {
		case s.draining.Load():
			if err == nil {
				nc.Close()
			}
			return nil
		case errors.Is(err, net.ErrClosed):
			return fmt.Errorf("wire: listener %s: %w", l.Addr(), err)
		case err != nil:
			// Out of descriptors, or a client that was gone before it was accepted: others must be served on.
			backoff = min(max(2*backoff, 5*time.Millisecond), time.Second)
			s.log.Warn("accepting a connection failed", "error", err, "retry_in", backoff)
			if !s.pause(backoff) {
				return nil
			}
		default:
			backoff = 0
			if !s.inTime(nc, l) {
				continue
			}
			s.admit(nc, l, handle)
		}
	}
	return nil
}

// pause waits for d and reports whether the server still serves.
func (s *Server) pause(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-s.ctx.Done():
		return false
	}
}

// admit registers a connection and starts its reader.
func (s *Server) admit(nc net.Conn, via net.Listener, handle Handler) {
	if t, ok := nc.(*net.TCPConn); ok {
		t.SetNoDelay(true)
		if n := s.limits.ReceiveBufferBytes; n > 0 {
			t.SetReadBuffer(n)
		}
		if n := s.limits.SendBufferBytes; n > 0 {
			t.SetWriteBuffer(n)
		}
		t.SetKeepAlive(true)
	}
	ip := remoteIP(nc)
	c := newConn(s, nc, handle, s.lastID.Add(1))
	c.via = via
	s.mu.Lock()
	tooMany := s.hasTooManyLocked(ip)
	if tooMany || !s.isServedLocked(via) {
		s.mu.Unlock()
		c.cancel()
		nc.Close()
		if tooMany {
			s.metrics.closed[tooManyPerIP].Inc()
		}
		return
	}
	s.mu.conns[c] = struct{}{}
	s.mu.perIP[ip]++
	s.mu.listeners[via]++
	if via == s.mu.allowed.Protected {
		s.closeExcessLocked()
	}
	s.wg.Add(1)
	s.mu.Unlock()
	s.metrics.connections.Inc()
	go s.run(c, ip)
}

// run is the life of a connection.
func (s *Server) run(c *Conn, ip netip.Addr) {
	defer s.wg.Done()
	reason := handshake
	if err := s.handshake(c); err == nil {
		reason = c.serve()
	}
	c.breakOff()
	s.mu.Lock()
	delete(s.mu.conns, c)
	if c.excess {
		reason = tooMany
	}
	if _, open := s.mu.listeners[c.via]; open {
		s.mu.listeners[c.via]--
	}
	if s.mu.perIP[ip]--; s.mu.perIP[ip] <= 0 {
		delete(s.mu.perIP, ip)
	}
	s.freed.Broadcast()
	s.mu.Unlock()
	s.metrics.closed[reason].Inc()
	s.metrics.connections.Dec()
	s.log.Debug("connection closed", "connection", c.id, "remote", c.RemoteAddr().String(), "reason", reason.String())
	if s.onClose != nil {
		s.onClose(c)
	}
}

// handshake completes TLS before the first request is waited for, so that it has a limit of its own.
func (s *Server) handshake(c *Conn) error {
	t, ok := c.nc.(*tls.Conn)
	if !ok {
		return nil
	}
	ctx, cancel := context.WithTimeout(c.ctx, s.limits.FrameTimeout)
	defer cancel()
	return t.HandshakeContext(ctx)
}

func remoteIP(nc net.Conn) netip.Addr {
	if t, ok := nc.RemoteAddr().(*net.TCPAddr); ok {
		return t.AddrPort().Addr().Unmap()
	}
	return netip.Addr{}
}

// Disconnect closes all connections; what is in flight is not answered. New ones are served.
func (s *Server) Disconnect() { s.DisconnectIf(func(*Conn) bool { return true }) }

// StopServing closes a listener that Serve has been called for, or will be, and its connections. Serve returns, even if
// it waits until another connection ends.
func (s *Server) StopServing(l net.Listener) {
	s.mu.Lock()
	if _, served := s.mu.listeners[l]; !served {
		s.mu.stopped[l] = true
	}
	delete(s.mu.listeners, l)
	s.freed.Broadcast()
	s.mu.Unlock()
	l.Close()
	s.DisconnectIf(func(c *Conn) bool { return c.via == l })
}

// DisconnectIf closes some connections; what is in flight is not answered. New ones are served.
func (s *Server) DisconnectIf(closes func(*Conn) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.mu.conns {
		if closes(c) {
			c.nc.Close()
		}
	}
}

// forcedCloseGrace is how long Shutdown waits for handlers after it has closed their sockets.
const forcedCloseGrace = time.Second

// Shutdown stops accepting, ends the ctx of every request in flight, lets them be answered, closes the
// connections and waits for all goroutines. When ctx ends before that, the sockets are closed at once;
// handlers that do not return even then are left behind and reported as an error.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	s.draining.Store(true)
	s.freed.Broadcast()
	for l := range s.mu.listeners {
		l.Close()
	}
	for nc, timer := range s.mu.held {
		timer.Stop()
		nc.Close()
	}
	clear(s.mu.held)
	for c := range s.mu.conns {
		// Readers check draining after they set a deadline, so this one is not overwritten unseen.
		c.nc.SetReadDeadline(time.Unix(1, 0))
	}
	s.mu.Unlock()
	s.cancel()

	done := make(chan struct{})
	go func() {
		s.wg.Wait()
		close(done)
	}()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
	}
	s.mu.Lock()
	busy := len(s.mu.conns)
	for c := range s.mu.conns {
		c.nc.Close()
	}
	s.mu.Unlock()
	grace := time.NewTimer(forcedCloseGrace)
	defer grace.Stop()
	select {
	case <-done:
		return nil
	case <-grace.C:
		return fmt.Errorf("wire: %d connections did not end: %w", busy, ctx.Err())
	}
}
