package broker_test

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/broker"
	"once/broker/brokertest"
	"once/cluster"
	"once/internal/kafkatest"
	"once/settings"
)

// everywhere makes the broker listen on all addresses.
func everywhere(c *broker.Config) {
	c.Listeners = []settings.Listener{{Name: "PLAINTEXT", Host: "0.0.0.0"}}
}

// told asks a broker, by one of its addresses, where it is: in every answer that carries an address.
func told(t *testing.T, addr string) []string {
	t.Helper()
	c, err := kafkatest.Dial(addr)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ask := func(r kmsg.Request) kmsg.Response {
		resp, err := c.Request(r)
		if err != nil {
			t.Fatal(err)
		}
		return resp
	}
	metadata := kmsg.NewPtrMetadataRequest()
	metadata.Version, metadata.Topics = 12, []kmsg.MetadataRequestTopic{}
	b := ask(metadata).(*kmsg.MetadataResponse).Brokers[0]
	coordinator := kmsg.NewPtrFindCoordinatorRequest()
	coordinator.Version, coordinator.CoordinatorKeys = 4, []string{"g"}
	f := ask(coordinator).(*kmsg.FindCoordinatorResponse).Coordinators[0]
	d := ask(kmsg.NewPtrDescribeClusterRequest()).(*kmsg.DescribeClusterResponse).Brokers[0]
	return []string{
		net.JoinHostPort(b.Host, strconv.Itoa(int(b.Port))),
		net.JoinHostPort(f.Host, strconv.Itoa(int(f.Port))),
		net.JoinHostPort(d.Host, strconv.Itoa(int(d.Port))),
	}
}

func expectTold(t *testing.T, addr, want string) {
	t.Helper()
	for i, got := range told(t, addr) {
		if got != want {
			t.Errorf("answer %d to a client of %s says %s, want %s", i, addr, got, want)
		}
	}
}

// TestEachClientGetsTheAddressThatItConnectedTo needs no setting, with two addresses of one machine.
func TestEachClientGetsTheAddressThatItConnectedTo(t *testing.T) {
	b := brokertest.Start(t, everywhere)
	_, port, err := net.SplitHostPort(b.Addr())
	if err != nil {
		t.Fatal(err)
	}
	for _, host := range []string{"127.0.0.1", "127.0.0.2"} {
		addr := net.JoinHostPort(host, port)
		expectTold(t, addr, addr)
	}
}

func TestAdvertisedListenersWin(t *testing.T) {
	b := brokertest.Start(t, brokertest.WithSettings(t, map[string]string{
		"listeners": "PLAINTEXT://127.0.0.1:0", "advertised.listeners": "PLAINTEXT://kafka.example:19092"}))
	expectTold(t, b.Addr(), "kafka.example:19092")
}

// Of several listeners each has its own address: one that is set, one of which the port or the host is set, one that is
// left to the connection. What is written through one is read through another.
func TestEachListenerHasItsOwnAddress(t *testing.T) {
	b := brokertest.Start(t, brokertest.WithSettings(t, map[string]string{
		"listeners":                      "HOST://127.0.0.1:0,NAMED://localhost:0,TC-0://:0,PORT://127.0.0.1:0,CONTROLLER://127.0.0.1:1",
		"listener.security.protocol.map": "HOST:PLAINTEXT,NAMED:PLAINTEXT,TC-0:PLAINTEXT,PORT:PLAINTEXT",
		"controller.listener.names":      "CONTROLLER",
		"inter.broker.listener.name":     "TC-0",
		"advertised.listeners":           "NAMED://kafka.example:0,HOST://localhost:32768,PORT://:32768",
	}))
	open := b.Listeners()
	if len(open) != 4 || open[0].Address() != b.Addr() {
		t.Fatalf("listeners %v, the first one is on %s", open, b.Addr())
	}
	port := func(i int) string { return strconv.Itoa(open[i].Port) }
	expectTold(t, open[0].Address(), "localhost:32768")
	expectTold(t, open[1].Address(), "kafka.example:"+port(1))
	for _, host := range []string{"127.0.0.1", "127.0.0.2"} {
		addr := net.JoinHostPort(host, port(2))
		expectTold(t, addr, addr)
	}
	expectTold(t, open[3].Address(), "127.0.0.1:32768")

	writer := kafkatest.Connect(t, open[0].Address())
	writer.CreateTopic("x", 1, nil)
	writer.Produce(nil, "x", 0, kafkatest.Values("v")...)
	reader := kafkatest.Connect(t, net.JoinHostPort("127.0.0.1", port(2)))
	fetch := kafkatest.FetchRequest("x", 0, 0, false)
	fetch.MinBytes, fetch.MaxWaitMillis = 1, 10_000
	if p := reader.Answer(fetch).(*kmsg.FetchResponse).Topics[0].Partitions[0]; p.HighWatermark != 1 {
		t.Errorf("through the third listener the high watermark is %d", p.HighWatermark)
	}
}

// One port on an IPv4 and on an IPv6 address is two listeners, even where both are for every address.
func TestTwoListenersOnOnePortOfTwoAddresses(t *testing.T) {
	port := kafkatest.FreePort(t)
	if six, err := net.Listen("tcp", fmt.Sprintf("[::]:%d", port)); err != nil {
		t.Logf("there is no IPv6 here: %v", err)
		return
	} else {
		six.Close()
	}
	b := brokertest.Start(t, brokertest.WithSettings(t, map[string]string{
		"listeners":                      fmt.Sprintf("SIX://[::]:%d,FOUR://0.0.0.0:%d", port, port),
		"listener.security.protocol.map": "SIX:PLAINTEXT,FOUR:PLAINTEXT", "advertised.listeners": "SIX://six:1,FOUR://four:1",
	}))
	if len(b.Listeners()) != 2 {
		t.Errorf("listeners %v", b.Listeners())
	}
	expectTold(t, fmt.Sprintf("127.0.0.1:%d", port), "four:1")
	expectTold(t, fmt.Sprintf("[::1]:%d", port), "six:1")
}

// A port that is taken is named and is no mistake in the configuration; the listeners before it are closed again.
func TestPortInUse(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	addr, port := taken.Addr().String(), strconv.Itoa(taken.Addr().(*net.TCPAddr).Port)
	first := fmt.Sprintf("127.0.0.1:%d", kafkatest.FreePort(t))
	set, _, err := settings.Resolve(settings.Values{"listeners": "A://" + first + ",B://" + addr,
		"listener.security.protocol.map": "A:PLAINTEXT,B:PLAINTEXT"})
	if err != nil {
		t.Fatal(err)
	}
	for what, cfg := range map[string]broker.Config{
		"the listener B://" + addr:      {Env: cluster.Env{Settings: set}},
		"the admin endpoint on " + addr: {Admin: addr},
	} {
		b, err := broker.Start(t.Context(), cfg)
		if err == nil {
			_ = b.Close()
			t.Fatalf("%s is opened twice", what)
		}
		if errors.Is(err, cluster.ErrConfig) || !strings.Contains(err.Error(), "port "+port+" is taken: opening "+what) {
			t.Errorf("%s: %v", what, err)
		}
	}
	again, err := net.Listen("tcp", first)
	if err != nil {
		t.Fatalf("the first listener is left open: %v", err)
	}
	again.Close()
}

// TestClientOfAnotherNetworkGetsAnAddressThere puts a client into a network namespace of its own, where
// the broker's loopback address leads nowhere. Where the machine does not let the test make one, the test of
// two loopback addresses has to do.
func TestClientOfAnotherNetworkGetsAnAddressThere(t *testing.T) {
	const nearHost, farHost = "10.213.77.1", "10.213.77.2"
	namespace := fmt.Sprintf("once-%d", os.Getpid())
	near, far := fmt.Sprintf("once%dn", os.Getpid()%1e6), fmt.Sprintf("once%df", os.Getpid()%1e6)
	if out, err := exec.Command("ip", "netns", "add", namespace).CombinedOutput(); err != nil {
		t.Logf("no network namespace can be made here: %v %s", err, out)
		return
	}
	t.Cleanup(func() {
		_ = exec.Command("ip", "link", "del", near).Run()
		if out, err := exec.Command("ip", "netns", "del", namespace).CombinedOutput(); err != nil {
			t.Errorf("removing the namespace: %v %s", err, out)
		}
	})
	for _, command := range []string{
		"link add " + near + " type veth peer name " + far + " netns " + namespace,
		"addr add " + nearHost + "/30 dev " + near,
		"link set " + near + " up",
		"-n " + namespace + " addr add " + farHost + "/30 dev " + far,
		"-n " + namespace + " link set " + far + " up",
	} {
		if out, err := exec.Command("ip", strings.Fields(command)...).CombinedOutput(); err != nil {
			t.Logf("no network can be made here: ip %s: %v %s", command, err, out)
			return
		}
	}
	b := brokertest.Start(t, everywhere)
	_, port, err := net.SplitHostPort(b.Addr())
	if err != nil {
		t.Fatal(err)
	}
	client := exec.Command("ip", "netns", "exec", namespace, os.Args[0], "-test.run=^TestClientInANamespace$", "-test.v")
	client.Env = append(os.Environ(), "ONCE_NAMESPACE_BROKER="+net.JoinHostPort(nearHost, port))
	if out, err := client.CombinedOutput(); err != nil || !strings.Contains(string(out), "reached by what it was told") {
		t.Errorf("%v\n%s", err, out)
	}
}

// TestClientInANamespace is the client of the test before, which runs it in another network. It asks where
// the broker is, and goes there.
func TestClientInANamespace(t *testing.T) {
	addr := os.Getenv("ONCE_NAMESPACE_BROKER")
	if addr == "" {
		return
	}
	expectTold(t, addr, addr)
	for _, again := range told(t, addr) {
		expectTold(t, again, addr)
	}
	if !t.Failed() {
		t.Log("reached by what it was told")
	}
}
