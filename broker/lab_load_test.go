package broker_test

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"once/broker"
	"once/broker/brokertest"
	"once/internal/kafkatest"
)

// loadPartitions is how many partitions each topic of a load has.
const loadPartitions = 4

// load is transactional producers that work side by side until the end of the load or of their connections. The n-th
// transaction of each is a record in t, one in u, and the offset n+1 of its group; records and offsets outside of
// transactions follow each of them.
type load struct {
	overHTTP
	workers []*worker
	ended   atomic.Bool // workers end after their transaction
	cut     atomic.Bool // connections are closed on purpose
	running sync.WaitGroup
}

// worker is one producer. What it has begun and what was acknowledged are numbers of transactions, or of records and
// offsets outside of them.
type worker struct {
	id                                 string
	index                              int
	begun, committed, written, offsets atomic.Int64
}

// startLoad starts producers. Clients have the time of a slow machine.
func startLoad(t *testing.T, l overHTTP, workers int) *load {
	for _, topic := range []string{"in", "u", "plain"} {
		l.CreateTopic(topic, loadPartitions, nil)
	}
	all := &load{overHTTP: l}
	for i := range workers {
		w := &worker{id: fmt.Sprint("worker-", i), index: i}
		all.workers = append(all.workers, w)
		conn, err := kafkatest.Dial(l.Addr())
		if err != nil {
			t.Fatal(err)
		}
		conn.Timeout = time.Minute
		t.Cleanup(func() { conn.Close() })
		client := kafkatest.NewClient(conn)
		all.running.Go(func() {
			p, err := client.InitProducer(w.id)
			for n := int64(0); err == nil && !all.ended.Load(); n++ {
				err = w.work(client, p, n)
			}
			if err != nil && !all.cut.Load() {
				t.Errorf("%s: %v", w.id, err)
			}
		})
	}
	return all
}

func (w *worker) plainGroup() string { return w.id + " plain" }

func (w *worker) partition() int32 { return int32(w.index % loadPartitions) }

func (w *worker) work(c *kafkatest.Client, p *kafkatest.Producer, n int64) error {
	w.begun.Store(n + 1)
	value := fmt.Sprintf("%s %d", w.id, n)
	if _, err := c.Produce(p, "in", w.partition(), kafkatest.Values(value)...); err != nil {
		return err
	}
	if _, err := c.Produce(p, "u", (w.partition()+1)%loadPartitions, kafkatest.Values(value)...); err != nil {
		return err
	}
	if err := c.Stage(p, w.id, "in", w.partition(), n+1); err != nil {
		return err
	}
	if err := c.End(p, true); err != nil {
		return err
	}
	w.committed.Store(n + 1)
	offset, err := c.Produce(nil, "plain", w.partition(), kafkatest.Values(value)...)
	if err != nil {
		return err
	}
	w.written.Store(n + 1)
	if err := c.Commit(w.plainGroup(), "plain", w.partition(), offset+1, ""); err != nil {
		return err
	}
	w.offsets.Store(offset + 1)
	return nil
}

// counts are those of all workers at an instant.
func (l *load) counts(of func(*worker) int64) (all []int64) {
	for _, w := range l.workers {
		all = append(all, of(w))
	}
	return all
}

func ofBegun(w *worker) int64     { return w.begun.Load() }
func ofCommitted(w *worker) int64 { return w.committed.Load() }
func ofWritten(w *worker) int64   { return w.written.Load() }
func ofOffsets(w *worker) int64   { return w.offsets.Load() }

// reach waits until each worker has committed so many transactions more.
func (l *load) reach(more int64) {
	l.t.Helper()
	from := l.counts(ofCommitted)
	deadline := time.Now().Add(time.Minute)
	for i, w := range l.workers {
		for w.committed.Load() < from[i]+more && !l.t.Failed() {
			if time.Now().After(deadline) {
				l.t.Fatalf("%s has committed %d transactions, %d more than before were wanted", w.id, w.committed.Load(), more)
			}
			l.await(time.Millisecond)
		}
	}
}

// await lets others work.
func (l *load) await(d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-l.t.Context().Done():
	}
}

func (l *load) stop() {
	l.ended.Store(true)
	l.running.Wait()
}

// found is what is there of each worker: whole transactions, and records outside of them.
type found struct{ committed, written, offsets []int64 }

// look ends open transactions and reads everything. It reports what must never be: parts of a transaction, gaps,
// offsets ahead of records.
func (l *load) look() (f found) {
	l.t.Helper()
	c := kafkatest.Connect(l.t, l.Addr())
	for _, w := range l.workers {
		c.InitProducer(w.id)
	}
	in, u, plain := l.read(c, "in"), l.read(c, "u"), l.read(c, "plain")
	for _, w := range l.workers {
		if !slices.Equal(in[w.id], u[w.id]) {
			l.t.Errorf("%s: transactions %v in one topic, %v in the other", w.id, in[w.id], u[w.id])
		}
		for n, value := range in[w.id] {
			if value != fmt.Sprint(n) {
				l.t.Errorf("%s: transaction %d is %s", w.id, n, value)
			}
		}
		n := int64(len(in[w.id]))
		offset, _ := c.Committed(w.id, "in", w.partition())
		if max(offset, 0) != n {
			l.t.Errorf("%s: offset %d with %d transactions", w.id, offset, n)
		}
		end, _, _ := c.Ends("plain", w.partition())
		offset, _ = c.Committed(w.plainGroup(), "plain", w.partition())
		if offset > end {
			l.t.Errorf("%s: the offset %d is ahead of the records, which end at %d", w.id, offset, end)
		}
		f.committed, f.written = append(f.committed, n), append(f.written, int64(len(plain[w.id])))
		f.offsets = append(f.offsets, max(offset, 0))
	}
	l.expect("POST", "/v1/check", "", 200, `"damage": 0`)
	return f
}

// read returns the numbers that a read_committed reader gets, by worker.
func (l *load) read(c *kafkatest.Client, topic string) map[string][]string {
	all := map[string][]string{}
	for p := range int32(loadPartitions) {
		values, _, _ := c.Consume(topic, p, 0, true)
		for _, v := range values {
			id, n, _ := strings.Cut(v, " ")
			all[id] = append(all[id], n)
		}
	}
	return all
}

// between reports counts that lie outside of two others.
func (l *load) between(what string, least, got, most []int64) {
	l.t.Helper()
	for i, n := range got {
		if n < least[i] || n > most[i] {
			l.t.Errorf("%s of %s: %d, between %d and %d were wanted", what, l.workers[i].id, n, least[i], most[i])
		}
	}
}

// fewerPartitions makes the partitions of the internal topics as few as still share out the workers: on a disk, each is
// a directory with its files.
func fewerPartitions(t *testing.T) brokertest.Option {
	return brokertest.WithSettings(t, map[string]string{"offsets.topic.num.partitions": "6",
		"transaction.state.log.num.partitions": "6"})
}

// labOn are the places where a cluster's files can be.
func labOn(t *testing.T) map[string]brokertest.Option {
	return map[string]brokertest.Option{
		"memory":    brokertest.WithMemory,
		"ephemeral": func(c *broker.Config) { c.InMemory = false },
		"disk":      func(c *broker.Config) { c.InMemory, c.DataDir = false, t.TempDir() },
	}
}

// A snapshot while sixteen producers and their groups work is one instant: what was acknowledged before it is in it,
// what was begun after it is not, transactions are whole, and no offset is ahead of records. That is what comes back.
func TestSnapshotUnderLoad(t *testing.T) {
	for name, on := range labOn(t) {
		t.Run(name, func(t *testing.T) {
			l := startLoad(t, startLab(t, on, fewerPartitions(t)), 16)
			l.reach(5)
			before, beforeWritten := l.counts(ofCommitted), l.counts(ofWritten)
			l.expect("PUT", "/v1/snapshots/one", "", 200)
			after := l.counts(ofBegun)
			l.reach(5)
			l.stop()
			l.expect("POST", "/v1/snapshots/one/restore", "", 200)
			f := l.look()
			l.between("transactions", before, f.committed, after)
			l.between("records", beforeWritten, f.written, after)
		})
	}
}

// A kill under load takes back nothing that was acknowledged. A power cut takes back what the durability mode says: see
// docs/durability.md. Transactions are whole in any case.
func TestRestartUnderLoad(t *testing.T) {
	for _, mode := range []string{"page", "txn", "fsync"} {
		for _, how := range []string{"kill", "powerCut"} {
			t.Run(mode+" "+how, func(t *testing.T) {
				l := startLoad(t, startLab(t, labOn(t)["disk"], fewerPartitions(t), func(c *broker.Config) { c.Durability = mode }),
					8)
				l.reach(5)
				l.cut.Store(true) // a worker ends with its connection
				l.expect("POST", "/v1/restart", `{"how": "`+how+`"}`, 200)
				l.running.Wait()
				least := found{l.counts(ofCommitted), l.counts(ofWritten), l.counts(ofOffsets)}
				nothing := make([]int64, len(l.workers))
				switch {
				case how == "powerCut" && mode == "page":
					least = found{nothing, nothing, nothing}
				case how == "powerCut" && mode == "txn":
					least.written = nothing
				}
				l.reconnect()
				f, most := l.look(), l.counts(ofBegun)
				l.between("transactions", least.committed, f.committed, most)
				l.between("records", least.written, f.written, most)
				l.between("offsets", least.offsets, f.offsets, slices.Repeat([]int64{math.MaxInt64}, len(most)))
			})
		}
	}
}
