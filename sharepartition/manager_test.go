package sharepartition

import (
	"errors"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"once/durability"
	"once/internal/clock"
	"once/internal/vfs"
	"once/log/batch"
	"once/log/directory"
	"once/partition"
	"once/settings"
	"once/sharecoordinator"
	"once/sharepartition/window"
)

var quiet = slog.New(slog.DiscardHandler)

// stateLog is a state log in memory.
type stateLog struct {
	batches [][]byte
	fail    error
}

func (l *stateLog) AppendCoordinator(raw []byte, _ durability.Answer) (sharecoordinator.Appended, error) {
	if l.fail != nil {
		return sharecoordinator.Appended{}, l.fail
	}
	batch.SetOffsetAndEpoch(raw, int64(len(l.batches)), 0)
	l.batches = append(l.batches, raw)
	return sharecoordinator.Appended{BaseOffset: int64(len(l.batches) - 1)}, nil
}

func (l *stateLog) Scan(from, to int64, fn func(h batch.Header, raw []byte) error) error {
	for _, raw := range l.batches[from:to] {
		h, err := batch.ParseHeader(raw)
		if err != nil {
			return err
		}
		if err := fn(h, raw); err != nil {
			return err
		}
	}
	return nil
}

func (l *stateLog) LogStartOffset() int64     { return 0 }
func (l *stateLog) LogEndOffset() int64       { return int64(len(l.batches)) }
func (l *stateLog) DeleteRecords(int64) error { return nil }

// world is a manager over one partition on a file system in memory. Both of its clocks are manual.
type world struct {
	t               testing.TB
	clock, realTime *clock.Movable
	log             *stateLog
	part            *partition.Partition
	settings        settings.ShareGroup
	enabled         bool
	states          *sharecoordinator.Coordinator
	m               *Manager
}

var topicID = [16]byte{1, 2, 3}

func newWorld(t testing.TB) *world {
	w := &world{
		t: t, clock: clock.NewManual(time.UnixMilli(1_000_000)), realTime: clock.NewManual(time.UnixMilli(0)),
		log:     &stateLog{},
		enabled: true, settings: settings.ShareGroup{
			LockDuration: 30 * time.Second, DeliveryCountLimit: 5, RecordLocks: 2000, RenewAcknowledge: true,
			OffsetReset: settings.ResetEarliest,
		},
	}
	w.openPartition()
	w.states = sharecoordinator.New(sharecoordinator.Config{
		StateLogs: func(int32) sharecoordinator.StateLog { return w.log }, Partitions: 1,
		Clock: clock.NewManual(time.UnixMilli(0)),
	})
	must(t, w.states.Load())
	t.Cleanup(w.states.Close)
	var err error
	w.m, err = New(Config{
		States:    w.states,
		Partition: func([16]byte, int32) (*partition.Partition, bool) { return w.part, true },
		Settings:  func(string) settings.ShareGroup { return w.settings }, Enabled: func() bool { return w.enabled },
		MaxSessions: 3, Clock: w.clock, RealTime: w.realTime, Logger: quiet,
	})
	must(t, err)
	t.Cleanup(w.m.Close)
	_, err = w.states.Initialize(w.key(), 1, -1)
	must(t, err)
	return w
}

func (w *world) openPartition() {
	fs := vfs.NewMem()
	must(w.t, fs.MkdirAll("data"))
	barrier, err := durability.Open(durability.Options{
		FS: fs, Dir: "data", FindLogs: directory.Logs, BootID: "boot", Interval: time.Hour, RealTime: w.realTime,
		Logger:    quiet,
		OnFailure: func(err error) { w.t.Error(err) },
	})
	must(w.t, err)
	w.part, err = partition.Open(partition.ID{Topic: "x", TopicID: topicID}, partition.Options{
		FS: fs, Dir: "data", Barrier: barrier, LeaderEpoch: 1, Clock: w.clock, Logger: quiet,
		Config: partition.Config{Rules: batch.Rules{
			MaxMessageBytes: 1 << 20, SegmentBytes: 1 << 30, TimestampBeforeMaxMs: math.MaxInt64,
			TimestampAfterMaxMs: math.MaxInt64, MaxInflatedBytes: 1 << 20,
		}},
	})
	must(w.t, err)
	w.t.Cleanup(func() {
		must(w.t, w.part.Close())
		must(w.t, barrier.Close(true))
	})
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func (w *world) key() Key { return Key{Group: "g", TopicID: topicID} }

// produce appends a batch of so many records.
func (w *world) produce(records int) {
	w.t.Helper()
	all := make([]batch.Record, records)
	for i := range all {
		all[i] = batch.Record{OffsetDelta: int32(i), Value: []byte("v")}
	}
	raw := batch.Build(batch.BuildOptions{ProducerID: -1, ProducerEpoch: -1, BaseSequence: -1, LeaderEpoch: -1,
		TimestampMs: w.clock.Now().UnixMilli()}, all...)
	_, err := w.part.AppendClient(raw, 0, 12)
	must(w.t, err)
}

// fetch returns what a member acquires, as first-last*count.
func (w *world) fetch(member string) string {
	w.t.Helper()
	got, err := w.m.Fetch(FetchRequest{
		Key: w.key(), Partition: w.part, MemberID: member, MaxRecords: 500, BatchSize: 500, MaxBytes: 1 << 20,
	})
	if err != nil {
		return err.Error()
	}
	defer got.Slice.Release()
	if got.Loading {
		return "loading"
	}
	var ranges []string
	for _, r := range got.Acquired {
		ranges = append(ranges, fmt.Sprintf("%d-%d*%d", r.FirstOffset, r.LastOffset, r.DeliveryCount))
	}
	return strings.Join(ranges, " ")
}

func (w *world) wantFetch(member, want string) {
	w.t.Helper()
	if got := w.fetch(member); got != want {
		w.t.Errorf("%s acquires %q, want %q", member, got, want)
	}
}

func (w *world) acknowledge(member string, first, last int64, kind window.AcknowledgeType) error {
	_, err := w.m.Acknowledge(w.key(), member, []window.Acknowledgement{{
		FirstOffset: first, LastOffset: last, Types: []window.AcknowledgeType{kind},
	}})
	return err
}

func (w *world) wantAcknowledged(member string, first, last int64, kind window.AcknowledgeType, want error) {
	w.t.Helper()
	if err := w.acknowledge(member, first, last, kind); !errors.Is(err, want) {
		w.t.Errorf("%s acknowledges %d-%d with type %d: %v, want %v", member, first, last, kind, err, want)
	}
}

// watch returns a waiter of the share partition.
func (w *world) watch() *partition.Waiter {
	waiter := partition.NewWaiter(false)
	w.m.Watch(w.key(), waiter)
	return waiter
}

func woken(waiter *partition.Waiter) bool {
	select {
	case <-waiter.C:
		return true
	default:
		return false
	}
}

// session begins or goes on with the session of a member.
func (w *world) session(member string, epoch int32, conn int64, add ...TopicPartition) (*Session, error) {
	s, _, err := w.m.Update(SessionRequest{Group: "g", Member: member, Epoch: epoch, Conn: conn, Add: add})
	return s, err
}

func (w *world) mustBegin(member string, conn int64) *Session {
	w.t.Helper()
	s, err := w.session(member, InitialEpoch, conn, TopicPartition{TopicID: topicID})
	must(w.t, err)
	return s
}

// share.version 0 ends sessions and locks; what was stored comes back with version 1 (spec: share-groups SG-64).
func TestDropAllEndsSessionsAndLocks(t *testing.T) {
	w := newWorld(t)
	w.produce(5)
	w.mustBegin("m1", 1)
	w.wantFetch("m1", "0-4*1")
	must(t, w.acknowledge("m1", 0, 0, window.Accept))
	must(t, w.acknowledge("m1", 3, 3, window.Release))
	w.wantFetch("m1", "3-3*2")
	waiter := w.watch()
	w.enabled = false
	w.m.DropAll()
	if !woken(waiter) {
		t.Error("a waiting fetch is not woken")
	}
	if _, err := w.session("m1", 1, 1); !errors.Is(err, ErrSessionNotFound) {
		t.Errorf("the session: %v", err)
	}
	w.wantAcknowledged("m1", 1, 1, window.Accept, ErrNotLoaded)
	w.wantFetch("m1", "loading")
	if at, ok := w.clock.Next(); ok {
		t.Errorf("a timer is set for %v", at)
	}
	w.m.Disconnected(1) // of which no session is left
	w.enabled = true
	w.wantFetch("m2", "1-2*1 3-3*2 4-4*1")
}

// A fetch that has passed its checks before share.version was lowered loads nothing afterwards.
func TestNothingIsLoadedWhileShareGroupsAreOff(t *testing.T) {
	w := newWorld(t)
	w.produce(1)
	w.enabled = false
	w.wantFetch("m1", "loading")
	if _, err := w.m.Acknowledge(w.key(), "m1", nil); !errors.Is(err, ErrNotLoaded) {
		t.Errorf("after a fetch: %v", err)
	}
}

// Locks end by the cluster's clock, to the millisecond (spec: share-groups 11, SG-37).
func TestLocksEnd(t *testing.T) {
	w := newWorld(t)
	w.produce(3)
	w.wantFetch("m1", "0-2*1")
	waiter := w.watch()
	w.clock.Advance(30*time.Second - time.Millisecond)
	w.wantFetch("m2", "")
	if woken(waiter) {
		t.Error("a waiting fetch is woken before the locks end")
	}
	stored := w.log.LogEndOffset()
	w.clock.Advance(time.Millisecond)
	if !woken(waiter) {
		t.Error("a waiting fetch is not woken")
	}
	if w.log.LogEndOffset() != stored+1 {
		t.Errorf("%d records say that three locks have ended", w.log.LogEndOffset()-stored)
	}
	w.wantAcknowledged("m1", 0, 2, window.Accept, window.ErrInvalidState)
	w.wantFetch("m2", "0-2*2")
	w.wantAcknowledged("m1", 0, 2, window.Accept, window.ErrInvalidState)
	w.wantAcknowledged("m2", 0, 2, window.Accept, nil)
	if at, ok := w.clock.Next(); ok {
		w.clock.Advance(at.Sub(w.clock.Now()))
	}
	if at, ok := w.clock.Next(); ok {
		t.Errorf("nothing is acquired, and a timer is set for %v", at)
	}
}

// A renewed lock ends its duration after the renewal, each record by itself (spec: share-groups SG-38).
func TestRenewedLocksEndLater(t *testing.T) {
	w := newWorld(t)
	w.produce(3)
	w.wantFetch("m1", "0-2*1")
	w.clock.Advance(20 * time.Second)
	stored := w.log.LogEndOffset()
	w.wantAcknowledged("m2", 1, 1, window.Renew, window.ErrInvalidState)
	w.wantAcknowledged("m1", 1, 1, window.Renew, nil)
	if w.log.LogEndOffset() != stored {
		t.Error("a renewal is stored")
	}
	w.clock.Advance(10 * time.Second)
	w.wantFetch("m2", "0-0*2 2-2*2")
	w.clock.Advance(20*time.Second - time.Millisecond)
	w.wantAcknowledged("m1", 1, 1, window.Renew, nil) // again, at the last moment
	w.clock.Advance(time.Millisecond)
	w.wantFetch("m3", "")
	w.clock.Advance(10 * time.Second)
	w.wantFetch("m3", "0-0*3 2-2*3")
	w.clock.Advance(20 * time.Second)
	w.wantFetch("m4", "1-1*2")
	w.settings.RenewAcknowledge = false
	w.wantAcknowledged("m4", 1, 1, window.Renew, window.ErrInvalidState)
}

// Locks that run keep their duration (spec: share-groups SG-79).
func TestLongerLocksAreForNewAcquisitions(t *testing.T) {
	w := newWorld(t)
	w.settings.LockDuration = 2 * time.Second
	w.produce(1)
	w.wantFetch("m1", "0-0*1")
	w.settings.LockDuration = 20 * time.Second
	w.produce(1)
	w.wantFetch("m2", "1-1*1")
	w.clock.Advance(2 * time.Second)
	w.wantFetch("m3", "0-0*2")
	w.clock.Advance(17 * time.Second)
	w.wantFetch("m4", "")
	w.clock.Advance(time.Second)
	w.wantFetch("m4", "1-1*2")
}

// While the end of locks cannot be stored records stay acquired, and their owner may acknowledge them.
func TestEndOfLocksIsTriedAgain(t *testing.T) {
	w := newWorld(t)
	w.produce(2)
	w.wantFetch("m1", "0-1*1")
	w.log.fail = errors.New("full")
	w.clock.Advance(time.Minute)
	w.wantFetch("m2", "")
	w.realTime.Advance(retryAfterFailedWrite)
	w.wantFetch("m2", "")
	w.log.fail = nil
	w.wantAcknowledged("m1", 0, 0, window.Accept, nil)
	w.realTime.Advance(retryAfterFailedWrite)
	w.wantFetch("m2", "1-1*2")
}

// An acknowledgement that is not stored has not happened (spec: share-groups SG-89).
func TestAcknowledgementThatIsNotStoredHasNotHappened(t *testing.T) {
	w := newWorld(t)
	w.produce(3)
	w.wantFetch("m1", "0-2*1")
	w.log.fail = errors.New("full")
	w.wantAcknowledged("m1", 0, 2, window.Accept, sharecoordinator.ErrNotWritten)
	w.wantFetch("m2", "")
	w.log.fail = nil
	w.wantAcknowledged("m1", 0, 2, window.Accept, nil)
	if start, finished, _, err := w.m.State(w.key()); start != 3 || finished != 0 || err != nil {
		t.Errorf("start offset %d, %d finished, %v", start, finished, err)
	}
}

// A session that ends gives back what its member owns, in forgotten partitions, too; a new session of the member and a
// renewed one keep it (spec: share-groups SG-27, SG-28).
func TestEndOfASessionReleases(t *testing.T) {
	w := newWorld(t)
	w.produce(2)
	w.mustBegin("m1", 1)
	w.wantFetch("m1", "0-1*1")
	s := w.mustBegin("m1", 1) // replaces the first one
	w.wantFetch("m2", "")
	_, parts, err := w.m.Update(SessionRequest{Group: "g", Member: "m1", Epoch: 1, Conn: 1,
		Forget: []TopicPartition{{TopicID: topicID}}})
	if err != nil || len(parts) != 0 {
		t.Errorf("after forgetting the partition: %v, %v", parts, err)
	}
	w.wantFetch("m2", "")
	w.m.End(s)
	w.m.End(s) // which has no effect
	w.wantFetch("m2", "0-1*2")
	if n := w.m.Sessions(); n != 0 {
		t.Errorf("%d sessions", n)
	}
}

// A session may name as many partitions as a request has room for: the time for that is in proportion to their number,
// so that nobody else waits for a session. With a search for each partition this takes minutes.
func TestSessionOfManyPartitions(t *testing.T) {
	w := newWorld(t)
	const n = 500_000
	many := make([]TopicPartition, n)
	for i := range many {
		many[i] = TopicPartition{TopicID: topicID, Partition: int32(i)}
	}
	if _, parts, err := w.m.Update(SessionRequest{Group: "g", Member: "m1",
		Add: slices.Concat(many, many)}); len(parts) != n || err != nil {
		t.Errorf("%d partitions, %v", len(parts), err)
	}
	s, parts, err := w.m.Update(SessionRequest{Group: "g", Member: "m1", Epoch: 1, Forget: many[1:]})
	if !slices.Equal(parts, many[:1]) || err != nil {
		t.Errorf("after forgetting all but one: %d partitions, %v", len(parts), err)
	}
	if got := s.all(); len(got) != n || got[0] != many[0] {
		t.Errorf("the session has had %d partitions", len(got))
	}
}

// A connection that ends takes all of its sessions along, and no others (spec: share-groups SG-29).
func TestDisconnectEndsTheSessionsOfTheConnection(t *testing.T) {
	w := newWorld(t)
	w.produce(1)
	w.mustBegin("m1", 1)
	w.wantFetch("m1", "0-0*1")
	w.mustBegin("m2", 1)
	w.mustBegin("m3", 2)
	w.m.Disconnected(1)
	if _, err := w.session("m3", 1, 2); err != nil || w.m.Sessions() != 1 {
		t.Errorf("%d sessions, that of the other connection: %v", w.m.Sessions(), err)
	}
	w.wantFetch("m3", "0-0*2")
}

// Epochs of a session (spec: share-groups 7, SG-12, SG-87), and the limit of sessions (SG-43).
func TestSessionEpochsAndLimit(t *testing.T) {
	w := newWorld(t)
	if _, err := w.session("m1", 3, 1); !errors.Is(err, ErrSessionNotFound) {
		t.Errorf("no session: %v", err)
	}
	if _, _, err := w.m.Update(SessionRequest{Group: "g", Member: "m1", Acknowledges: true}); !errors.Is(err,
		ErrSessionBegins) {
		t.Errorf("acknowledgements at the begin: %v", err)
	}
	if _, _, err := w.m.Update(SessionRequest{Group: "g", Member: "m1", OnlyAcknowledges: true}); !errors.Is(err,
		ErrSessionEpoch) {
		t.Errorf("a ShareAcknowledge at the begin: %v", err)
	}
	s := w.mustBegin("m1", 1)
	if _, err := w.session("m1", 2, 1); !errors.Is(err, ErrSessionEpoch) {
		t.Errorf("an epoch ahead: %v", err)
	}
	if _, err := w.session("m1", 1, 1); err != nil {
		t.Errorf("the next epoch: %v", err)
	}
	s.mu.Lock()
	s.mu.epoch = math.MaxInt32
	s.mu.Unlock()
	if _, err := w.session("m1", math.MaxInt32, 1); err != nil {
		t.Errorf("the last epoch: %v", err)
	}
	if _, err := w.session("m1", 1, 1); err != nil {
		t.Errorf("after the last epoch comes 1: %v", err)
	}
	w.mustBegin("m2", 1)
	w.mustBegin("m3", 1)
	if _, err := w.session("m4", InitialEpoch, 1); !errors.Is(err, ErrSessionLimit) {
		t.Errorf("a fourth of three sessions: %v", err)
	}
	w.mustBegin("m3", 1) // begins anew
}

// State that is set anew replaces what is loaded (spec: share-groups SG-94).
func TestNewStateReplacesTheWindow(t *testing.T) {
	w := newWorld(t)
	w.produce(5)
	w.wantFetch("m1", "0-4*1")
	_, err := w.states.Initialize(w.key(), 2, 3)
	must(t, err)
	w.m.Drop(w.key())
	w.wantAcknowledged("m1", 0, 4, window.Accept, ErrNotLoaded)
	w.wantFetch("m2", "3-4*1")
	w.wantAcknowledged("m1", 0, 0, window.Accept, nil) // below the start offset
	w.wantAcknowledged("m1", 3, 3, window.Accept, window.ErrInvalidState)
	_, err = w.states.Delete(w.key())
	must(t, err)
	w.m.Drop(w.key())
	if got := w.fetch("m2"); got != sharecoordinator.ErrNoState.Error() {
		t.Errorf("without state: %s", got)
	}
}
