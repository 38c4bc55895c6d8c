package cluster

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/inspect"
	"once/inspect/inspecttest"
	"once/internal/fault"
	"once/internal/kafkatest"
	"once/wire"
)

// holding is a cluster in which the commit of a transaction over the topics a and b has been answered, while the marker
// in b is held.
type holding struct {
	*Cluster
	conn     *client
	writer   *client // of the producer
	producer *kafkatest.Producer
	fault    *fault.Fault
}

func newHolding(t *testing.T, env Env) *holding {
	t.Helper()
	h := &holding{Cluster: opened(t, env)}
	h.conn = connect(t, h.Cluster)
	for _, topic := range []string{"a", "b"} {
		h.conn.CreateTopic(topic, 1, nil)
	}
	h.arm(h.Faults())
	h.writer = connect(t, h.Cluster)
	h.producer = h.writer.producer("t")
	h.writer.send(h.producer, "a", []byte("1"))
	h.writer.send(h.producer, "b", []byte("1"))
	h.writer.End(h.producer, true)
	h.expect(1, 0, wire.ConcurrentTransactions)
	return h
}

func (h *holding) arm(points *fault.Points) {
	h.conn.t.Helper()
	var err error
	h.fault, err = points.Arm(fault.Rule{
		Point: fault.TxnMarker, Fires: func(at fault.Attributes) bool { return at.Topic == "b" },
		Do: fault.Action{Hold: true},
	})
	if err != nil {
		h.conn.t.Fatal(err)
	}
}

// expect checks how much of a and b readers of committed data see, and what the producer's next transaction is
// answered.
func (h *holding) expect(a, b int, next wire.Code) {
	h.conn.t.Helper()
	if gotA, gotB := len(h.conn.committed("a")), len(h.conn.committed("b")); gotA != a || gotB != b {
		h.conn.t.Errorf("readers see %d and %d records, want %d and %d", gotA, gotB, a, b)
	}
	if got := h.writer.send(h.producer, "a", []byte("2")); got != next {
		h.conn.t.Errorf("the next transaction is answered %v, want %v", got, next)
	}
	if held, want := h.fault.Counts().Held, 1; (held == want) != (next == wire.ConcurrentTransactions) {
		h.conn.t.Errorf("%d are held", held)
	}
}

func TestHeldMarkerIsWrittenByItsRelease(t *testing.T) {
	h := newHolding(t, InMemory(Env{}))
	if n := h.fault.Release(); n != 1 {
		t.Errorf("%d released", n)
	}
	h.expect(1, 1, wire.NoError)
}

// A restart writes what was held, and does not hold it again; the fault stays armed for what comes later.
func TestHeldMarkerIsWrittenByARestart(t *testing.T) {
	h := newHolding(t, InMemory(Env{}))
	if err := errors.Join(h.Kill(), h.Reopen()); err != nil {
		t.Fatal(err)
	}
	h.conn, h.writer = connect(t, h.Cluster), connect(t, h.Cluster)
	h.expect(1, 1, wire.NoError)
	h.writer.send(h.producer, "b", []byte("2"))
	h.writer.End(h.producer, true)
	h.expect(2, 1, wire.ConcurrentTransactions)
	env, began := h.env, time.Now()
	if err := h.Close(); err != nil {
		t.Error(err)
	}
	if took := time.Since(began); took > leaveTimeout {
		t.Errorf("the close took %v", took)
	}
	inspecttest.RequireCleanOn(t, env.FS, h.dir, inspect.Options{})
	env.Faults = fault.NewPoints() // armed before anything is opened
	h.arm(env.Faults)
	h.Cluster = opened(t, env)
	h.conn, h.writer = connect(t, h.Cluster), connect(t, h.Cluster)
	h.expect(2, 2, wire.NoError)
}

func TestHeldMarkerIsDroppedWithItsTopic(t *testing.T) {
	h := newHolding(t, InMemory(Env{}))
	r := kmsg.NewPtrDeleteTopicsRequest()
	r.Version, r.TopicNames = 5, []string{"b"}
	if code := h.conn.ask(r).(*kmsg.DeleteTopicsResponse).Topics[0].ErrorCode; code != 0 {
		t.Fatal(wire.Code(code))
	}
	h.conn.CreateTopic("b", 1, nil)
	h.expect(1, 0, wire.NoError)
}

func TestHeldMarkerIsDroppedByAReset(t *testing.T) {
	h := newHolding(t, InMemory(Env{}))
	if err := h.Reset(ResetOptions{KeepTopics: true}); err != nil {
		t.Fatal(err)
	}
	h.producer = h.writer.producer("t")
	h.expect(0, 0, wire.NoError)
	h.writer.send(h.producer, "b", []byte("2")) // nothing is armed any more
	h.writer.End(h.producer, true)
	h.expect(1, 1, wire.NoError)
}

// The end of a transaction whose decision is held waits, on its connection alone, and does not hold up the end of the
// cluster.
func TestHeldDecisionHoldsUpOneConnection(t *testing.T) {
	for name, end := range map[string]func(*Cluster) error{"close": (*Cluster).Close, "kill": (*Cluster).Kill} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c := opened(t, InMemory(Env{}))
				conn, other := connect(t, c), connect(t, c)
				conn.CreateTopic("x", 1, nil)
				p := conn.producer("t")
				conn.send(p, "x", []byte("1"))
				if _, err := c.Faults().Arm(fault.Rule{Point: fault.TxnPrepare, Do: fault.Action{Hold: true}}); err != nil {
					t.Fatal(err)
				}
				answered := make(chan kmsg.Response, 1)
				go func() { answered <- conn.ask(p.EndTxnRequest(true)) }()
				synctest.Wait()
				other.produce("x")
				began := time.Now()
				if err := end(c); err != nil {
					t.Error(err)
				}
				if took := time.Since(began); took > 0 {
					t.Errorf("the end took %v", took)
				}
				if resp, ok := (<-answered).(*kmsg.EndTxnResponse); ok &&
					wire.Code(resp.ErrorCode) != wire.CoordinatorNotAvailable {
					t.Errorf("answered %v", wire.Code(resp.ErrorCode))
				}
			})
		})
	}
}

// work asks for one thing after the other, as clients do, until it is not answered. It returns how many plain records
// were acknowledged, whether the transaction's commit was, and whether all was answered.
func (c *client) work(round int) (plain int, committed, whole bool) {
	c.t.Helper()
	topic := fmt.Sprint("x", round)
	if c.ask(kafkatest.CreateTopicsRequest(topic, 1, nil)) == nil {
		return
	}
	for range 2 {
		if c.ask(produceRequest(topic)) == nil {
			return
		}
		plain++
	}
	identity, ok := c.ask(kafkatest.InitProducerIDRequest(topic)).(*kmsg.InitProducerIDResponse)
	if !ok {
		return
	}
	p := &kafkatest.Producer{TransactionalID: topic, ProducerID: identity.ProducerID,
		ProducerEpoch: identity.ProducerEpoch}
	batch := p.Batch(0, time.Now().UnixMilli(), kafkatest.Values("t")...)
	for _, r := range []kmsg.Request{p.ProduceRequest(topic, 0, batch), p.TxnOffsetCommitRequest("g", topic, 0, 1),
		p.EndTxnRequest(true)} {
		if c.ask(r) == nil {
			return
		}
	}
	return plain, true, true
}

// A kill at a fault leaves a cluster as Kill does: what was under way is not answered, what was answered is there when
// it opens again, and the process goes on.
func TestClusterIsKilledAtEveryPoint(t *testing.T) {
	for _, point := range fault.All(fault.CanKill) {
		t.Run(point.String(), func(t *testing.T) {
			failed, durability := false, "fsync"
			if point == fault.DiskSynced { // with a journal, files are synced at leisure
				durability = "page"
			}
			c := opened(t, InMemory(Env{Durability: durability, OnFailure: func(error) { failed = true }}))
			f, err := c.Faults().Arm(fault.Rule{Point: point, Fires: fault.Nth(1), Do: fault.Action{Kill: true}})
			if err != nil {
				t.Fatal(err)
			}
			plain, committed, whole := connect(t, c).work(1)
			if point == fault.TopicOpen {
				if err := errors.Join(c.Kill(), c.Reopen()); !errors.Is(err, fault.ErrKilled) {
					t.Errorf("killed while it opens: %v", err)
				}
			} else if whole {
				t.Error("everything was answered")
			}
			if n := f.Counts().Triggered; n != 1 {
				t.Errorf("killed %d times", n)
			}
			c.Killed()
			if err := c.Reopen(); err != nil {
				t.Fatal(err)
			}
			conn := connect(t, c)
			if got := records(c, "x1"); got < int64(plain) {
				t.Errorf("%d records are there, %d acknowledged", got, plain)
			}
			if committed && len(conn.committed("x1")) != plain+1 {
				t.Errorf("a commit was answered, and readers see %d records", len(conn.committed("x1")))
			}
			if _, _, whole := conn.work(2); !whole {
				t.Error("the cluster that comes after does not answer")
			}
			if err := c.Close(); err != nil || failed {
				t.Errorf("%v; failed: %v", err, failed)
			}
			inspecttest.RequireCleanOn(t, c.env.FS, c.dir, inspect.Options{})
		})
	}
}

// ends are the ways in which an engine ends.
var ends = map[string]func(*Cluster) error{
	"close": (*Cluster).Close, "kill": (*Cluster).Kill, "reset": func(c *Cluster) error { return c.Reset(ResetOptions{}) },
}

// A request that waits for a slow disk does not hold up the end of the cluster.
func TestDelayedSyncEndsWithTheCluster(t *testing.T) {
	requests := map[string]func(*kafkatest.Producer) kmsg.Request{
		"Produce":        func(*kafkatest.Producer) kmsg.Request { return produceRequest("x") },
		"EndTxn":         func(p *kafkatest.Producer) kmsg.Request { return p.EndTxnRequest(true) },
		"InitProducerId": func(*kafkatest.Producer) kmsg.Request { return kafkatest.InitProducerIDRequest("other") },
	}
	const delay = 5 * time.Second
	for name, end := range ends {
		for api, request := range requests {
			t.Run(name+" "+api, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					c := opened(t, InMemory(Env{Durability: "fsync"}))
					conn := connect(t, c)
					conn.Timeout = 100 * time.Hour
					conn.CreateTopic("x", 1, nil)
					p := conn.producer("t")
					conn.send(p, "x", []byte("1"))
					if _, err := c.Faults().Arm(fault.Rule{Point: fault.DiskSync, Do: fault.Action{Delay: delay}}); err != nil {
						t.Fatal(err)
					}
					began := time.Now()
					conn.produce("x")
					if took := time.Since(began); took < delay {
						t.Errorf("the append took %v", took)
					}
					answered := make(chan kmsg.Response, 1)
					go func() { answered <- conn.ask(request(p)) }()
					synctest.Wait()
					began = time.Now()
					if err := end(c); err != nil {
						t.Error(err)
					}
					if took := time.Since(began); took > 0 {
						t.Errorf("the end took %v", took)
					}
					if got := <-answered; name == "kill" && got != nil {
						t.Errorf("a killed cluster answers %v", got)
					}
				})
			})
		}
	}
}

// A snapshot that waits for a disk that hangs does not hold up the end of the cluster.
func TestSnapshotEndsWithTheCluster(t *testing.T) {
	for name, end := range ends {
		t.Run(name, func(t *testing.T) {
			c := opened(t, InMemory(Env{}))
			conn := connect(t, c)
			conn.CreateTopic("x", 1, nil)
			conn.produce("x")
			hangs := make(chan struct{})
			first := sync.OnceFunc(func() { close(hangs) })
			_, err := c.Faults().Arm(fault.Rule{
				Point: fault.DiskSync, Fires: func(fault.Attributes) bool { first(); return true },
				Do: fault.Action{Delay: time.Hour},
			})
			if err != nil {
				t.Fatal(err)
			}
			snapshot, ended := make(chan error, 1), make(chan error, 1)
			go func() {
				_, err := c.Snapshot()
				snapshot <- err
			}()
			<-hangs
			go func() { ended <- end(c) }()
			select {
			case err := <-ended:
				if err != nil {
					t.Error(err)
				}
			case <-time.After(time.Minute):
				c.Faults().Suspend()
				t.Error("the snapshot holds up the end")
				<-ended
			}
			if err := <-snapshot; name == "kill" && err == nil {
				t.Error("a snapshot of a killed cluster has succeeded")
			}
		})
	}
}

// A sync that fails stops the cluster, and nothing else: it opens again from its files.
func TestFailedSyncStopsItsCluster(t *testing.T) {
	failure := make(chan error, 1)
	c := opened(t, InMemory(Env{Durability: "fsync", OnFailure: func(err error) { failure <- err }}))
	conn := connect(t, c)
	conn.CreateTopic("x", 1, nil)
	conn.produce("x")
	broken := errors.New("no such disk")
	f, err := c.Faults().Arm(fault.Rule{Point: fault.DiskSync, Do: fault.Action{Error: broken}})
	if err != nil {
		t.Fatal(err)
	}
	resp := conn.ask(produceRequest("x")).(*kmsg.ProduceResponse)
	if code := wire.Code(resp.Topics[0].Partitions[0].ErrorCode); code == wire.NoError {
		t.Error("an append is acknowledged that was not synced")
	}
	if err := <-failure; !errors.Is(err, broken) || !errors.Is(err, ErrStorage) {
		t.Errorf("the cluster failed with %v", err)
	}
	f.Disarm()
	if err := errors.Join(c.Kill(), c.Reopen()); err != nil {
		t.Fatal(err)
	}
	if got := records(c, "x"); got < 1 {
		t.Errorf("%d records are there", got)
	}
	conn.produce("x")
}

// A batch that is refused at a fault is not in the log, and the partition goes on; one that takes the partition offline
// takes no other one.
func TestFaultsOfAnAppend(t *testing.T) {
	c := opened(t, InMemory(Env{}))
	conn := connect(t, c)
	conn.CreateTopic("x", 1, nil)
	conn.CreateTopic("y", 1, nil)
	conn.produce("x")
	for _, do := range []fault.Action{{Error: fault.ErrInjected}, {Offline: true}} {
		f, err := c.Faults().Arm(fault.Rule{Point: fault.PartitionAppend,
			Fires: func(at fault.Attributes) bool { return at.Topic == "x" }, Do: do})
		if err != nil {
			t.Fatal(err)
		}
		produced := func() wire.Code {
			return wire.Code(conn.ask(produceRequest("x")).(*kmsg.ProduceResponse).Topics[0].Partitions[0].ErrorCode)
		}
		if got := produced(); got != wire.KafkaStorageError {
			t.Errorf("%+v: answered %v", do, got)
		}
		conn.produce("y")
		f.Disarm()
		after := map[bool]wire.Code{false: wire.NoError, true: wire.KafkaStorageError}[do.Offline]
		if got := produced(); got != after {
			t.Errorf("after %+v: answered %v, want %v", do, got, after)
		}
	}
	if err := errors.Join(c.Kill(), c.Reopen()); err != nil {
		t.Fatal(err)
	}
	if got := records(c, "x"); got != 2 {
		t.Errorf("%d records are there, 2 were acknowledged", got)
	}
	connect(t, c).produce("x")
}
