package broker_test

import (
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
	"once/internal/kafkatest"
)

// everywhere makes the broker listen on all addresses.
func everywhere(c *broker.Config) { c.Listen = "0.0.0.0:0" }

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

// TestEachClientIsToldTheAddressThatItCameBy needs no setting, with two addresses of one machine.
func TestEachClientIsToldTheAddressThatItCameBy(t *testing.T) {
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
	b := brokertest.Start(t, brokertest.WithSettings(t, map[string]string{"advertised.listeners": "PLAINTEXT://kafka.example:19092"}))
	expectTold(t, b.Addr(), "kafka.example:19092")
}

// TestAClientOfAnotherNetworkIsToldAnAddressOfIts puts a client into a network namespace of its own, where
// the broker's loopback address leads nowhere. Where the machine does not let the test make one, the test of
// two loopback addresses has to do.
func TestAClientOfAnotherNetworkIsToldAnAddressOfIts(t *testing.T) {
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
