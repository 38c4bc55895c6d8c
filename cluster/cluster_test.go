package cluster

import (
	"context"
	"errors"
	"io"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/handlers"
	"once/inspect"
	"once/inspect/inspecttest"
	"once/internal/kafkatest"
	"once/internal/memnet"
	"once/internal/vfs"
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

// client is a connection to a cluster, over a listener in memory, and what is asked over it.
type client struct {
	t *testing.T
	*kafkatest.Conn
	*kafkatest.Client
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
	conn := kafkatest.New(nc)
	return &client{t, conn, kafkatest.Must(t, conn)}
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

func produceRequest(topic string) *kmsg.ProduceRequest {
	var nobody *kafkatest.Producer
	return kafkatest.ProduceRequest("", topic, 0, nobody.Batch(-1, 0, kafkatest.Values("v")...))
}

func (c *client) produce(topic string) {
	c.t.Helper()
	c.Append(produceRequest(topic))
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
			before.CreateTopic("x", 1, nil)
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
	before.CreateTopic("x", 1, nil)
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

// A power cut that a test asks for is over when the cluster is open again: the real death of the process after it takes
// nothing along that was acknowledged.
func TestDeathAfterAPowerCutByATest(t *testing.T) {
	disk := vfs.NewMem()
	env := Env{FS: disk, Metadata: MetadataOn(disk), BootID: "one"}
	c := opened(t, env)
	connect(t, c).CreateTopic("x", 1, nil)
	if _, err := c.Restart(t.Context(), PowerCut, 0); err != nil {
		t.Fatal(err)
	}
	connect(t, c).produce("x")
	if err := errors.Join(c.Kill(), c.Close()); err != nil {
		t.Fatal(err)
	}
	if got := records(opened(t, env), "x"); got != 1 {
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
		conn.CreateTopic("x", 1, nil)
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
	r := kafkatest.FetchRequest(topic, 0, 0, false)
	r.MaxWaitMillis, r.MinBytes = int32(maxWait.Milliseconds()), 1
	return r
}

// After a reset the cluster is as new on the same connections, and what is never to come back does not.
func TestReset(t *testing.T) {
	for name, env := range map[string]Env{"in memory": InMemory(Env{}), "on disk": {}} {
		t.Run(name, func(t *testing.T) {
			dir := "data"
			if env.FS == nil {
				dir = filepath.ToSlash(t.TempDir())
			}
			c, err := Open(env, dir)
			if err != nil {
				t.Fatal(err)
			}
			conn := connect(t, c)
			type identity struct {
				clusterID string
				topicID   [16]byte
			}
			look := func() identity {
				r := kmsg.NewPtrMetadataRequest()
				r.Version, r.AllowAutoTopicCreation = 12, false
				topic := kmsg.NewMetadataRequestTopic()
				topic.Topic = kmsg.StringPtr("x")
				r.Topics = append(r.Topics, topic)
				resp := conn.ask(r).(*kmsg.MetadataResponse)
				return identity{*resp.ClusterID, resp.Topics[0].TopicID}
			}
			producers, topicIDs := map[int64]bool{}, map[[16]byte]bool{}
			clusterID, epoch := look().clusterID, int32(-1)
			for round := range 4 {
				keep := round%2 == 1
				conn.CreateTopic("x", 1, nil)
				conn.produce("x")
				conn.Commit("g", "x", 0, 1, "")
				if p, _ := conn.InitProducer("t"); producers[p.ProducerID] {
					t.Errorf("producer ID %d is given again", p.ProducerID)
				} else {
					producers[p.ProducerID] = true
				}
				is := look()
				if topicIDs[is.topicID] || is.clusterID != clusterID {
					t.Errorf("identity %+v after topic IDs %v", is, topicIDs)
				}
				topicIDs[is.topicID] = true
				if got := conn.offset("g", "x"); got != 1 {
					t.Errorf("committed offset %d", got)
				}
				c.Clock().Advance(time.Hour)
				if err := c.Reset(ResetOptions{KeepTopics: keep}); err != nil {
					t.Fatal(err)
				}
				want := int64(-1)
				if keep {
					want = 0
				}
				if got := records(c, "x"); got != want {
					t.Errorf("after a reset %d records are there, want %d", got, want)
				}
				if got := conn.offset("g", "x"); got != -1 {
					t.Errorf("committed offset %d after a reset", got)
				}
				if offset := c.Clock().Offset(); offset != 0 {
					t.Errorf("the clock is %v ahead", offset)
				}
				if keep {
					if is := look(); topicIDs[is.topicID] {
						t.Error("a kept topic has its old ID")
					}
					conn.produce("x")
					r := kmsg.NewPtrDeleteTopicsRequest()
					r.Version, r.TopicNames = 5, []string{"x"}
					conn.ask(r)
				}
				if e := c.engine().identity.starts; e <= epoch {
					t.Errorf("starts went from %d to %d", epoch, e)
				} else {
					epoch = e
				}
			}
			if err := c.Close(); err != nil {
				t.Fatal(err)
			}
			names, err := c.env.FS.List(dir)
			if err != nil || slices.ContainsFunc(names, func(name string) bool { return isNumbered(resetDirectory, name) }) {
				t.Errorf("what was moved aside is still there: %q, %v", names, err)
			}
			inspecttest.RequireCleanOn(t, c.env.FS, dir, inspect.Options{})
		})
	}
}

func (c *client) offset(group, topic string) int64 {
	c.t.Helper()
	offset, _ := c.Committed(group, topic, 0)
	return offset
}

// Who waits is answered by a reset, at once: a Fetch that its topic is gone, a member that it is none.
func TestResetAnswersWaitingRequests(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := opened(t, InMemory(Env{}))
		waiting, joining := connect(t, c), connect(t, c)
		waiting.Timeout, joining.Timeout = 100*time.Hour, 100*time.Hour
		waiting.CreateTopic("x", 1, nil)
		fetched, joined := make(chan kmsg.Response, 1), make(chan kmsg.Response, 1)
		go func() { fetched <- waiting.ask(fetchRequest("x", time.Hour)) }()
		join := kmsg.NewPtrJoinGroupRequest()
		join.Version, join.Group, join.ProtocolType = 3, "g", "consumer"
		join.SessionTimeoutMillis, join.RebalanceTimeoutMillis = 60_000, 1_000_000
		join.Protocols = []kmsg.JoinGroupRequestProtocol{{Name: "range"}}
		first := joining.ask(join).(*kmsg.JoinGroupResponse)
		sync := kmsg.NewPtrSyncGroupRequest()
		sync.Version, sync.Group, sync.Generation, sync.MemberID = 3, "g", first.Generation, first.MemberID
		joining.ask(sync)
		go func() { joined <- joining.ask(join) }() // the first member has to join again
		synctest.Wait()
		if len(fetched)+len(joined) > 0 {
			t.Fatal("a request that is to wait does not")
		}
		began := time.Now()
		if err := c.Reset(ResetOptions{}); err != nil {
			t.Fatal(err)
		}
		if code := (<-fetched).(*kmsg.FetchResponse).Topics[0].Partitions[0].ErrorCode; wire.Code(code) != wire.UnknownTopicOrPartition {
			t.Errorf("the fetch is answered %v", wire.Code(code))
		}
		if code := (<-joined).(*kmsg.JoinGroupResponse).ErrorCode; wire.Code(code) != wire.UnknownMemberID {
			t.Errorf("the join is answered %v", wire.Code(code))
		}
		if took := time.Since(began); took > 0 {
			t.Errorf("the reset took %v", took)
		}
		waiting.CreateTopic("x", 1, nil) // on the same connection
		waiting.produce("x")
	})
}

// A reset that is cut off at any operation of its file system is a reset or none, and the next start finishes it.
func TestResetSurvivesDeathAtEveryOperation(t *testing.T) {
	for n, fired := 0, true; fired; n++ {
		for _, powerCut := range []bool{false, true} {
			disk := vfs.NewCrashable(int64(n))
			dying := vfs.DieAt(1<<30, disk)
			c := opened(t, Env{FS: dying, Metadata: MetadataOn(dying), BootID: "one"})
			conn := connect(t, c)
			conn.CreateTopic("x", 1, nil)
			conn.produce("x")
			if err := c.engine().barrier.Checkpoint(t.Context()); err != nil {
				t.Fatal(err)
			}
			dying.Arm(n)
			err := c.Reset(ResetOptions{})
			fired = dying.Fired()
			if fired == (err == nil) && err != nil {
				t.Fatalf("operation %d, fired %v: %v", n, fired, err)
			}
			_ = c.Close()
			left, boot := disk.Clone(), "one"
			if powerCut {
				left, boot = disk.CrashClone(), "two"
			}
			after := opened(t, Env{FS: left, Metadata: MetadataOn(left), BootID: boot})
			if got := records(after, "x"); got != -1 && (got != 1 || err == nil) {
				t.Errorf("operation %d, power cut %v: %d records of x", n, powerCut, got)
			}
			if err := after.Close(); err != nil {
				t.Errorf("operation %d, power cut %v: %v", n, powerCut, err)
			}
			inspecttest.RequireCleanOn(t, left, "data", inspect.Options{BootID: boot})
		}
	}
}
