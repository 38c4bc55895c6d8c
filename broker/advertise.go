package broker

import (
	"net"
	"os"
	"strconv"
	"strings"

	"once/cluster"
	"once/settings"
	"once/wire"
)

// advertiser answers which address a client is told to reach this broker by.
type advertiser struct {
	host    string // of advertised.listeners; "" when it is not set
	port    int32
	gateway net.IP // of the container's bridge; nil outside of a container
}

func newAdvertiser(s *settings.Broker, gateway net.IP) *advertiser {
	a := &advertiser{gateway: gateway}
	for _, l := range s.AdvertisedListeners {
		if l.Name != "CONTROLLER" { // where controller.listener.names does not say that it is one
			a.host, a.port = l.Host, int32(l.Port)
			break
		}
	}
	return a
}

// address returns host and port for a client. advertised.listeners wins; without it a client is told
// the address that it reached the broker by, which is the local address of its connection. A
// connection that comes from the container's gateway came through a port published on the host: its
// client is on the host and gets localhost.
func (a *advertiser) address(local, remote net.Addr) (string, int32) {
	if a.host != "" {
		return a.host, a.port
	}
	host, port := cluster.LocalAddress(local)
	if from, ok := remote.(*net.TCPAddr); ok && a.gateway != nil && from.IP.Equal(a.gateway) {
		host = "localhost"
	}
	return host, port
}

func (a *advertiser) of(c *wire.Conn) (string, int32) {
	return a.address(c.LocalAddr(), c.RemoteAddr())
}

// containerGateway reads the default gateway from the kernel's routing table when this process runs in
// a container; nil means none. routes is the content of /proc/net/route: lines of interface,
// destination, gateway and flags, addresses as little-endian hexadecimal.
func containerGateway(inContainer bool, routes string) net.IP {
	if !inContainer {
		return nil
	}
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

// gatewayOfContainer returns the gateway of the container's bridge when this process runs in one.
func gatewayOfContainer() net.IP {
	_, err := os.Stat("/.dockerenv")
	if err != nil {
		_, err = os.Stat("/run/.containerenv")
	}
	routes, _ := os.ReadFile("/proc/net/route")
	return containerGateway(err == nil, string(routes))
}
