package broker

import (
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"once/cluster"
	"once/settings"
	"once/wire"
)

// advertiser computes the address that a client is given. All but seen and outside is immutable. Safe for concurrent
// use.
type advertiser struct {
	inForce     func() *settings.Broker
	names       map[net.Listener]string
	first       net.Listener
	inContainer bool
	gateway     net.IP // of the container's bridge; nil where there is none
	networks    func() []netip.Prefix
	seen        atomic.Pointer[networksSeen]
	outside     outsideAddress // of the default cluster
}

// outsideAddress is the address that clients of a cluster from outside are told, whatever the settings say; without one
// they are told what the settings say.
type outsideAddress struct{ atomic.Pointer[advertised] }

// set sets the address HOST:PORT; "" is none.
func (o *outsideAddress) set(address string) error {
	if address == "" {
		o.Store(nil)
		return nil
	}
	to, err := parseAdvertised(address)
	if err == nil {
		o.Store(to)
	}
	return err
}

// networksSeen is what networks returned, and when.
type networksSeen struct {
	networks []netip.Prefix
	at       time.Time
}

// networksFor is how long the networks of the container are remembered: it can join one while it runs, and asking the
// system takes longer than answering a Metadata request.
const networksFor = time.Second

// advertised is the setting for the clients of one listener; zero is none.
type advertised struct {
	host string
	port int32
	// publishedPort is the port at which clients outside of the container reach this listener.
	publishedPort int32
}

// newAdvertiser makes an advertiser from the settings in force, which may change while the broker runs.
func newAdvertiser(inForce func() *settings.Broker, listeners []listener) *advertiser {
	a := &advertiser{inForce: inForce, names: map[net.Listener]string{}, first: listeners[0].socket,
		networks: networksOfThisHost}
	for _, l := range listeners {
		a.names[l.socket] = l.settings.Name
	}
	if a.inContainer = isContainer() || inForce().PublishedPort != 0; a.inContainer {
		routes, _ := os.ReadFile("/proc/net/route")
		a.gateway = defaultGateway(string(routes))
	}
	return a
}

// setting is what the settings in force say about a listener.
func (a *advertiser) setting(of net.Listener) (set advertised) {
	s := a.inForce()
	if fixed, ok := s.AdvertisedListener(a.names[of]); ok {
		set.host, set.port = fixed.Host, int32(fixed.Port)
	}
	if of == a.first {
		set.publishedPort = int32(s.PublishedPort)
	}
	return set
}

func (a *advertiser) of(c *wire.Conn) (string, int32) {
	host, port, _ := a.address(a.setting(c.Listener()), &a.outside, c.LocalAddr(), c.RemoteAddr())
	return host, port
}

// SetAdvertised sets the address HOST:PORT that clients from outside are told from now on, whatever the settings say;
// "" leaves it to the settings again. Outside of a container all clients are from outside, inside those that are not
// on one of its networks. It is not stored.
func (b *Broker) SetAdvertised(address string) error { return b.advertiser.outside.set(address) }

// parseAdvertised parses HOST:PORT.
func parseAdvertised(address string) (*advertised, error) {
	host, text, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("%w: the address %q is not HOST:PORT", cluster.ErrConfig, address)
	}
	port, err := strconv.ParseUint(text, 10, 16)
	if err != nil || port == 0 {
		return nil, fmt.Errorf("%w: the address %q has a port that is not between 1 and 65535", cluster.ErrConfig, address)
	}
	if ip := net.ParseIP(host); host == "" || ip != nil && ip.IsUnspecified() || len(host) > maxHostName {
		return nil, fmt.Errorf("%w: the address %q does not name a host that clients can reach", cluster.ErrConfig, address)
	}
	return &advertised{host: host, port: int32(port)}, nil
}

// maxHostName is the longest name of a host in DNS.
const maxHostName = 253

// inDoubt says whether a client is told an address that it may not be able to reach: with a port that is not the one
// that it came by, or guessed.
func (a *advertiser) inDoubt(c *wire.Conn) (address string, doubt bool) {
	host, port, guessed := a.address(a.setting(c.Listener()), &a.outside, c.LocalAddr(), c.RemoteAddr())
	_, reached := cluster.LocalAddress(c.LocalAddr())
	return net.JoinHostPort(host, strconv.Itoa(int(port))), guessed || port != reached
}

// address returns host and port for a client. The address for clients from outside wins, for them. The setting
// of advertised.listeners for its listener wins. Without it the client gets the address that it connected to, which is
// the local address of its connection. A client from outside of a container has connected to a port that is published
// on the host, and gets localhost. That is guessed: its host may be another machine, and the port another one.
func (a *advertiser) address(
	set advertised, of *outsideAddress, local, remote net.Addr,
) (host string, port int32, guessed bool) {
	host, port = cluster.LocalAddress(local)
	if outside := of.Load(); outside != nil && (!a.inContainer || a.isFromOutside(remote)) {
		return outside.host, outside.port, false
	}
	switch {
	case set.host != "":
		host = set.host
	case a.isFromOutside(remote):
		host, guessed = "localhost", true
		if set.publishedPort != 0 {
			port = set.publishedPort
		}
	}
	if set.port != 0 {
		port = set.port
	}
	return host, port, guessed
}

// isFromOutside says whether a client has connected to a published port of this container: it comes from the gateway of
// the bridge, or from none of the container's networks.
func (a *advertiser) isFromOutside(remote net.Addr) bool {
	from, ok := remote.(*net.TCPAddr)
	if !a.inContainer || !ok {
		return false
	}
	if a.gateway != nil && from.IP.Equal(a.gateway) {
		return true
	}
	if from.IP.IsLoopback() {
		return false
	}
	seen := a.seen.Load()
	if now := time.Now(); seen == nil || now.Sub(seen.at) > networksFor {
		seen = &networksSeen{a.networks(), now}
		a.seen.Store(seen)
	}
	networks := seen.networks
	address := from.AddrPort().Addr().Unmap().WithZone("")
	return len(networks) > 0 && !slices.ContainsFunc(networks, func(n netip.Prefix) bool { return n.Contains(address) })
}

// networksOfThisHost returns the subnets of the interfaces, the loopback interface's too.
func networksOfThisHost() (networks []netip.Prefix) {
	addresses, _ := net.InterfaceAddrs()
	for _, a := range addresses {
		if n, err := netip.ParsePrefix(a.String()); err == nil {
			networks = append(networks, n.Masked())
		}
	}
	return networks
}

// defaultGateway reads the default gateway from the kernel's routing table; nil means none. routes is the content of
// /proc/net/route: lines of interface, destination, gateway and flags, addresses as little-endian hexadecimal.
func defaultGateway(routes string) net.IP {
	for _, line := range strings.Split(routes, "\n") {
		f := strings.Fields(line)
		if len(f) < 4 || f[1] != "00000000" {
			continue
		}
		g, err := strconv.ParseUint(f[2], 16, 32)
		if err != nil || g == 0 {
			continue
		}
		return net.IPv4(byte(g), byte(g>>8), byte(g>>16), byte(g>>24))
	}
	return nil
}

// isContainer says whether this process runs in a container of Docker's or Podman's.
func isContainer() bool {
	for _, mark := range []string{"/.dockerenv", "/run/.containerenv"} {
		if _, err := os.Stat(mark); err == nil {
			return true
		}
	}
	return false
}
