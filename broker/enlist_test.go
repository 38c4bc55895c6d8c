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
	"once/log/batch"
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
	*compactedTopic
	broker  *brokertest.Broker
	waiting *kafkatest.Conn
	request *kmsg.ProduceRequest
	id      int32
	closed  closedConnections
	fs      *failingWrites
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
	w := &waitingProduce{}
	listener := memnet.Listen()
	env := cluster.InMemory(cluster.Env{})
	w.fs = &failingWrites{FS: env.FS, dir: "held-0"}
	w.broker = brokertest.Start(t, brokertest.WithDataDir(t.TempDir()),
		brokertest.WithSettings(t, map[string]string{"add.partitions.to.txn.retry.backoff.max.ms": "3600000"}),
		func(c *broker.Config) {
			c.FS, c.Metadata, c.Listener, c.Logger = w.fs, env.Metadata, listener, slog.New(&w.closed)
		})
	t.Cleanup(func() { w.fs.fails.Store(false) })
	w.compactedTopic = &compactedTopic{peer: &peer{t: t, memory: listener}}
	t.Cleanup(w.hangUp)
	w.create("held", nil)
	w.create("x", nil)
	w.begin()
	w.must(w.send("held", true, batch.Record{Value: []byte("v")}))
	w.fs.fails.Store(true)
	end := kmsg.NewPtrEndTxnRequest()
	end.Version, end.TransactionalID, end.ProducerID, end.ProducerEpoch, end.Commit = 5, "compaction", w.producerID, w.producerEpoch, true
	if got := code(w.ask(end).(*kmsg.EndTxnResponse).ErrorCode); got != "CONCURRENT_TRANSACTIONS" {
		t.Fatalf("the end of the transaction: %s", got)
	}
	w.producerEpoch++

	var err error
	if w.waiting, err = w.dial(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.waiting.Close() })
	w.waiting.Timeout = time.Hour
	id := "compaction"
	w.request = w.produceOf(batch.BuildOptions{ProducerID: w.producerID, ProducerEpoch: w.producerEpoch, Transactional: true}, acks)
	w.request.TransactionID = &id
	if w.id, err = w.waiting.Send(w.request); err != nil {
		t.Fatal(err)
	}
	synctest.Wait()
	return w
}

// produceOf is a Produce of one record to x.
func (w *waitingProduce) produceOf(o batch.BuildOptions, acks int16) *kmsg.ProduceRequest {
	o.TimestampMs, o.LeaderEpoch = time.Now().UnixMilli(), -1
	r := kmsg.NewPtrProduceRequest()
	r.Version, r.Acks, r.TimeoutMillis = 12, acks, 10_000
	t := kmsg.NewProduceRequestTopic()
	t.Topic = "x"
	t.Partitions = []kmsg.ProduceRequestTopicPartition{{Records: batch.Build(o, batch.Record{Value: []byte("v")})}}
	r.Topics = append(r.Topics, t)
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
	r.Topics = []kmsg.ListOffsetsRequestTopic{{Topic: "x", Partitions: []kmsg.ListOffsetsRequestTopicPartition{{CurrentLeaderEpoch: -1, Timestamp: -1}}}}
	p := w.ask(r).(*kmsg.ListOffsetsResponse).Topics[0].Partitions[0]
	w.must(p.ErrorCode)
	return p.Offset
}

// A Produce that waits for the end of the producer's last transaction takes its place before what its connection sends
// behind it. One without acks is not
// answered.
func TestRequestsStayInOrderBehindAProduceThatWaits(t *testing.T) {
	for _, acks := range []int16{-1, 0} {
		synctest.Test(t, func(t *testing.T) {
			w := startWaitingProduce(t, acks)
			plain := w.produceOf(batch.BuildOptions{ProducerID: -1, ProducerEpoch: -1, BaseSequence: -1}, -1)
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
			w.must(w.ask(remove).(*kmsg.DeleteTopicsResponse).Topics[0].ErrorCode)
			if acks != 0 {
				if first := w.answer(w.id); first.ErrorCode != 0 || first.BaseOffset != 0 {
					t.Errorf("the first one: %s at %d", code(first.ErrorCode), first.BaseOffset)
				}
			}
			if p := w.answer(second); p.ErrorCode != 0 || p.BaseOffset != 1 {
				t.Errorf("the second one: %s at %d", code(p.ErrorCode), p.BaseOffset)
			}
			w.end(true)
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
		{"broker", func(w *waitingProduce) error { w.fs.fails.Store(false); return w.broker.Close() }, "CONCURRENT_TRANSACTIONS"},
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
		r := kmsg.NewPtrTxnOffsetCommitRequest()
		r.Version, r.TransactionalID, r.Group, r.Generation = 5, "compaction", "g", -1
		r.ProducerID, r.ProducerEpoch = w.producerID, w.producerEpoch
		partition := kmsg.NewTxnOffsetCommitRequestTopicPartition()
		r.Topics = []kmsg.TxnOffsetCommitRequestTopic{{Topic: "x", Partitions: []kmsg.TxnOffsetCommitRequestTopicPartition{partition}}}
		begun := time.Now()
		resp := w.ask(r).(*kmsg.TxnOffsetCommitResponse)
		if got := code(resp.Topics[0].Partitions[0].ErrorCode); got != "CONCURRENT_TRANSACTIONS" {
			t.Error(got)
		}
		if took := time.Since(begun); took > 0 {
			t.Errorf("it took %v", took)
		}
	})
}
