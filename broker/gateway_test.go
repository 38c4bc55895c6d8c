package broker

import (
	"net"
	"testing"

	"once/settings"
)

// routes is what the kernel shows in a container with an address in 172.17.0.0/16.
const routes = `Iface	Destination	Gateway 	Flags	RefCnt	Use	Metric	Mask		MTU	Window	IRTT
eth0	00000000	010011AC	0003	0	0	0	00000000	0	0	0
eth0	000011AC	00000000	0001	0	0	0	0000FFFF	0	0	0
`

func TestContainerGateway(t *testing.T) {
	if g := containerGateway(true, routes); !g.Equal(net.IPv4(172, 17, 0, 1)) {
		t.Errorf("got %v", g)
	}
	for name, g := range map[string]net.IP{
		"outside of a container": containerGateway(false, routes),
		"no default route":       containerGateway(true, "Iface\neth0 000011AC 00000000 0001\n"),
		"nonsense":               containerGateway(true, "eth0 00000000 zz 0003\n\n x"),
	} {
		if g != nil {
			t.Errorf("%s: got %v", name, g)
		}
	}
}

func TestAClientBehindThePublishedPortIsToldLocalhost(t *testing.T) {
	s, _, err := settings.Resolve()
	if err != nil {
		t.Fatal(err)
	}
	a := newAdvertiser(s, net.IPv4(172, 17, 0, 1))
	at := &net.TCPAddr{IP: net.IPv4(172, 17, 0, 2), Port: 9092}
	for remote, want := range map[string]string{"172.17.0.1": "localhost", "172.17.0.3": "172.17.0.2", "172.17.0.2": "172.17.0.2"} {
		if host, port := a.address(at, &net.TCPAddr{IP: net.ParseIP(remote), Port: 40000}); host != want || port != 9092 {
			t.Errorf("a client from %s is told %s:%d, want %s:9092", remote, host, port, want)
		}
	}
}
