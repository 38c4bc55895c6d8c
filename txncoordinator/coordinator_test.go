package txncoordinator

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"once/durability"
	"once/durability/durabilitytest"
	"once/internal/clock"
	"once/internal/fault"
	"once/log/batch"
)

func loaded(t testing.TB, w *world, change func(*Config)) *Coordinator {
	t.Helper()
	c := w.coordinator(t, change)
	if err := c.Load(); err != nil {
		t.Fatal(err)
	}
	return c
}

func mustInit(t testing.TB, c *Coordinator, id string) Identity {
	t.Helper()
	got, err := c.InitProducerID(InitRequest{TransactionalID: id, ProducerID: -1, ProducerEpoch: -1, TimeoutMs: 60_000})
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// TestConcurrentRequestsOnOneID lets producers of one transactional ID loop against each other. Each may
// only get the refusals that its place allows, every decision reaches its end, and afterwards the ID
// is usable.
func TestConcurrentRequestsOnOneID(t *testing.T) {
	w := newWorld()
	c := loaded(t, w, nil)
	var wg sync.WaitGroup
	var commits [4]int
	for n := range commits {
		wg.Go(func() {
			random := rand.New(rand.NewPCG(1, uint64(n)))
			for range 150 {
				id, err := c.InitProducerID(InitRequest{TransactionalID: "t", ProducerID: -1, ProducerEpoch: -1, TimeoutMs: 60_000})
				if err == nil {
					commits[n] += loopTransactions(t, c, id, random)
				} else if !errors.Is(err, ErrConcurrentTransactions) {
					t.Error(err)
				}
			}
		})
	}
	wg.Go(func() {
		for range 100 {
			_, _ = c.Describe("t")
			_, _, _ = c.List(ListFilter{DurationMs: -1})
			w.due(c)
		}
	})
	wg.Wait()
	d, err := c.Describe("t")
	if err != nil || d.State.prepared() {
		t.Fatal(d, err)
	}
	told := 0
	for _, n := range commits {
		told += n
	}
	decided := 0
	for _, txn := range stateLogDecisions(t, w) {
		if txn.State == PrepareCommit {
			decided++
		}
	}
	if told == 0 || told != decided {
		t.Errorf("%d commits were told, %d decided", told, decided)
	}
	for d.State == Ongoing {
		if _, err := c.InitProducerID(InitRequest{TransactionalID: "t", ProducerID: -1, ProducerEpoch: -1,
			TimeoutMs: 1}); !errors.Is(err, ErrConcurrentTransactions) {
			t.Fatal(err)
		}
		d, _ = c.Describe("t")
	}
	mustInit(t, c, "t")
}

func loopTransactions(t *testing.T, c *Coordinator, id Identity, random *rand.Rand) (commits int) {
	for range random.IntN(4) {
		add := AddRequest{TransactionalID: "t", ProducerID: id.ProducerID, ProducerEpoch: id.ProducerEpoch,
			ClientTransactionVersion: 2,
			Partitions:               []TopicPartition{{"x", random.Int32N(3)}}}
		if err := c.AddPartitions(add); err != nil {
			if !errors.Is(err, ErrFenced) && !errors.Is(err, ErrConcurrentTransactions) {
				t.Error(err)
			}
			return commits
		}
		next, err := c.EndTxn(EndRequest{TransactionalID: "t", ProducerID: id.ProducerID, ProducerEpoch: id.ProducerEpoch,
			Commit: true, ClientTransactionVersion: 2})
		if err != nil {
			// 48: the transaction was aborted by another init, or is empty.
			if !errors.Is(err, ErrFenced) && !errors.Is(err, ErrConcurrentTransactions) && !errors.Is(err, ErrInvalidTxnState) {
				t.Error(err)
			}
			return commits
		}
		commits++
		id = next
	}
	return commits
}

// failingStateLog has a disk that fails as soon as failed is set, and remembers what was asked of it.
type failingStateLog struct {
	StateLog
	failed  durability.Ticket
	answers []durability.Answer
}

func (l *failingStateLog) AppendCoordinator(raw []byte, answer durability.Answer) (Appended, error) {
	a, err := l.StateLog.AppendCoordinator(raw, answer)
	l.answers = append(l.answers, answer)
	a.Durable = l.failed
	return a, err
}

// TestUnsureDecisionBlocksTheID: a Prepare record that may or may not be durable lets nobody decide
// differently, and no marker out; the next start knows.
func TestUnsureDecisionBlocksTheID(t *testing.T) {
	w := newWorld()
	l := &failingStateLog{StateLog: w.stateLog(0)}
	c := loaded(t, w, func(cfg *Config) { cfg.StateLogs = func(int32) StateLog { return l } })
	id := mustInit(t, c, "t")
	add := AddRequest{TransactionalID: "t", ProducerID: id.ProducerID, ProducerEpoch: 0,
		Partitions: []TopicPartition{{"x", 0}}, ClientTransactionVersion: 2}
	if err := c.AddPartitions(add); err != nil {
		t.Fatal(err)
	}
	l.failed = durabilitytest.Failed(t, errors.New("sync failed"))
	end := EndRequest{TransactionalID: "t", ProducerID: id.ProducerID, ProducerEpoch: 0, Commit: true,
		ClientTransactionVersion: 2}
	if _, err := c.EndTxn(end); !errors.Is(err, ErrCoordinatorNotAvailable) {
		t.Fatal(err)
	}
	end.Commit = false
	if _, err := c.EndTxn(end); !errors.Is(err, ErrConcurrentTransactions) {
		t.Fatal(err)
	}
	w.clock.Advance(time.Hour)
	w.due(c)
	if len(w.mu.markers) != 0 {
		t.Error("a marker went out before its decision was durable")
	}
	c = loaded(t, w, nil)
	if d, err := c.Describe("t"); err != nil || d.State != CompleteCommit {
		t.Error(d, err)
	}
}

// TestAnswersCarryTheirTicket: an epoch waits in every mode, a decision where the mode says so, and what comes
// before and after it never. An epoch that is not known to be durable is not handed out.
func TestAnswersCarryTheirTicket(t *testing.T) {
	w := newWorld()
	l := &failingStateLog{StateLog: w.stateLog(0)}
	c := loaded(t, w, func(cfg *Config) { cfg.StateLogs = func(int32) StateLog { return l } })
	id := mustInit(t, c, "t")
	if err := c.AddPartitions(AddRequest{TransactionalID: "t", ProducerID: id.ProducerID,
		Partitions: []TopicPartition{{"x", 0}}}); err != nil {
		t.Error(err)
	}
	if _, err := c.EndTxn(EndRequest{TransactionalID: "t", ProducerID: id.ProducerID, Commit: true}); err != nil {
		t.Error(err)
	}
	want := []durability.Answer{durability.EpochGiven, durability.TransactionChanged, durability.TransactionDecided,
		durability.TransactionChanged}
	if !slices.Equal(l.answers, want) {
		t.Errorf("answers %v, want %v", l.answers, want)
	}
	l.failed = durabilitytest.Failed(t, errors.New("disk"))
	if _, err := c.InitProducerID(InitRequest{TransactionalID: "u", ProducerID: -1, ProducerEpoch: -1,
		TimeoutMs: 1}); !errors.Is(err, ErrCoordinatorNotAvailable) {
		t.Error(err)
	}
}

// What Start begins aborts, forgets and retries by itself, until Close.
func TestStartedCoordinatorActsByItself(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		c := w.coordinator(t, func(cfg *Config) { cfg.Clock, cfg.RealTime = clock.NewMovable(), nil })
		if err := c.Load(); err != nil {
			t.Fatal(err)
		}
		c.Start()
		id, err := c.InitProducerID(InitRequest{TransactionalID: "t", ProducerID: -1, ProducerEpoch: -1, TimeoutMs: 1000})
		if err != nil {
			t.Fatal(err)
		}
		add := AddRequest{TransactionalID: "t", ProducerID: id.ProducerID, Partitions: []TopicPartition{{"x", 0}},
			ClientTransactionVersion: 2}
		if err := c.AddPartitions(add); err != nil {
			t.Fatal(err)
		}
		for _, row := range []struct {
			passes time.Duration
			want   State
		}{{10*time.Second - 1, Ongoing}, {1, CompleteAbort}} {
			time.Sleep(row.passes) // of the bubble's clock
			synctest.Wait()
			if d, err := c.Describe("t"); err != nil || d.State != row.want {
				t.Errorf("state %v, %v, want %v", d.State, err, row.want)
			}
		}
		// A marker that fails is tried again soon, not at the next look for timeouts.
		w.mu.Lock()
		w.mu.failing[TopicPartition{"x", 0}] = errMarker
		w.mu.Unlock()
		add.ProducerEpoch = 1
		if err := c.AddPartitions(add); err != nil {
			t.Fatal(err)
		}
		if _, err := c.EndTxn(EndRequest{TransactionalID: "t", ProducerID: id.ProducerID, ProducerEpoch: 1, Commit: true,
			ClientTransactionVersion: 2}); !errors.Is(err, ErrConcurrentTransactions) {
			t.Fatal(err)
		}
		time.Sleep(500 * time.Millisecond)
		w.mu.Lock()
		clear(w.mu.failing)
		w.mu.Unlock()
		time.Sleep(maxRetry)
		synctest.Wait()
		if d, err := c.Describe("t"); err != nil || d.State != CompleteCommit {
			t.Error(d, err)
		}
		c.Close()
		if _, err := c.Describe("t"); !errors.Is(err, ErrCoordinatorNotAvailable) {
			t.Error(err)
		}
	})
}

func TestMetrics(t *testing.T) {
	w := newWorld()
	registry := prometheus.NewRegistry()
	c := loaded(t, w, func(cfg *Config) { cfg.Registerer = registry })
	id := mustInit(t, c, "t")
	add := AddRequest{TransactionalID: "t", ProducerID: id.ProducerID, Partitions: []TopicPartition{{"x", 0}},
		ClientTransactionVersion: 2}
	_ = c.AddPartitions(add)
	_, _ = c.EndTxn(EndRequest{TransactionalID: "t", ProducerID: id.ProducerID, Commit: true, ClientTransactionVersion: 2})
	_ = c.AddPartitions(add) // fenced
	mustInit(t, c, "u")
	_ = c.AddPartitions(AddRequest{TransactionalID: "u", ProducerID: id.ProducerID + 1, Partitions: add.Partitions})
	want := `txn_end_duration_seconds 1
txn_ended_total abort 0
txn_ended_total commit 1
txn_ended_total fenced 0
txn_ended_total timeout 0
txn_errors_total fenced 1
txn_late_requests_total 0
txn_open 1
txn_transactional_ids CompleteAbort 0
txn_transactional_ids CompleteCommit 1
txn_transactional_ids Empty 0
txn_transactional_ids Ongoing 1
txn_transactional_ids PrepareAbort 0
txn_transactional_ids PrepareCommit 0
txn_unfinished 0
`
	if got := scrape(t, registry); got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
	c.Close()
	if left, err := registry.Gather(); err != nil || len(left) != 0 {
		t.Error(left, err)
	}
}

// scrape returns a line for each value: name, labels, value; of a histogram the count.
func scrape(t *testing.T, registry *prometheus.Registry) string {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	for _, family := range families {
		for _, m := range family.GetMetric() {
			text.WriteString(family.GetName())
			for _, label := range m.GetLabel() {
				text.WriteString(" " + label.GetValue())
			}
			value := m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
			fmt.Fprintf(&text, " %g\n", value)
		}
	}
	return text.String()
}

func TestLimits(t *testing.T) {
	w := newWorld()
	c := loaded(t, w, func(cfg *Config) { cfg.MaxTransactionalIDs = 2 })
	mustInit(t, c, "a")
	mustInit(t, c, "b")
	if _, err := c.InitProducerID(InitRequest{TransactionalID: "c", ProducerID: -1, ProducerEpoch: -1,
		TimeoutMs: 1}); !errors.Is(err, ErrTooManyTransactionalIDs) {
		t.Error(err)
	}
	mustInit(t, c, "a")
	if _, err := c.InitProducerID(InitRequest{TransactionalID: strings.Repeat("x", 32768), ProducerID: -1,
		ProducerEpoch: -1, TimeoutMs: 1}); !errors.Is(err, ErrInvalidRequest) {
		t.Error(err)
	}
	if _, err := New(Config{Partitions: -1}); err == nil || strings.Count(err.Error(), "\n") != 3 {
		t.Error(err)
	}
}

// TestWallClockJump: when somebody sets the clock, nothing expires at the next look.
func TestWallClockJump(t *testing.T) {
	for _, row := range []struct {
		wall, monotonic time.Duration
		set             bool
	}{
		{time.Hour, time.Hour, false}, {time.Hour + time.Minute, time.Hour, false},
		{31 * 24 * time.Hour, time.Hour, true}, {-time.Hour, time.Hour, true}, {time.Hour, 24 * time.Hour, true},
	} {
		if got := wasSet(row.wall, row.monotonic); got != row.set {
			t.Errorf("wall %v, monotonic %v: %v", row.wall, row.monotonic, got)
		}
	}
}

// TestDeadlineAfterRestart: the wall clock was set back by a year while the broker was down.
func TestDeadlineAfterRestart(t *testing.T) {
	now := time.UnixMilli(1_000_000_000)
	for _, row := range []struct{ startedAgo, left time.Duration }{
		{2 * time.Second, 3 * time.Second}, {time.Hour, 0}, {-365 * 24 * time.Hour, 5 * time.Second},
	} {
		e := &entry{}
		e.mu.txn = Transaction{State: Ongoing, TimeoutMs: 5000, StartTimestampMs: now.Add(-row.startedAgo).UnixMilli()}
		if e.resume(now) || e.mu.deadline.Sub(now) != row.left {
			t.Errorf("started %v ago: %v left", row.startedAgo, e.mu.deadline.Sub(now))
		}
	}
}

func TestHighestProducerID(t *testing.T) {
	w := newWorld()
	c := loaded(t, w, nil)
	if got := c.HighestProducerID(); got != -1 {
		t.Error(got)
	}
	mustInit(t, c, "a")
	mustInit(t, c, "b")
	if got := loaded(t, w, nil).HighestProducerID(); got != 1001 {
		t.Error(got)
	}
}

// nowhere is a state log and a partition that keep nothing, for benchmarks.
type nowhere struct{}

func (nowhere) AppendCoordinator([]byte, durability.Answer) (Appended, error)   { return Appended{}, nil }
func (nowhere) Scan(_, _ int64, _ func(h batch.Header, raw []byte) error) error { return nil }
func (nowhere) LogStartOffset() int64                                           { return 0 }
func (nowhere) LogEndOffset() int64                                             { return 0 }
func (nowhere) LeaderEpoch() int32                                              { return 0 }
func (nowhere) ApplyMarker(batch.Marker, int16) error                           { return nil }
func (nowhere) HasOpenTransaction(int64) bool                                   { return true }

func benchmarkCoordinator(b *testing.B) (*Coordinator, Identity) {
	c := newWorld().coordinator(b, func(cfg *Config) {
		cfg.StateLogs = func(int32) StateLog { return nowhere{} }
		cfg.Participants = func(string, int32) (Participant, bool) { return nowhere{}, true }
		cfg.Clock = clock.Real{}
	})
	if err := c.Load(); err != nil {
		b.Fatal(err)
	}
	return c, mustInit(b, c, "t")
}

// BenchmarkTransaction is one add and one EndTxn over three partitions.
func BenchmarkTransaction(b *testing.B) {
	c, id := benchmarkCoordinator(b)
	parts := []TopicPartition{{"orders", 0}, {"orders", 1}, {"payments", 0}}
	b.ReportAllocs()
	for b.Loop() {
		if err := c.AddPartitions(AddRequest{TransactionalID: "t", ProducerID: id.ProducerID, ProducerEpoch: id.ProducerEpoch,
			Partitions: parts, ClientTransactionVersion: 2}); err != nil {
			b.Fatal(err)
		}
		next, err := c.EndTxn(EndRequest{TransactionalID: "t", ProducerID: id.ProducerID, ProducerEpoch: id.ProducerEpoch,
			Commit: true, ClientTransactionVersion: 2})
		if err != nil {
			b.Fatal(err)
		}
		id = next
	}
}

// BenchmarkAddAgain is the add of a partition that is already there, once a Produce request.
func BenchmarkAddAgain(b *testing.B) {
	c, id := benchmarkCoordinator(b)
	parts := []TopicPartition{{"orders", 0}}
	b.ReportAllocs()
	for b.Loop() {
		if err := c.AddPartitions(AddRequest{TransactionalID: "t", ProducerID: id.ProducerID, ProducerEpoch: id.ProducerEpoch,
			Partitions: parts, ClientTransactionVersion: 2}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkReplay(b *testing.B) {
	w := newWorld()
	c := loaded(b, w, nil)
	for n := range 10_000 {
		mustInit(b, c, fmt.Sprintf("producer-%d", n))
	}
	b.ReportAllocs()
	for b.Loop() {
		loaded(b, w, nil)
	}
}

// Markers that failed are tried again in real time, whatever the cluster's clock does.
func TestMarkersAreTriedAgainInRealTime(t *testing.T) {
	w, machine := newWorld(), clock.NewManual(startOfTime.Add(-time.Hour))
	c := w.coordinator(t, func(cfg *Config) { cfg.RealTime = machine })
	if err := c.Load(); err != nil {
		t.Fatal(err)
	}
	x := TopicPartition{"x", 0}
	cl := &client{version: 2}
	var err error
	if cl.id, err = c.InitProducerID(InitRequest{TransactionalID: "t", ProducerID: -1, ProducerEpoch: -1,
		TimeoutMs: 1000}); err != nil {
		t.Fatal(err)
	}
	if err := cl.add(c, x); err != nil {
		t.Fatal(err)
	}
	w.mu.failing[x] = errMarker
	if err := cl.end(c, true); !errors.Is(err, ErrConcurrentTransactions) {
		t.Errorf("the end answers %v", err)
	}
	w.mu.failing[x] = nil
	for _, step := range []struct {
		cluster, machine time.Duration
		markers          int
	}{{time.Hour, 0, 0}, {0, firstRetry - 1, 0}, {0, 1, 1}} {
		w.clock.Advance(step.cluster)
		machine.Advance(step.machine)
		c.retryDue(machine.Now())
		if got := len(w.mu.markers[x]); got != step.markers {
			t.Errorf("%v later, %v on the cluster's clock, there are %d markers, want %d", step.machine, step.cluster, got,
				step.markers)
		}
	}
}

// Markers are released while their transactions end, all the time: each transaction ends all the same, with one marker
// in each partition.
func TestReleasesRaceWithEnds(t *testing.T) {
	const clients, transactions = 4, 15
	w := newWorld()
	c := w.coordinator(t, nil)
	if err := c.Load(); err != nil {
		t.Fatal(err)
	}
	c.Start()
	var faults []*fault.Fault
	for _, point := range []fault.Point{fault.TxnMarker, fault.TxnComplete, fault.TxnPrepare} {
		f, err := w.points.Arm(fault.Rule{Point: point, Do: fault.Action{Hold: true}})
		if err != nil {
			t.Fatal(err)
		}
		faults = append(faults, f)
	}
	done := make(chan struct{})
	var releasing, working sync.WaitGroup
	for _, f := range faults {
		releasing.Go(func() {
			for f.Await(done, func(c fault.Counts) bool { return c.Held > 0 }) {
				f.Release()
			}
		})
	}
	for n := range clients {
		working.Go(func() {
			id := fmt.Sprint("t", n)
			producer, err := c.InitProducerID(InitRequest{TransactionalID: id, ProducerID: -1, ProducerEpoch: -1,
				TimeoutMs: 60_000})
			for i := 0; i < transactions && err == nil; i++ {
				add := AddRequest{TransactionalID: id, ProducerID: producer.ProducerID, ProducerEpoch: producer.ProducerEpoch,
					Partitions: []TopicPartition{{id, 0}, {id, 1}, {id, 2}}, ClientTransactionVersion: 2}
				for err = c.AddPartitions(add); errors.Is(err, ErrConcurrentTransactions); err = c.AddPartitions(add) {
					runtime.Gosched()
				}
				if err == nil {
					producer, err = c.EndTxn(EndRequest{TransactionalID: id, ProducerID: producer.ProducerID,
						ProducerEpoch: producer.ProducerEpoch, Commit: true, ClientTransactionVersion: 2})
				}
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	working.Wait()
	for n := range clients {
		id := fmt.Sprint("t", n)
		for d, err := c.Describe(id); err == nil && d.State != CompleteCommit; d, err = c.Describe(id) {
			runtime.Gosched()
		}
		for p := range int32(3) {
			w.mu.Lock()
			if got := len(w.mu.markers[TopicPartition{id, p}]); got != transactions {
				t.Errorf("%s-%d has %d markers, want %d", id, p, got, transactions)
			}
			w.mu.Unlock()
		}
	}
	close(done)
	releasing.Wait()
	if held := c.heldMarkers.Load(); held != 0 {
		t.Errorf("%d markers count as held", held)
	}
}
