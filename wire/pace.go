package wire

import (
	"net"
	"time"
)

// maxHeld is how many connections are held at a time before they are closed. A further one is closed at once: the
// descriptors are for clients that are served.
const maxHeld = 1000

// inTime asks Options.Pace about a connection, and says whether it is to be served. It waits until further connections
// may be accepted.
func (s *Server) inTime(nc net.Conn, l net.Listener) bool {
	if s.pace == nil {
		return true
	}
	wait, hold := s.pace(l, remoteIP(nc))
	if wait > 0 && !s.pause(wait) {
		nc.Close()
		return false
	}
	if hold <= 0 {
		return true
	}
	s.metrics.closed[tooFastPerIP].Inc()
	s.hold(nc, hold)
	return false
}

// hold closes a connection after a time. A client that connects too fast waits for an answer that long, and does not
// connect again at once.
func (s *Server) hold(nc net.Conn, d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.draining.Load() || len(s.mu.held) >= maxHeld {
		nc.Close()
		return
	}
	s.mu.held[nc] = time.AfterFunc(d, func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.mu.held, nc)
		nc.Close()
	})
}
