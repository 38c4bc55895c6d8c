package broker

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/internal/kafkatest"
	"once/lab"
	"once/settings"
)

// routes is what the kernel shows in a container with an address in 172.17.0.0/16.
const routes = `Iface	Destination	Gateway 	Flags	RefCnt	Use	Metric	Mask		MTU	Window	IRTT
eth0	00000000	010011AC	0003	0	0	0	00000000	0	0	0
eth0	000011AC	00000000	0001	0	0	0	0000FFFF	0	0	0
`

func TestDefaultGateway(t *testing.T) {
	if g := defaultGateway(routes); !g.Equal(net.IPv4(172, 17, 0, 1)) {
		t.Errorf("got %v", g)
	}
	for name, routes := range map[string]string{
		"no default route": "Iface\neth0 000011AC 00000000 0001\n",
		"nonsense":         "eth0 00000000 zz 0003\n\n x",
		"nothing":          "",
	} {
		if g := defaultGateway(routes); g != nil {
			t.Errorf("%s: got %v", name, g)
		}
	}
}

// What a client is told, by where it comes from and by what is set for its listener. The container has an address in
// each of two networks.
func TestAddressForAClientOfAContainer(t *testing.T) {
	inside := &advertiser{inContainer: true, gateway: net.IPv4(172, 17, 0, 1), networks: func() []netip.Prefix {
		return []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("172.17.0.0/16"),
			netip.MustParsePrefix("fd00:1::/64")}
	}}
	outside := &advertiser{gateway: inside.gateway, networks: inside.networks}
	alone := &advertiser{inContainer: true, networks: func() []netip.Prefix { return nil }} // the system does not say
	local := &net.TCPAddr{IP: net.IPv4(172, 17, 0, 2), Port: 9092}
	for _, tc := range []struct {
		a      *advertiser
		set    advertised
		remote string
		want   string
	}{
		{inside, advertised{}, "172.17.0.1", "localhost:9092"},  // the gateway: a port that is published
		{inside, advertised{}, "192.168.1.7", "localhost:9092"}, // likewise, where the engine keeps the address
		{inside, advertised{}, "fd00:2::7", "localhost:9092"},
		{inside, advertised{}, "172.17.0.3", "172.17.0.2:9092"}, // another container
		{inside, advertised{}, "172.17.0.2", "172.17.0.2:9092"}, // this one
		{inside, advertised{}, "127.0.0.1", "172.17.0.2:9092"},
		{inside, advertised{}, "fd00:1::3", "172.17.0.2:9092"},
		{inside, advertised{publishedPort: 19092}, "172.17.0.1", "localhost:19092"},
		{inside, advertised{publishedPort: 19092}, "172.17.0.3", "172.17.0.2:9092"},
		{inside, advertised{port: 29092}, "172.17.0.1", "localhost:29092"},
		{inside, advertised{port: 29092, publishedPort: 19092}, "172.17.0.3", "172.17.0.2:29092"},
		{inside, advertised{host: "kafka", port: 29092, publishedPort: 19092}, "172.17.0.1", "kafka:29092"},
		{inside, advertised{host: "kafka"}, "172.17.0.3", "kafka:9092"},
		{alone, advertised{}, "192.168.1.7", "172.17.0.2:9092"},
		{outside, advertised{}, "172.17.0.1", "172.17.0.2:9092"},
		{outside, advertised{publishedPort: 19092}, "192.168.1.7", "172.17.0.2:9092"},
	} {
		host, port, guessed := tc.a.address(tc.set, &tc.a.outside, local,
			&net.TCPAddr{IP: net.ParseIP(tc.remote), Port: 40000})
		if got := fmt.Sprint(host, ":", port); got != tc.want {
			t.Errorf("in a container %v, %+v, a client from %s is told %s, want %s", tc.a.inContainer, tc.set, tc.remote, got,
				tc.want)
		}
		if guessed != (host == "localhost") {
			t.Errorf("in a container %v, %+v, a client from %s: guessed is %v", tc.a.inContainer, tc.set, tc.remote, guessed)
		}
	}
}

// What SetAdvertised has said is for clients from outside, and is taken back.
func TestAddressForClientsFromOutside(t *testing.T) {
	in := &advertiser{inContainer: true, networks: func() []netip.Prefix {
		return []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("172.17.0.0/16")}
	}}
	local := &net.TCPAddr{IP: net.IPv4(172, 17, 0, 2), Port: 9092}
	told := func(a *advertiser, remote string, set advertised) string {
		host, port, guessed := a.address(set, &a.outside, local, &net.TCPAddr{IP: net.ParseIP(remote), Port: 40000})
		return fmt.Sprint(host, ":", port, " ", guessed)
	}
	of := func(a *advertiser) *Broker { return &Broker{advertiser: a} }
	if err := of(in).SetAdvertised("docker.example:32807"); err != nil {
		t.Fatal(err)
	}
	for remote, want := range map[string]string{
		"192.168.1.7": "docker.example:32807 false", "172.17.0.3": "172.17.0.2:9092 false",
		"127.0.0.1": "172.17.0.2:9092 false",
	} {
		if got := told(in, remote, advertised{}); got != want {
			t.Errorf("a client from %s is told %s, want %s", remote, got, want)
		}
	}
	if got := told(in, "192.168.1.7", advertised{host: "kafka", port: 1}); got != "docker.example:32807 false" {
		t.Errorf("with advertised.listeners: %s", got)
	}
	out := &advertiser{}
	if err := of(out).SetAdvertised("proxy:1"); err != nil {
		t.Fatal(err)
	}
	if got := told(out, "127.0.0.1", advertised{}); got != "proxy:1 false" {
		t.Errorf("outside of a container: %s", got)
	}
	if err := of(in).SetAdvertised(""); err != nil {
		t.Fatal(err)
	}
	if got := told(in, "192.168.1.7", advertised{}); got != "localhost:9092 true" {
		t.Errorf("taken back: %s", got)
	}
}

// Each cluster has an address of its own for clients from outside, by one rule: it may be given when the cluster is
// made, is changed, and taken back.
func TestEachClusterHasItsAddressForOutside(t *testing.T) {
	b, err := Start(t.Context(), Config{InMemory: true})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	b.advertiser.inContainer = false // so that every client is from outside; none is connected yet
	made, err := b.AddCluster(lab.NewCluster{Name: "a"})
	if err != nil {
		t.Fatal(err)
	}
	ofDefault, ofA := kafkatest.Connect(t, b.Addr()), kafkatest.Connect(t, made.Bootstrap)
	told := func(first, second string) {
		t.Helper()
		for client, want := range map[*kafkatest.Client]string{ofDefault: first, ofA: second} {
			r := kmsg.NewPtrMetadataRequest()
			r.Version = 9
			at := client.Answer(r).(*kmsg.MetadataResponse).Brokers[0]
			if got := net.JoinHostPort(at.Host, fmt.Sprint(at.Port)); got != want {
				t.Errorf("a client is told %s, want %s", got, want)
			}
		}
	}
	set := func(cluster, address string) {
		t.Helper()
		if err := (process{b}).SetAdvertised(cluster, address); err != nil {
			t.Error(err)
		}
	}
	told(b.Addr(), made.Bootstrap)
	set(lab.DefaultCluster, "default.example:1")
	told("default.example:1", made.Bootstrap)
	set("a", "a.example:2")
	told("default.example:1", "a.example:2")
	set(lab.DefaultCluster, "")
	told(b.Addr(), "a.example:2")
	set("a", "")
	told(b.Addr(), made.Bootstrap)
	for _, cluster := range []string{lab.DefaultCluster, "a"} {
		if err := (process{b}).SetAdvertised(cluster, "nowhere"); err == nil {
			t.Error(cluster, "can be anywhere")
		}
	}
	if err := (process{b}).SetAdvertised("none", "x:1"); !errors.Is(err, lab.ErrNoCluster) {
		t.Error(err)
	}
	given, err := b.AddCluster(lab.NewCluster{Name: "b", Advertised: "b.example:3"})
	if err != nil || given.Bootstrap != "b.example:3" {
		t.Error(given, err)
	}
}

// published.port is of the first listener, and says that there is a host that publishes it.
func TestThePublishedPortIsOfTheFirstListener(t *testing.T) {
	s, _, err := settings.Resolve(settings.Values{"published.port": "19092",
		"listener.security.protocol.map": "A:PLAINTEXT,B:PLAINTEXT",
		"listeners":                      "A://127.0.0.1:0,B://127.0.0.1:0", "advertised.listeners": "B://b:7"})
	if err != nil {
		t.Fatal(err)
	}
	var open []listener
	for _, l := range s.Listeners {
		socket, err := net.Listen("tcp", l.Address())
		if err != nil {
			t.Fatal(err)
		}
		defer socket.Close()
		open = append(open, listener{settings: l, socket: socket})
	}
	a := newAdvertiser(func() *settings.Broker { return s }, open)
	if got := a.setting(open[0].socket); !a.inContainer || got != (advertised{publishedPort: 19092}) {
		t.Errorf("the first listener: %+v, in a container %v", got, a.inContainer)
	}
	if got := a.setting(open[1].socket); got != (advertised{host: "b", port: 7}) {
		t.Errorf("the second listener: %+v", got)
	}
}

func TestNetworksOfThisHost(t *testing.T) {
	for _, n := range networksOfThisHost() {
		if n.Contains(netip.MustParseAddr("127.0.0.1")) {
			return
		}
	}
	t.Errorf("the loopback interface is not among %v", networksOfThisHost())
}

// The networks are asked for once in a while and not for each request, and a network that the container joins is seen.
func TestNetworksOfAContainerAreRememberedForAWhile(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		asked, networks := 0, []netip.Prefix{netip.MustParsePrefix("172.17.0.0/16")}
		a := &advertiser{inContainer: true, networks: func() []netip.Prefix { asked++; return networks }}
		told := func() bool { return a.isFromOutside(&net.TCPAddr{IP: net.IPv4(172, 18, 0, 3), Port: 40000}) }
		for range 1000 {
			if !told() {
				t.Fatal("a client of another network is not from outside")
			}
		}
		if asked != 1 {
			t.Errorf("asked %d times", asked)
		}
		networks = append(networks, netip.MustParsePrefix("172.18.0.0/16"))
		time.Sleep(2 * networksFor)
		if told() {
			t.Error("the network that was joined is not seen")
		}
	})
}
