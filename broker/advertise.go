package broker

import (
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

// advertiser computes the address that a client is given. All but seen is immutable. Safe for concurrent use.
type advertiser struct {
	set         map[net.Listener]advertised
	inContainer bool
	gateway     net.IP // of the container's bridge; nil where there is none
	networks    func() []netip.Prefix
	seen        atomic.Pointer[networksSeen]
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

func newAdvertiser(s *settings.Broker, listeners []listener) *advertiser {
	a := &advertiser{set: map[net.Listener]advertised{}, networks: networksOfThisHost}
	for i, l := range listeners {
		var is advertised
		if fixed, ok := s.AdvertisedListener(l.settings.Name); ok {
			is.host, is.port = fixed.Host, int32(fixed.Port)
		}
		if i == 0 {
			is.publishedPort = int32(s.PublishedPort)
		}
		a.set[l.socket] = is
	}
	if a.inContainer = isContainer() || s.PublishedPort != 0; a.inContainer {
		routes, _ := os.ReadFile("/proc/net/route")
		a.gateway = defaultGateway(string(routes))
	}
	return a
}

func (a *advertiser) of(c *wire.Conn) (string, int32) {
	host, port, _ := a.address(a.set[c.Listener()], c.LocalAddr(), c.RemoteAddr())
	return host, port
}

// inDoubt says whether a client is told an address that it may not be able to reach: with a port that is not the one
// that it came by, or guessed.
func (a *advertiser) inDoubt(c *wire.Conn) (address string, doubt bool) {
	host, port, guessed := a.address(a.set[c.Listener()], c.LocalAddr(), c.RemoteAddr())
	_, reached := cluster.LocalAddress(c.LocalAddr())
	return net.JoinHostPort(host, strconv.Itoa(int(port))), guessed || port != reached
}

// address returns host and port for a client. The setting of advertised.listeners for its listener wins. Without it the
// client gets the address that it connected to, which is the local address of its connection. A client from outside of
// a container has connected to a port that is published on the host, and gets localhost. That is guessed: its host may
// be another machine, and the port another one.
func (a *advertiser) address(set advertised, local, remote net.Addr) (host string, port int32, guessed bool) {
	host, port = cluster.LocalAddress(local)
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
