package broker_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/broker"
	"once/broker/brokertest"
	"once/cluster"
	"once/internal/kafkatest"
	"once/internal/memnet"
	"once/internal/vfs"
)

// failingWrites is a file system on which no file of a directory can be written while fails is set.
type failingWrites struct {
	vfs.FS
	dir   string
	fails atomic.Bool
}

func (f *failingWrites) Create(name string) (vfs.File, error) { return f.wrap(name)(f.FS.Create(name)) }

func (f *failingWrites) OpenReadWrite(name string) (vfs.File, error) {
	return f.wrap(name)(f.FS.OpenReadWrite(name))
}

func (f *failingWrites) wrap(name string) func(vfs.File, error) (vfs.File, error) {
	return func(file vfs.File, err error) (vfs.File, error) {
		if err != nil || !strings.Contains(name, f.dir) {
			return file, err
		}
		return &failingFile{file, f}, nil
	}
}

type failingFile struct {
	vfs.File
	fs *failingWrites
}

func (f *failingFile) WriteAt(p []byte, at int64) (int, error) {
	if f.fs.fails.Load() {
		return 0, errors.New("the test lets no write through")
	}
	return f.File.WriteAt(p, at)
}

// waitingProduce is a broker in memory with a Produce that waits for the producer's last transaction: the marker for
// partition 0 of held cannot be written.
type waitingProduce struct {
	*kafkatest.Client
	t        *testing.T
	producer *kafkatest.Producer
	broker   *brokertest.Broker
	waiting  *kafkatest.Conn
	request  *kmsg.ProduceRequest
	id       int32
	closed   closedConnections
	fs       *failingWrites
}

// closedConnections counts what the broker's log says of connections that have ended.
type closedConnections struct{ atomic.Int64 }

func (c *closedConnections) Enabled(context.Context, slog.Level) bool { return true }
func (c *closedConnections) WithAttrs([]slog.Attr) slog.Handler       { return c }
func (c *closedConnections) WithGroup(string) slog.Handler            { return c }

func (c *closedConnections) Handle(_ context.Context, r slog.Record) error {
	if r.Message == "connection closed" {
		c.Add(1)
	}
	return nil
}

func startWaitingProduce(t *testing.T, acks int16) *waitingProduce {
	t.Helper()
	w := &waitingProduce{t: t}
	listener := memnet.Listen()
	env := cluster.InMemory(cluster.Env{})
	w.fs = &failingWrites{FS: env.FS, dir: "held-0"}
	w.broker = brokertest.Start(t, brokertest.WithDataDir(t.TempDir()),
		brokertest.WithSettings(t, map[string]string{"add.partitions.to.txn.retry.backoff.max.ms": "3600000"}),
		func(c *broker.Config) {
			c.FS, c.Metadata, c.Listener, c.Logger = w.fs, env.Metadata, listener, slog.New(&w.closed)
		})
	t.Cleanup(func() { w.fs.fails.Store(false) })
	connect := func() *kafkatest.Conn {
		nc, err := listener.Dial(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { nc.Close() })
		return kafkatest.New(nc)
	}
	w.Client = kafkatest.Must(t, connect())
	w.TransactionTimeout = time.Minute
	w.CreateTopic("held", 1, nil)
	w.CreateTopic("x", 1, nil)
	w.producer, _ = w.InitProducer("t")
	w.Produce(w.producer, "held", 0, kafkatest.Values("v")...)
	w.fs.fails.Store(true)
	if got := code(w.Answer(w.producer.EndTxnRequest(true)).(*kmsg.EndTxnResponse).ErrorCode); got != "CONCURRENT_TRANSACTIONS" {
		t.Fatalf("the end of the transaction: %s", got)
	}
	w.producer.ProducerEpoch++

	w.waiting = connect()
	w.waiting.Timeout = time.Hour
	w.request = w.produceOf(w.producer, acks)
	var err error
	if w.id, err = w.waiting.Send(w.request); err != nil {
		t.Fatal(err)
	}
	synctest.Wait()
	return w
}

// produceOf is a producer's Produce of one record to x.
func (w *waitingProduce) produceOf(p *kafkatest.Producer, acks int16) *kmsg.ProduceRequest {
	sequence := int32(0)
	if p.ProducerID < 0 {
		sequence = -1
	}
	r := p.ProduceRequest("x", 0, p.Batch(sequence, time.Now().UnixMilli(), kafkatest.Values("v")...))
	r.Acks = acks
	return r
}

// answer receives an answer to a Produce on the connection that waits.
func (w *waitingProduce) answer(id int32) kmsg.ProduceResponseTopicPartition {
	w.t.Helper()
	resp, err := w.waiting.Receive(w.request, id)
	if err != nil {
		w.t.Fatal(err)
	}
	return resp.(*kmsg.ProduceResponse).Topics[0].Partitions[0]
}

// logEndOffset of x.
func (w *waitingProduce) logEndOffset() int64 {
	w.t.Helper()
	r := kmsg.NewPtrListOffsetsRequest()
	r.Version, r.ReplicaID = 5, -1
	r.Topics = []kmsg.ListOffsetsRequestTopic{{Topic: "x",
		Partitions: []kmsg.ListOffsetsRequestTopicPartition{{CurrentLeaderEpoch: -1, Timestamp: -1}}}}
	p := w.Answer(r).(*kmsg.ListOffsetsResponse).Topics[0].Partitions[0]
	if p.ErrorCode != 0 {
		w.t.Fatal(code(p.ErrorCode))
	}
	return p.Offset
}

// A Produce that waits for the end of the producer's last transaction takes its place before what its connection sends
// behind it. One without acks is not
// answered.
func TestRequestsStayInOrderBehindAProduceThatWaits(t *testing.T) {
	for _, acks := range []int16{-1, 0} {
		synctest.Test(t, func(t *testing.T) {
			w := startWaitingProduce(t, acks)
			plain := w.produceOf(&kafkatest.Producer{ProducerID: -1, ProducerEpoch: -1}, -1)
			second, err := w.waiting.Send(plain)
			if err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Minute)
			if end := w.logEndOffset(); end != 0 {
				t.Fatalf("%d records are there before the transaction has ended", end)
			}
			remove := kmsg.NewPtrDeleteTopicsRequest() // a topic that is gone needs no marker
			remove.Version, remove.TopicNames, remove.TimeoutMillis = 5, []string{"held"}, 1000
			if got := w.Answer(remove).(*kmsg.DeleteTopicsResponse).Topics[0].ErrorCode; got != 0 {
				t.Fatal(code(got))
			}
			if acks != 0 {
				if first := w.answer(w.id); first.ErrorCode != 0 || first.BaseOffset != 0 {
					t.Errorf("the first one: %s at %d", code(first.ErrorCode), first.BaseOffset)
				}
			}
			if p := w.answer(second); p.ErrorCode != 0 || p.BaseOffset != 1 {
				t.Errorf("the second one: %s at %d", code(p.ErrorCode), p.BaseOffset)
			}
			w.End(w.producer, true)
		})
	}
}

// Nothing else waits for a Produce that waits: not the end of its connection, nor that of the cluster or the broker.
func TestNothingHangsOnAProduceThatWaits(t *testing.T) {
	for _, tc := range []struct {
		name string
		stop func(w *waitingProduce) error
		code string // of the answer; "" when the connection is closed without one
	}{
		{"connection", func(w *waitingProduce) error { w.waiting.Close(); return nil }, ""},
		{"broker", func(w *waitingProduce) error { w.fs.fails.Store(false); return w.broker.Close() },
			"CONCURRENT_TRANSACTIONS"},
		{"kill", func(w *waitingProduce) error { return w.broker.Cluster().Kill() }, ""},
		{"reset", func(w *waitingProduce) error { w.broker.Reset(); return nil }, "CONCURRENT_TRANSACTIONS"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := startWaitingProduce(t, -1)
				answered := make(chan string, 1) // read at once: the connection has no buffer
				go func() {
					answer := ""
					if resp, err := w.waiting.Receive(w.request, w.id); err == nil {
						answer = code(resp.(*kmsg.ProduceResponse).Topics[0].Partitions[0].ErrorCode)
					}
					answered <- answer
				}()
				begun := time.Now()
				if err := tc.stop(w); err != nil {
					t.Error(err)
				}
				synctest.Wait()
				if took := time.Since(begun); took > 0 {
					t.Errorf("it took %v", took)
				}
				if got := <-answered; got != tc.code {
					t.Errorf("answer %q, want %q", got, tc.code)
				}
				if n := w.closed.Load(); tc.code == "" && n != 1 {
					t.Errorf("%d connections have ended", n)
				}
			})
		})
	}
}

// Offsets are not waited with: the client is told at once that its last transaction is still being completed, as by
// Kafka. (spec: transactions 9.1)
func TestTxnOffsetCommitDoesNotWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := startWaitingProduce(t, -1)
		begun := time.Now()
		resp := w.Answer(w.producer.TxnOffsetCommitRequest("g", "x", 0, 0)).(*kmsg.TxnOffsetCommitResponse)
		if got := code(resp.Topics[0].Partitions[0].ErrorCode); got != "CONCURRENT_TRANSACTIONS" {
			t.Error(got)
		}
		if took := time.Since(begun); took > 0 {
			t.Errorf("it took %v", took)
		}
	})
}
