package broker

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"

	"once/cluster"
	"once/quotas"
	"once/settings"
)

// listener is an open listener of the broker. It is immutable.
type listener struct {
	settings    settings.Listener
	socket      net.Listener
	connections *quotas.Meter // for its max.connection.creation.rate; nil until it is served
}

// listen opens the listeners. This comes first, because addresses are the most likely errors, and early clients wait in
// the backlog.
func (b *Broker) listen() error {
	if l := b.cfg.Listener; l != nil {
		b.listeners = []listener{{settings: b.cfg.Listeners[0], socket: l}}
		return nil
	}
	for _, l := range b.cfg.Listeners {
		socket, err := net.Listen(network(l, b.cfg.Listeners), l.Address())
		if err != nil {
			return addressError("the listener "+l.String(), l.Address(), err)
		}
		b.listeners = append(b.listeners, listener{settings: l, socket: socket})
		advertised := "the address that each client comes by"
		if a, ok := b.cfg.Settings.AdvertisedListener(l.Name); ok {
			advertised = a.String()
		}
		b.cfg.Logger.Info("listening", "listener", l.String(), "address", socket.Addr().String(), "advertised", advertised)
	}
	for _, l := range b.cfg.Settings.ControllerListeners {
		b.cfg.Logger.Info("a listener of the controller is not opened: there is no controller apart from the broker",
			"listener", l.String())
	}
	return nil
}

// network is tcp, except for two listeners that share a port, one on an IPv4 and one on an IPv6 address: with tcp each
// of 0.0.0.0 and [::] would take the addresses of both kinds.
func network(l settings.Listener, all []settings.Listener) string {
	address, err := netip.ParseAddr(l.Host)
	for _, other := range all {
		if err != nil || l.Port == 0 || other.Port != l.Port || other.Name == l.Name {
			continue
		}
		if address.Is4() {
			return "tcp4"
		}
		return "tcp6"
	}
	return "tcp"
}

// addressInUse is the number of syscall.EADDRINUSE on Windows.
const addressInUse = syscall.Errno(10048)

// addressError returns the error for an address that cannot be opened. A port in use is not an error in the
// configuration, because it may be free the next time.
func addressError(what, address string, err error) error {
	if errors.Is(err, syscall.EADDRINUSE) || errors.Is(err, addressInUse) {
		_, port, _ := net.SplitHostPort(address)
		return fmt.Errorf("port %s is taken: opening %s: %w", port, what, err)
	}
	return fmt.Errorf("%w: opening %s: %w", cluster.ErrConfig, what, err)
}

// Listeners returns the Kafka listeners with their actual addresses, in the order of the settings.
func (b *Broker) Listeners() []settings.Listener {
	open := make([]settings.Listener, len(b.listeners))
	for i, l := range b.listeners {
		open[i] = l.settings
		if at, ok := l.socket.Addr().(*net.TCPAddr); ok {
			open[i].Host, open[i].Port = at.IP.String(), at.Port
		}
	}
	return open
}
