package broker

import (
	"math"
	"net"
	"net/netip"
	"time"

	"once/settings"
	"once/wire"
)

// connectionLimits are the limits for open connections (spec: wire 7).
func (b *Broker) connectionLimits(s *settings.Broker) wire.ConnectionLimits {
	limits := wire.ConnectionLimits{
		Total: s.MaxConnections, Listeners: map[net.Listener]int{},
		PerIP: s.MaxConnectionsPerIP, Exceptions: s.MaxConnectionsPerIPOverrides,
	}
	for _, l := range b.listeners {
		if of, ok := s.ListenerLimits[l.settings.Name]; ok {
			limits.Listeners[l.socket] = of.MaxConnections
		}
		if b.isProtected(&l, s) {
			limits.Protected = l.socket
		}
	}
	return limits
}

// isProtected says whether a listener is that between brokers, for which the limits of all listeners do not hold. One
// that is alone is not.
func (b *Broker) isProtected(l *listener, s *settings.Broker) bool {
	return len(b.listeners) > 1 && l.settings.Name == s.InterBrokerListener
}

// pace says how long the next connection has to wait to be accepted, by max.connection.creation.rate of the broker and
// of the listener, and for how long this one is held before it is closed, by the quota of its address.
func (b *Broker) pace(l net.Listener, from netip.Addr) (wait, hold time.Duration) {
	now, s := time.Now(), b.settings()
	own := b.listenerAt(l)
	if limit := s.MaxConnectionCreationRate; limit < math.MaxInt32 && !(own != nil && b.isProtected(own, s)) {
		wait = b.connections.Add(1, float64(limit), now)
	}
	if own != nil {
		limits, ok := s.ListenerLimits[own.settings.Name]
		if limit := limits.MaxConnectionCreationRate; ok && limit < math.MaxInt32 {
			wait = max(wait, own.connections.Add(1, float64(limit), now))
		}
	}
	return wait, b.clusterAt(l).Connect(from, now)
}

// listenerAt returns the listener of a socket; nil for those of clusters that were made while the broker runs.
func (b *Broker) listenerAt(socket net.Listener) *listener {
	for i := range b.listeners {
		if b.listeners[i].socket == socket {
			return &b.listeners[i]
		}
	}
	return nil
}
