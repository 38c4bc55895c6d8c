package txncoordinator

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"once/durability"
	"once/internal/clock"
	"once/internal/fault"
	"once/internal/script"
	"once/log/batch"
	"once/pidmanager"
)

var (
	errStateLog = errors.New("state log fails")
	errMarker   = errors.New("participant fails")
	errTooOld   = errors.New("participant knows a newer epoch")
	errNoneLeft = errors.New("no producer ID left")
	startOfTime = time.UnixMilli(1_000_000)
	codes       = script.Codes{
		{ErrInvalidRequest, "INVALID_REQUEST"}, {ErrInvalidTransactionTimeout, "INVALID_TRANSACTION_TIMEOUT"},
		{ErrNotCoordinator, "NOT_COORDINATOR"},
		{ErrCoordinatorLoading, "COORDINATOR_LOAD_IN_PROGRESS"}, {ErrCoordinatorNotAvailable, "COORDINATOR_NOT_AVAILABLE"},
		{ErrConcurrentTransactions, "CONCURRENT_TRANSACTIONS"}, {ErrFenced, "PRODUCER_FENCED"},
		{ErrInvalidProducerIDMapping, "INVALID_PRODUCER_ID_MAPPING"}, {ErrInvalidTxnState, "INVALID_TXN_STATE"},
		{ErrPartitionNotInTransaction, "TRANSACTION_ABORTABLE"}, {ErrTransactionalIDNotFound, "TRANSACTIONAL_ID_NOT_FOUND"},
		{pidmanager.ErrFencedEpoch, "INVALID_PRODUCER_EPOCH"}, {pidmanager.ErrInvalidTxnState, "INVALID_TXN_STATE"},
		{ErrInvalidPattern, "INVALID_REGULAR_EXPRESSION"}, {ErrTooManyTransactionalIDs, "POLICY_VIOLATION"},
	}
)

// world is everything around a coordinator, in memory, and survives its crashes: state logs, partitions
// that take markers, producer IDs, the clock. It traces what is written.
type world struct {
	clock  *clock.Movable
	points *fault.Points
	mu     struct {
		sync.Mutex
		trace       []string
		stateLogs   map[int32]*memStateLog
		leaderEpoch int32
		nextPID     int64
		noPIDs      bool
		version     int16
		markers     map[TopicPartition][]batch.Marker
		producers   map[TopicPartition]*pidmanager.Producers
		failing     map[TopicPartition]error
		held        map[TopicPartition]*hold // to be stopped when they come by
		stopped     map[TopicPartition]*hold
		gone        map[string]bool
		failAppends bool
		logged      []string // warnings and errors

		crash script.Crash // kinds of writes: prepare, complete, empty, ongoing, tombstone, marker
	}
}

type hold struct{ reached, release chan struct{} }

func newWorld() *world {
	w := &world{clock: clock.NewManual(startOfTime), points: fault.NewPoints()}
	w.mu.stateLogs = map[int32]*memStateLog{}
	w.mu.markers, w.mu.failing = map[TopicPartition][]batch.Marker{}, map[TopicPartition]error{}
	w.mu.producers = map[TopicPartition]*pidmanager.Producers{}
	w.mu.held, w.mu.stopped, w.mu.gone = map[TopicPartition]*hold{}, map[TopicPartition]*hold{}, map[string]bool{}
	w.mu.nextPID, w.mu.version = 1000, 2
	return w
}

// coordinator returns a new one on this world's state logs, not loaded.
func (w *world) coordinator(t testing.TB, change func(*Config)) *Coordinator {
	t.Helper()
	w.mu.Lock()
	w.mu.leaderEpoch++
	w.mu.crash.At("")
	w.mu.Unlock()
	cfg := Config{
		Partitions: 1, StateLogs: w.stateLog, ProducerIDs: w, Participants: w.participant,
		Refused:            func(err error) bool { return errors.Is(err, errTooOld) },
		TransactionVersion: func() int16 { w.mu.Lock(); defer w.mu.Unlock(); return w.mu.version },
		Clock:              w.clock, RealTime: w.clock, Logger: slog.New(warnings{slog.DiscardHandler, w}), Faults: w.points,
	}
	if change != nil {
		change(&cfg)
	}
	c, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// due does what a started coordinator does by itself.
func (w *world) due(c *Coordinator) {
	c.retryDue(w.clock.Now())
	c.abortTimedOut()
	c.removeUnused()
}

func (w *world) stateLog(partition int32) StateLog {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.mu.stateLogs[partition] == nil {
		w.mu.stateLogs[partition] = &memStateLog{world: w}
	}
	return w.mu.stateLogs[partition]
}

// Next hands out producer IDs.
func (w *world) Next() (int64, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.mu.noPIDs {
		return 0, errNoneLeft
	}
	w.mu.nextPID++
	return w.mu.nextPID - 1, nil
}

func (w *world) participant(topic string, partition int32) (Participant, bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return &memPartition{w, TopicPartition{topic, partition}}, !w.mu.gone[topic]
}

// wait stops at a place that a script holds; the state log is held as state-log-0. Only the first one that
// comes by is held.
func (w *world) wait(at TopicPartition) {
	w.mu.Lock()
	h := w.mu.held[at]
	if h != nil {
		delete(w.mu.held, at)
		w.mu.stopped[at] = h
	}
	w.mu.Unlock()
	if h != nil {
		close(h.reached)
		<-h.release
	}
}

// memStateLog keeps batches and forgets the rest.
type memStateLog struct {
	world   *world
	batches [][]byte
}

func (l *memStateLog) AppendCoordinator(raw []byte, _ durability.Answer) (Appended, error) {
	w := l.world
	w.wait(TopicPartition{"state-log", 0})
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.mu.failAppends {
		return Appended{}, errStateLog
	}
	text, kind := describeBatch(raw)
	offset := int64(len(l.batches))
	err := w.mu.crash.Write(kind, func() {
		batch.SetOffsetAndEpoch(raw, offset, w.mu.leaderEpoch)
		l.batches = append(l.batches, raw)
		w.mu.trace = append(w.mu.trace, "append "+text)
	})
	return Appended{BaseOffset: offset}, err
}

func (l *memStateLog) Scan(from, to int64, fn func(h batch.Header, raw []byte) error) error {
	l.world.mu.Lock()
	batches := l.batches[from:to]
	l.world.mu.Unlock()
	for _, raw := range batches {
		h, err := batch.Verify(raw)
		if err != nil {
			return err
		}
		if err := fn(h, raw); err != nil {
			return err
		}
	}
	return nil
}

func (l *memStateLog) LogStartOffset() int64 { return 0 }

func (l *memStateLog) LogEndOffset() int64 {
	l.world.mu.Lock()
	defer l.world.mu.Unlock()
	return int64(len(l.batches))
}

func (l *memStateLog) LeaderEpoch() int32 {
	l.world.mu.Lock()
	defer l.world.mu.Unlock()
	return l.world.mu.leaderEpoch
}

// describeBatch returns the record of a batch as scripts show it, and its kind for crashes.
func describeBatch(raw []byte) (text, kind string) {
	for r, err := range batch.Records(raw, 1<<20) {
		if err != nil {
			return err.Error(), "broken"
		}
		id, err := decodeKey(r.Key)
		if err != nil {
			return err.Error(), "broken"
		}
		if r.Value == nil {
			return id + " tombstone", "tombstone"
		}
		t, err := decodeValue(id, r.Value)
		if err != nil {
			return err.Error(), "broken"
		}
		switch t.State {
		case PrepareCommit, PrepareAbort:
			kind = "prepare"
		case CompleteCommit, CompleteAbort:
			kind = "complete"
		default:
			kind = strings.ToLower(t.State.String())
		}
		return describeImage(&t), kind
	}
	return "no record", "broken"
}

func describeImage(t *Transaction) string {
	text := fmt.Sprintf("%s %v producer=%d epoch=%d %v", t.TransactionalID, t.State, t.ProducerID, t.ProducerEpoch,
		t.Partitions)
	if t.PreviousProducerID != t.ProducerID {
		text += fmt.Sprintf(" previous_producer=%d", t.PreviousProducerID)
	}
	if t.NextProducerID != NoProducerID {
		text += fmt.Sprintf(" next_producer=%d", t.NextProducerID)
	}
	text += fmt.Sprintf(" start=%s timeout=%d", sinceStart(t.StartTimestampMs), t.TimeoutMs)
	if t.ClientTransactionVersion != 0 {
		text += fmt.Sprintf(" transaction_version=%d", t.ClientTransactionVersion)
	}
	return text
}

func sinceStart(ms int64) string {
	if ms < 0 {
		return strconv.FormatInt(ms, 10)
	}
	return "+" + time.UnixMilli(ms).Sub(startOfTime).String()
}

// memPartition knows its producers and takes markers.
type memPartition struct {
	world *world
	id    TopicPartition
}

func (p *memPartition) producersLocked() *pidmanager.Producers {
	all := p.world.mu.producers
	if all[p.id] == nil {
		all[p.id] = &pidmanager.Producers{}
	}
	return all[p.id]
}

func (p *memPartition) BeginVerification(producerID int64, producerEpoch int16, baseSequence int32, adds bool) (Guard,
	bool, error) {
	p.world.mu.Lock()
	defer p.world.mu.Unlock()
	return p.producersLocked().BeginVerification(producerID, producerEpoch, baseSequence, adds,
		p.world.clock.Now().UnixMilli())
}

// append appends a record of a transaction.
func (p *memPartition) append(producerID int64, producerEpoch int16, guard Guard) error {
	p.world.mu.Lock()
	defer p.world.mu.Unlock()
	h := batch.Header{
		Attributes: transactional, ProducerID: producerID, ProducerEpoch: producerEpoch, BaseSequence: -1, RecordCount: 1,
	}
	if err := p.producersLocked().Check(&h, pidmanager.Coordinator, guard, true); err != nil {
		return err
	}
	p.producersLocked().Apply(&h)
	return nil
}

// transactional is the attribute of a batch that is part of a transaction.
const transactional = 0x10

func (p *memPartition) ApplyMarker(m batch.Marker, transactionVersion int16) error {
	w := p.world
	w.wait(p.id)
	w.mu.Lock()
	defer w.mu.Unlock()
	if err := w.mu.failing[p.id]; err != nil {
		return err
	}
	known := w.mu.markers[p.id]
	if len(known) > 0 && known[len(known)-1].CoordinatorEpoch > m.CoordinatorEpoch {
		return errTooOld
	}
	return w.mu.crash.Write("marker", func() {
		w.mu.markers[p.id] = append(w.mu.markers[p.id], m)
		p.producersLocked().ApplyMarker(m)
		w.mu.trace = append(w.mu.trace,
			fmt.Sprintf("marker %v producer=%d epoch=%d transaction_version=%d coordinator=%d → %v",
				m.Type, m.ProducerID, m.ProducerEpoch, transactionVersion, m.CoordinatorEpoch, p.id))
	})
}

func (p *memPartition) HasOpenTransaction(producerID int64) bool {
	p.world.mu.Lock()
	defer p.world.mu.Unlock()
	e, ok := p.producersLocked().Get(producerID)
	return ok && e.TxnFirstOffset >= 0
}

// warnings keeps the messages of warnings and errors.
type warnings struct {
	slog.Handler
	world *world
}

func (h warnings) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelWarn }

func (h warnings) Handle(_ context.Context, r slog.Record) error {
	h.world.mu.Lock()
	defer h.world.mu.Unlock()
	h.world.mu.logged = append(h.world.mu.logged, r.Message)
	return nil
}

func (h warnings) WithAttrs([]slog.Attr) slog.Handler { return h }

// takeTrace returns what was written since the last time.
func (w *world) takeTrace() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	trace := w.mu.trace
	w.mu.trace = nil
	return trace
}
