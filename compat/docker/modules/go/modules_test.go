package modules

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/testcontainers/testcontainers-go"
	"github.com/testcontainers/testcontainers-go/modules/kafka"
	"github.com/testcontainers/testcontainers-go/network"
	"github.com/testcontainers/testcontainers-go/wait"
)

// way is one way to start a broker. Other containers of the network reach it as alias:9092.
type way struct {
	name string
	run  func(t *testing.T, net *testcontainers.DockerNetwork, alias string) (broker, error)
}

// broker is a container that has been started.
type broker struct {
	container testcontainers.Container
	address   string // for clients on the host
}

var ways = []way{
	{"module", runModule},
	{"generic container", runGeneric},
}

// runModule starts a broker as the module does when it is told nothing but the image's name.
func runModule(t *testing.T, net *testcontainers.DockerNetwork, alias string) (broker, error) {
	container, err := kafka.Run(t.Context(), image(), network.WithNetwork([]string{alias}, net))
	if err != nil {
		return broker{container: container}, err
	}
	addresses, err := container.Brokers(t.Context())
	if err != nil {
		return broker{container: container}, err
	}
	return broker{container, addresses[0]}, nil
}

// runGeneric starts a broker without the module. It is told its address when the engine has chosen the port.
func runGeneric(t *testing.T, net *testcontainers.DockerNetwork, alias string) (broker, error) {
	container, err := testcontainers.Run(t.Context(), image(),
		network.WithNetwork([]string{alias}, net),
		testcontainers.WithExposedPorts("9092/tcp", "9644/tcp"),
		testcontainers.WithWaitStrategy(wait.ForListeningPort("9092/tcp")))
	if err != nil {
		return broker{container: container}, err
	}
	address, err := container.PortEndpoint(t.Context(), "9092/tcp", "")
	if err != nil {
		return broker{container: container}, err
	}
	return broker{container, address}, advertise(t.Context(), container, address)
}

// advertise makes a broker tell clients on the host the address that they reach it by.
func advertise(ctx context.Context, container testcontainers.Container, address string) error {
	admin, err := container.PortEndpoint(ctx, "9644/tcp", "http")
	if err != nil {
		return err
	}
	body := strings.NewReader(fmt.Sprintf(`{"address": %q}`, address))
	request, err := http.NewRequestWithContext(ctx, http.MethodPut, admin+"/v1/advertised", body)
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("advertised: %s", response.Status)
	}
	return nil
}

func TestWays(t *testing.T) {
	for _, way := range ways {
		t.Run(way.name, func(t *testing.T) { way.checks(t) })
	}
}

// What is checked of each way.
const (
	starts       = "starts"
	aSecond      = "a second one beside it"
	transactions = "transactions from the host"
	neighbours   = "another container by the alias"
	stops        = "stops"
)

// checks starts two brokers side by side, and talks to them from the host and from another container.
func (w way) checks(t *testing.T) {
	c := checks{prefix: "go " + w.name}
	if !c.any(starts, aSecond, transactions, neighbours, stops) {
		t.Skip("no check of this way is asked for")
	}
	net, err := network.New(t.Context())
	testcontainers.CleanupNetwork(t, net)
	if err != nil {
		t.Fatal(err)
	}
	first, second := w.start(t, net, "first"), w.start(t, net, "second")

	c.check(t, starts, func(*testing.T) {}, first.took)
	c.check(t, aSecond, func(t *testing.T) {
		transact(t, first.address, "names", true, "first")
		transact(t, second.address, "names", true, "second")
		expectValues(t, first.address, "names", "first")
		expectValues(t, second.address, "names", "second")
	}, second.took)
	c.check(t, transactions, func(t *testing.T) {
		transact(t, first.address, "orders", true, "1", "2")
		transact(t, first.address, "orders", false, "3")
		transact(t, first.address, "orders", true, "4")
		expectValues(t, first.address, "orders", "1", "2", "4")
	})
	c.check(t, neighbours, func(t *testing.T) {
		transact(t, first.address, "neighbours", true, "from the host")
		output := neighbour(t, net, "echo from a neighbour |"+
			" kafka-console-producer --bootstrap-server first:9092 --topic neighbours &&"+
			" kafka-console-consumer --bootstrap-server first:9092 --topic neighbours --from-beginning --max-messages 2"+
			" --timeout-ms 10000 --isolation-level read_committed")
		expectLines(t, output, "from the host", "from a neighbour")
		expectValues(t, first.address, "neighbours", "from the host", "from a neighbour")
	})
	c.check(t, stops, func(t *testing.T) {
		began := time.Now()
		for _, b := range []started{first, second} {
			if err := b.container.Terminate(t.Context()); err != nil {
				t.Error(err)
			}
		}
		// Where the broker does not get the signal, the engine kills each after ten seconds.
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("two brokers stopped in %v", took)
		}
	})
}

type started struct {
	broker
	took time.Duration
}

func (w way) start(t *testing.T, net *testcontainers.DockerNetwork, alias string) started {
	t.Helper()
	began := time.Now()
	b, err := w.run(t, net, alias)
	took := time.Since(began)
	testcontainers.CleanupContainer(t, b.container)
	if err != nil {
		t.Fatalf("%s does not start the image: %v", w.name, err)
	}
	return started{b, took}
}
