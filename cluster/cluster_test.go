package cluster

import (
	"context"
	"errors"
	"io"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/handlers"
	"once/internal/kafkatest"
	"once/internal/memnet"
	"once/internal/vfs"
	"once/log/batch"
	"once/wire"
)

// opened returns an open cluster that the test's end closes.
func opened(t *testing.T, env Env) *Cluster {
	t.Helper()
	c, err := Open(env, "data")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// client is a connection to a cluster, over a listener in memory.
type client struct {
	t *testing.T
	*kafkatest.Conn
}

// connect serves a cluster until the end of the test and returns a connection to it.
func connect(t *testing.T, c *Cluster) *client {
	t.Helper()
	server, err := wire.NewServer(wire.Options{APIs: handlers.APIs()})
	if err != nil {
		t.Fatal(err)
	}
	l := memnet.Listen()
	served := make(chan error, 1)
	go func() { served <- server.Serve(l, c.Handle) }()
	nc, err := l.Dial(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		nc.Close()
		if err := errors.Join(server.Shutdown(context.Background()), <-served); err != nil {
			t.Error(err)
		}
	})
	return &client{t, kafkatest.New(nc)}
}

// ask sends a request and returns the answer; nil when the connection is closed instead.
func (c *client) ask(r kmsg.Request) kmsg.Response {
	c.t.Helper()
	resp, err := c.Request(r)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrClosedPipe) {
		return nil
	}
	if err != nil {
		c.t.Fatal(err)
	}
	return resp
}

func (c *client) createTopic(name string) {
	c.t.Helper()
	r := kmsg.NewPtrCreateTopicsRequest()
	r.Version = 7
	topic := kmsg.NewCreateTopicsRequestTopic()
	topic.Topic, topic.NumPartitions, topic.ReplicationFactor = name, 1, 1
	r.Topics = append(r.Topics, topic)
	if code := c.ask(r).(*kmsg.CreateTopicsResponse).Topics[0].ErrorCode; code != 0 {
		c.t.Fatal(wire.Code(code))
	}
}

func produceRequest(topic string) *kmsg.ProduceRequest {
	r := kmsg.NewPtrProduceRequest()
	r.Version, r.Acks, r.TimeoutMillis = 12, -1, 10_000
	raw := batch.Build(batch.BuildOptions{ProducerID: -1, ProducerEpoch: -1, BaseSequence: -1, LeaderEpoch: -1}, batch.Record{Value: []byte("v")})
	r.Topics = []kmsg.ProduceRequestTopic{{Topic: topic, Partitions: []kmsg.ProduceRequestTopicPartition{{Records: raw}}}}
	return r
}

func (c *client) produce(topic string) {
	c.t.Helper()
	if code := c.ask(produceRequest(topic)).(*kmsg.ProduceResponse).Topics[0].Partitions[0].ErrorCode; code != 0 {
		c.t.Fatal(wire.Code(code))
	}
}

// records is how many records a topic has, -1 without the topic.
func records(c *Cluster, topic string) int64 {
	p, ok := c.engine().topics.Partition(topic, 0)
	if !ok {
		return -1
	}
	return p.HighWatermark()
}

// What was acknowledged before a kill is there after it, and nothing that is still under way reaches the files of
// the cluster that is opened next.
func TestKilledClusterOpensAgain(t *testing.T) {
	for _, durability := range []string{"page", "txn", "fsync"} {
		t.Run(durability, func(t *testing.T) {
			env := InMemory(Env{Durability: durability})
			c := opened(t, env)
			before := connect(t, c)
			before.createTopic("x")
			for range 5 {
				before.produce("x")
			}
			late := c.engine()
			if err := c.Kill(); err != nil {
				t.Fatal(err)
			}
			if got := before.ask(produceRequest("x")); got != nil {
				t.Errorf("a killed cluster answers %v", got)
			}
			if err := c.Reopen(); err != nil {
				t.Fatal(err)
			}
			if c.engine().barrier.Clean() {
				t.Error("a kill counts as a clean stop")
			}
			if got := records(c, "x"); got != 5 {
				t.Errorf("%d records", got)
			}
			// A goroutine that was asleep in the killed cluster wakes up.
			p, _ := late.topics.Partition("x", 0)
			r := produceRequest("x")
			if _, err := p.AppendClient(r.Topics[0].Partitions[0].Records, 0, 12); err == nil {
				t.Error("the killed cluster takes a record")
			}
			_, err := late.producerIDs.Next()
			for range 1000 { // beyond the block that it holds
				if err == nil {
					_, err = late.producerIDs.Next()
				}
			}
			if err == nil {
				t.Error("the killed cluster hands out producer IDs without end")
			}
			connect(t, c).produce("x")
			if err := c.Close(); err != nil {
				t.Fatal(err)
			}
			c = opened(t, env)
			if !c.engine().barrier.Clean() {
				t.Error("the stop was a clean one")
			}
			if got := records(c, "x"); got != 6 {
				t.Errorf("%d records after a clean stop", got)
			}
		})
	}
}

// A power cut is a kill, and another boot of what was durable.
func TestPowerCut(t *testing.T) {
	disk := vfs.NewCrashable(1)
	env := Env{Durability: "fsync", FS: disk, Metadata: MetadataOn(disk), BootID: "one"}
	c := opened(t, env)
	before := connect(t, c)
	before.createTopic("x")
	before.produce("x")
	if err := c.Kill(); err != nil {
		t.Fatal(err)
	}
	left := disk.CrashClone()
	c = opened(t, Env{Durability: "fsync", FS: left, Metadata: MetadataOn(left), BootID: "two"})
	if got := records(c, "x"); got != 1 {
		t.Errorf("%d records", got)
	}
}

func TestClusterIsOpenedOnce(t *testing.T) {
	env := InMemory(Env{})
	c := opened(t, env)
	if _, err := Open(env, "data"); !errors.Is(err, ErrStorage) {
		t.Errorf("a second one in the same directory: %v", err)
	}
	if err := c.Reopen(); err == nil {
		t.Error("an open cluster can be opened again")
	}
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	for name, err := range map[string]error{"kill": c.Kill(), "reopen": c.Reopen()} {
		if !errors.Is(err, ErrClosed) {
			t.Errorf("%s of a closed cluster: %v", name, err)
		}
	}
	if err := c.Close(); err != nil {
		t.Errorf("closed again: %v", err)
	}
}

// A request that waits in a cluster which is killed gets no answer, and does not hold up the kill.
func TestWaitingRequestsAreNotAnsweredAfterAKill(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := opened(t, InMemory(Env{}))
		conn := connect(t, c)
		conn.Timeout = 100 * time.Hour
		conn.createTopic("x")
		answered := make(chan kmsg.Response, 1)
		go func() { answered <- conn.ask(fetchRequest("x", time.Hour)) }()
		synctest.Wait()
		killed := time.Now()
		if err := c.Kill(); err != nil {
			t.Fatal(err)
		}
		if got := <-answered; got != nil {
			t.Errorf("answered %v", got)
		}
		if took := time.Since(killed); took > 0 {
			t.Errorf("the kill took %v", took)
		}
	})
}

func fetchRequest(topic string, maxWait time.Duration) *kmsg.FetchRequest {
	r := kmsg.NewPtrFetchRequest()
	r.Version, r.MaxWaitMillis, r.MinBytes, r.SessionEpoch = 12, int32(maxWait.Milliseconds()), 1, -1
	p := kmsg.FetchRequestTopicPartition{PartitionMaxBytes: 1 << 20, CurrentLeaderEpoch: -1, LastFetchedEpoch: -1}
	r.Topics = []kmsg.FetchRequestTopic{{Topic: topic, Partitions: []kmsg.FetchRequestTopicPartition{p}}}
	return r
}
