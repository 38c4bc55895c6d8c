package wire

import (
	"cmp"
	"net"
	"net/netip"
	"slices"
)

// ConnectionLimits says how many connections are open at a time (spec: wire 7). 0 means no limit, except in Exceptions.
type ConnectionLimits struct {
	// While there are as many as Total, or one listener has as many as it has in Listeners, no further one is accepted.
	Total     int
	Listeners map[net.Listener]int
	// Protected is accepted from although there are as many as Total; then others lose those that are idle the longest.
	// nil for none.
	Protected net.Listener
	// A connection of an address that has as many as PerIP is closed. Single addresses have limits of their own.
	PerIP      int
	Exceptions map[netip.Addr]int
}

// SetConnectionLimits changes the limits, whose maps the caller does not change any more. Above a lower Total, the
// connections that are idle the longest are closed; all other limits are for those that come from now on.
func (s *Server) SetConnectionLimits(l ConnectionLimits) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.allowed = l
	s.closeExcessLocked()
	s.freed.Broadcast()
}

// waitSlot returns true when a further connection of a listener may be accepted, false at Shutdown and StopServing.
func (s *Server) waitSlot(l net.Listener) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.isServedLocked(l) && !s.hasSlotLocked(l) {
		s.freed.Wait()
	}
	return s.isServedLocked(l)
}

func (s *Server) isServedLocked(l net.Listener) bool {
	_, served := s.mu.listeners[l]
	return served && !s.draining.Load()
}

func (s *Server) hasSlotLocked(l net.Listener) bool {
	a := &s.mu.allowed
	if most := a.Listeners[l]; most > 0 && s.mu.listeners[l] >= most {
		return false
	}
	return a.Total <= 0 || len(s.mu.conns) < a.Total || l == a.Protected
}

// closeExcessLocked closes connections above Total, those that are idle the longest; none of the protected listener.
func (s *Server) closeExcessLocked() {
	a := &s.mu.allowed
	if a.Total <= 0 || len(s.mu.conns) <= a.Total {
		return
	}
	excess := len(s.mu.conns) - a.Total
	var closable []*Conn
	for c := range s.mu.conns {
		switch {
		case c.excess:
			excess-- // it is closed already
		case c.via != a.Protected:
			closable = append(closable, c)
		}
	}
	slices.SortFunc(closable, func(x, y *Conn) int { return cmp.Compare(x.usedNs.Load(), y.usedNs.Load()) })
	for _, c := range closable[:min(max(excess, 0), len(closable))] {
		c.excess = true
		c.nc.Close()
	}
}

// hasTooManyLocked says whether an address has as many connections as it may have. Where there are exceptions, no limit
// is none for all others, as in Kafka.
func (s *Server) hasTooManyLocked(from netip.Addr) bool {
	if most, ok := s.mu.allowed.Exceptions[from]; ok {
		return s.mu.perIP[from] >= most
	}
	limited := s.mu.allowed.PerIP > 0 || len(s.mu.allowed.Exceptions) > 0
	return limited && s.mu.perIP[from] >= s.mu.allowed.PerIP
}
