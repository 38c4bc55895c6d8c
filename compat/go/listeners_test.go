package compat

import (
	"context"
	"fmt"
	"net"
	"sync"
	"testing"

	"github.com/IBM/sarama"
	"github.com/twmb/franz-go/pkg/kgo"

	"once/broker/brokertest"
)

// dialed keeps the ports that a client has gone to. Safe for concurrent use.
type dialed struct {
	mu    sync.Mutex
	ports map[string]int
}

func (d *dialed) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	_, port, _ := net.SplitHostPort(address)
	d.mu.Lock()
	if d.ports == nil {
		d.ports = map[string]int{}
	}
	d.ports[port]++
	d.mu.Unlock()
	return new(net.Dialer).DialContext(ctx, network, address)
}

// Dial is for sarama.
func (d *dialed) Dial(network, address string) (net.Conn, error) {
	return d.DialContext(context.Background(), network, address)
}

func (d *dialed) require(t *testing.T, port string) {
	t.Helper()
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.ports) != 1 || d.ports[port] < 2 {
		t.Errorf("the client has gone to the ports %v, want %s for bootstrap and again", d.ports, port)
	}
}

// A client that bootstraps through one of several listeners stays with it, and works with what others have written
// through the others.
func TestClientsStayWithTheirListener(t *testing.T) {
	b := brokertest.Start(t, brokertest.WithSettings(t, map[string]string{
		"listeners":                      "INTERNAL://127.0.0.1:0,HOST://localhost:0,TC-0://:0,CONTROLLER://:1",
		"advertised.listeners":           "HOST://localhost:0,INTERNAL://127.0.0.1:0",
		"listener.security.protocol.map": "INTERNAL:PLAINTEXT,HOST:PLAINTEXT,TC-0:PLAINTEXT,CONTROLLER:PLAINTEXT",
		"controller.listener.names":      "CONTROLLER", "inter.broker.listener.name": "INTERNAL",
	}))
	ctx := within(t)
	for i, l := range b.Listeners() {
		port := fmt.Sprint(l.Port)
		seed := net.JoinHostPort("localhost", port)

		var franzDialed dialed
		cl, err := kgo.NewClient(kgo.SeedBrokers(seed), kgo.Dialer(franzDialed.DialContext), kgo.TransactionalID("t-"+l.Name),
			kgo.AllowAutoTopicCreation(), kgo.DefaultProduceTopic("x"))
		must(t, err)
		must(t, cl.BeginTransaction())
		must(t, cl.ProduceSync(ctx, kgo.StringRecord(l.Name)).FirstErr())
		must(t, cl.EndTransaction(ctx, kgo.TryCommit))
		cl.Close()
		var readDialed dialed
		reader, err := kgo.NewClient(kgo.SeedBrokers(seed), kgo.Dialer(readDialed.DialContext), kgo.ConsumeTopics("x"),
			kgo.ConsumerGroup("g-"+l.Name),
			kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
		must(t, err)
		if got := values(poll(t, reader, i+1)); got[i] != l.Name {
			t.Errorf("through %s: %v", l.Name, got)
		}
		reader.Close()

		var saramaDialed dialed
		cfg := sarama.NewConfig()
		cfg.Net.Proxy.Enable, cfg.Net.Proxy.Dialer = true, &saramaDialed
		cfg.Producer.Return.Successes = true
		producer, err := sarama.NewSyncProducer([]string{seed}, cfg)
		must(t, err)
		_, _, err = producer.SendMessage(&sarama.ProducerMessage{Topic: "y", Value: sarama.StringEncoder(l.Name)})
		must(t, err)
		must(t, producer.Close())
		for _, d := range []*dialed{&franzDialed, &readDialed, &saramaDialed} {
			d.require(t, port)
		}
	}
}
