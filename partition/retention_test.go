package partition

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"once/durability"
	"once/internal/clock"
	"once/internal/vfs"
	"once/log"
	"once/log/batch"
	"once/log/directory"
)

// shelf is a partition on any file system, for retention and compaction: small segments, a clock that
// the test moves.
type shelf struct {
	t       testing.TB
	fs      vfs.FS
	clock   *clock.Movable
	mode    durability.Mode
	boot    string
	barrier *durability.Barrier
	p       *Partition
	config  Config
	starts  int32
	sizes   log.Sizes
	// inflatedBytes is partition.Options.InflatedBytes.
	inflatedBytes int
	// registerer is for the metrics of the barrier; nil: none.
	registerer prometheus.Registerer
}

func newShelf(t testing.TB, fs vfs.FS) *shelf {
	t.Helper()
	s := &shelf{t: t, fs: fs, clock: clock.NewManual(time.UnixMilli(1_000_000)), boot: "boot-1"}
	s.config = Config{Log: log.Config{SegmentBytes: 350, IndexIntervalBytes: 100}}
	s.config.Rules = batch.DefaultRules()
	s.config.Rules.SegmentBytes = 1 << 20
	s.config.Retention = Retention{Delete: true, RetentionMs: -1, RetentionBytes: -1}
	if err := fs.MkdirAll("data"); err != nil {
		t.Fatal(err)
	}
	if m, ok := fs.(*vfs.Mem); ok {
		m.SyncAll()
	}
	return s
}

func (s *shelf) open() error {
	var err error
	s.barrier, err = durability.Open(durability.Options{FS: vfs.FileByFile(s.fs), Dir: "data", FindLogs: directory.Logs,
		BootID: s.boot, Mode: s.mode, Interval: time.Hour, RealTime: s.clock, Logger: quiet, Registerer: s.registerer})
	if err != nil {
		return err
	}
	s.p, err = Open(testID, Options{FS: s.fs, Dir: "data", Config: s.config, Barrier: s.barrier, LeaderEpoch: s.starts,
		Unverified: true, InflatedBytes: s.inflatedBytes, LogSizes: &s.sizes, Clock: s.clock, Logger: quiet})
	s.starts++
	return err
}

func (s *shelf) mustOpen() *Partition {
	s.t.Helper()
	if err := s.open(); err != nil {
		s.t.Fatal(err)
	}
	return s.p
}

// shut stops cleanly.
func (s *shelf) shut() {
	s.t.Helper()
	if err := errors.Join(s.p.Close(), s.barrier.Close(true)); err != nil {
		s.t.Fatal(err)
	}
}

// sync waits for a barrier, and for what it lets go.
func (s *shelf) sync() {
	s.t.Helper()
	for range 2 { // the first one's deletions are done before the second one ends
		if err := s.barrier.Sync(context.Background()); err != nil {
			s.t.Fatal(err)
		}
		s.p.log.SetStartOffset(s.p.LogStartOffset())
	}
}

// rec is a record to be sent; a value of "-" is null.
type rec struct{ key, value string }

func recordsOf(rs []rec) []batch.Record {
	records := make([]batch.Record, len(rs))
	for i, r := range rs {
		records[i] = batch.Record{OffsetDelta: int32(i), Key: []byte(r.key), Value: []byte(r.value)}
		if r.value == "-" {
			records[i].Value = nil
		}
	}
	return records
}

// send appends records now, without a producer.
func (s *shelf) send(rs ...rec) (Appended, error) {
	raw := batch.Build(batch.BuildOptions{ProducerID: -1, ProducerEpoch: -1, BaseSequence: -1, TimestampMs: s.nowMs(),
		LeaderEpoch: -1}, recordsOf(rs)...)
	return s.p.AppendClient(raw, 0, 9)
}

// sendAs appends records of an idempotent producer.
func (s *shelf) sendAs(producerID int64, epoch int16, sequence int32, transactional bool, rs ...rec) (Appended, error) {
	raw := batch.Build(batch.BuildOptions{
		ProducerID: producerID, ProducerEpoch: epoch, BaseSequence: sequence, Transactional: transactional,
		TimestampMs: s.nowMs(), LeaderEpoch: -1,
	}, recordsOf(rs)...)
	return s.p.AppendClient(raw, 0, 9)
}

func (s *shelf) end(producerID int64, epoch int16, kind batch.MarkerType) error {
	_, err := s.p.AppendMarker(batch.Marker{ProducerID: producerID, ProducerEpoch: epoch, Type: kind}, 0)
	return err
}

func (s *shelf) must(a Appended, err error) Appended {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
	return a
}

func (s *shelf) nowMs() int64 { return s.clock.Now().UnixMilli() }

func (s *shelf) files(suffix string) int {
	names, err := s.fs.List("data/x-0")
	if err != nil {
		s.t.Fatal(err)
	}
	n := 0
	for _, name := range names {
		if strings.HasSuffix(name, suffix) {
			n++
		}
	}
	return n
}

func (s *shelf) retain() Deleted {
	s.t.Helper()
	s.sync() // what no barrier has covered stays
	d, err := s.p.ApplyRetention(s.nowMs())
	if err != nil {
		s.t.Fatal(err)
	}
	return d
}

var filler = strings.Repeat("x", 100)

// fill sends n batches of one record, a second apart; two make a segment.
func (s *shelf) fill(n int) {
	s.t.Helper()
	for i := range n {
		s.must(s.send(rec{fmt.Sprint(i), filler}))
		s.clock.Advance(time.Second)
	}
}

func TestRetentionByTime(t *testing.T) {
	s := newShelf(t, vfs.NewMem())
	s.config.Retention.RetentionMs = 5_000
	s.mustOpen()
	s.fill(10) // segments end at 2, 4 … with the last record 8.9 s to 0.9 s old
	if d := s.retain(); d.Segments != 2 || s.p.LogStartOffset() != 4 {
		t.Fatalf("deleted %+v, log start offset %d", d, s.p.LogStartOffset())
	}
	s.clock.Advance(time.Hour)
	if d := s.retain(); d.Segments != 3 || s.p.LogStartOffset() != 10 { // all of it: a new segment first
		t.Fatalf("deleted %+v, log start offset %d", d, s.p.LogStartOffset())
	}
	if _, err := s.p.Read(ReadRequest{Offset: 0, MaxBytes: 1000, CurrentLeaderEpoch: -1,
		LastFetchedEpoch: -1}); !errors.Is(err, ErrOffsetOutOfRange) {
		t.Fatalf("read at 0: %v", err)
	}
	if d := s.retain(); d.Segments != 0 { // nothing is left but an empty segment
		t.Fatalf("deleted %+v", d)
	}
	s.sync()
	if n := s.files(".log"); n != 1 {
		t.Fatalf("%d files", n)
	}
	if a := s.must(s.send(rec{"k", "v"})); a.BaseOffset != 10 {
		t.Fatal(a)
	}
	s.shut()
	s.mustOpen()
	if o := must1(s.p.Offsets()); o.LogStartOffset != 10 || o.LogEndOffset != 11 {
		t.Fatalf("%+v", o)
	}
	s.shut()
}

func must1[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// A record stamped ahead keeps its segment until that time has passed; what is behind it stays as well.
func TestRetentionWaitsForTheFuture(t *testing.T) {
	s := newShelf(t, vfs.NewMem())
	s.config.Retention.RetentionMs = 1_000
	s.mustOpen()
	raw := batch.Build(batch.BuildOptions{ProducerID: -1, ProducerEpoch: -1, BaseSequence: -1,
		TimestampMs: s.nowMs() + 600_000, LeaderEpoch: -1}, recordsOf([]rec{{"k", filler}})...)
	s.must(s.p.AppendClient(raw, 0, 9))
	s.fill(5)
	s.clock.Advance(5 * time.Minute)
	if d := s.retain(); d.Segments != 0 {
		t.Fatalf("deleted %+v", d)
	}
	s.clock.Advance(5 * time.Minute)
	if d := s.retain(); d.Segments == 0 || s.p.LogStartOffset() != 6 {
		t.Fatalf("deleted %+v, log start offset %d", d, s.p.LogStartOffset())
	}
	s.shut()
}

func TestRetentionBySize(t *testing.T) {
	for _, c := range []struct{ keepSegments, extra, wantStart int64 }{{5, 0, 0}, {3, 0, 4}, {3, 1, 2}, {0, 0, 10},
		{0, 1, 8}} {
		s := newShelf(t, vfs.NewMem())
		s.mustOpen()
		s.fill(10)
		s.config.Retention.RetentionBytes = c.keepSegments*s.p.SizeBytes()/5 + c.extra
		s.p.SetConfig(s.config) // acts while running
		s.retain()
		if got := s.p.LogStartOffset(); got != c.wantStart {
			t.Errorf("keeping %d segments and %d bytes: log starts at %d, want %d", c.keepSegments, c.extra, got, c.wantStart)
		}
		if s.p.SizeBytes() < s.config.Retention.RetentionBytes {
			t.Errorf("%d bytes are left of %d", s.p.SizeBytes(), s.config.Retention.RetentionBytes)
		}
		s.shut()
	}
}

// Time and size count for the policy delete only, DeleteRecords always.
func TestRetentionObeysThePolicy(t *testing.T) {
	s := newShelf(t, vfs.NewMem())
	s.config.Retention = Retention{Delete: false, RetentionMs: 0, RetentionBytes: 0}
	s.mustOpen()
	s.fill(10)
	s.clock.Advance(time.Hour)
	if d := s.retain(); d.Segments != 0 {
		t.Fatalf("deleted %+v", d)
	}
	if _, err := s.p.DeleteRecords(5); err != nil {
		t.Fatal(err)
	}
	if d := s.retain(); d.Segments != 2 || s.p.LogStartOffset() != 5 {
		t.Fatalf("deleted %+v, log start offset %d", d, s.p.LogStartOffset())
	}
	s.shut()
}

// What readers do not see yet is not deleted: in fsync the high watermark waits for the barrier.
func TestRetentionStaysBelowTheHighWatermark(t *testing.T) {
	s := newShelf(t, vfs.NewMem())
	s.mode = durability.Fsync
	s.config.Retention.RetentionMs = 0
	s.mustOpen()
	s.fill(4)
	a := s.must(s.send(rec{"k", filler}))
	if err := a.Durable.Wait(context.Background()); err != nil {
		t.Fatal(err)
	}
	s.p.mu.Lock() // the view of a broker whose last batches no barrier has covered
	v := *s.p.view.Load()
	v.highWatermark, v.lastStable = 3, 3
	s.p.view.Store(&v)
	s.p.mu.Unlock()
	s.clock.Advance(time.Hour)
	if s.retain(); s.p.LogStartOffset() != 2 {
		t.Fatalf("log start offset %d, high watermark 3", s.p.LogStartOffset())
	}
	s.shut()
}

// A slice that was given out can be read to its end although its segment is gone.
func TestReaderKeepsDeletedSegment(t *testing.T) {
	s := newShelf(t, vfs.NewMem())
	s.config.Retention.RetentionBytes = 0
	s.mustOpen()
	s.fill(4)
	r, err := s.p.Read(ReadRequest{Offset: 0, MaxBytes: 1000, CurrentLeaderEpoch: -1, LastFetchedEpoch: -1})
	if err != nil {
		t.Fatal(err)
	}
	s.retain()
	s.sync()
	if n := s.files(".log"); n != 1 {
		t.Fatalf("%d files", n)
	}
	raw, err := r.Slice.ReadInto(nil)
	if err != nil {
		t.Fatal(err)
	}
	if h := must1(batch.ParseHeader(raw)); h.BaseOffset != 0 {
		t.Fatal(h)
	}
	r.Slice.Release()
	s.shut()
}

// Retention takes a producer's batches, not what is known of it: a retry is recognised and the next
// sequence is right, at once and after a restart, also when the snapshots had been lost (spec:
// reliability P14).
func TestProducersOutliveTheirBatches(t *testing.T) {
	for _, snapshots := range []string{"kept", "lost"} {
		t.Run(snapshots, func(t *testing.T) {
			s := newShelf(t, vfs.NewMem())
			s.config.Retention.RetentionMs = 1_000
			s.mustOpen()
			for i := range int32(6) {
				s.must(s.sendAs(7, 0, i, false, rec{"k", filler}))
			}
			if snapshots == "lost" {
				for _, offset := range s.p.log.Snapshots() {
					if err := s.p.log.RemoveSnapshot(offset); err != nil {
						t.Fatal(err)
					}
				}
			}
			s.clock.Advance(time.Hour)
			s.retain()
			if s.p.LogStartOffset() != 6 {
				t.Fatal(s.p.LogStartOffset())
			}
			for i := int32(1); i < 6; i++ {
				if a, err := s.sendAs(7, 0, i, false, rec{"k", filler}); err != nil || !a.Duplicate || a.BaseOffset != int64(i) {
					t.Fatalf("retry of %d: %+v, %v", i, a, err)
				}
			}
			s.sync()
			if n := s.files(".snapshot"); n != 1 {
				t.Fatalf("%d snapshots", n)
			}
			left := s.fs.(*vfs.Mem).Clone() // killed here
			s.shut()
			again := newShelf(t, left)
			again.mustOpen()
			if a, err := again.sendAs(7, 0, 5, false, rec{"k", filler}); err != nil || !a.Duplicate || a.BaseOffset != 5 {
				t.Fatalf("retry after restart: %+v, %v", a, err)
			}
			if _, err := again.sendAs(7, 0, 9, false, rec{"k", "v"}); !errors.Is(err, ErrOutOfOrderSequence) {
				t.Fatalf("a gap after restart: %v", err)
			}
			if a := again.must(again.sendAs(7, 0, 6, false, rec{"k", "v"})); a.BaseOffset != 6 {
				t.Fatal(a)
			}
			again.shut()
		})
	}
}

// An open transaction does not keep its data, but its last stable offset is never below the log start.
func TestRetentionMovesLastStableOffset(t *testing.T) {
	s := newShelf(t, vfs.NewMem())
	s.config.Retention.RetentionMs = 1_000
	s.mustOpen()
	s.must(s.sendAs(7, 0, 0, true, rec{"k", filler}))
	s.fill(5)
	if o := must1(s.p.Offsets()); o.LastStableOffset != 0 {
		t.Fatalf("%+v", o)
	}
	s.retain()
	if o := must1(s.p.Offsets()); o.LogStartOffset != 4 || o.LastStableOffset != 4 {
		t.Fatalf("%+v", o)
	}
	s.sync()
	s.shut()
	s.mustOpen() // the same after a restart
	if o := must1(s.p.Offsets()); o.LogStartOffset != 4 || o.LastStableOffset != 4 {
		t.Fatalf("%+v", o)
	}
	if err := s.end(7, 0, batch.Abort); err != nil {
		t.Fatal(err)
	}
	if o := must1(s.p.Offsets()); o.LastStableOffset != 7 {
		t.Fatalf("%+v", o)
	}
	s.clock.Advance(time.Hour)
	s.retain()
	if got := s.p.log.AbortedBetween(0, 100); len(got) != 0 {
		t.Fatalf("%v are aborted in an empty log", got)
	}
	s.shut()
}

// The process dies, or the machine does, at every file operation of a run with retention: what is not
// due is there, nothing below the log start is seen, the producer goes on.
func TestRetentionDeathAtEveryOperation(t *testing.T) {
	for _, power := range []bool{false, true} {
		for n := 0; ; n++ {
			mem := vfs.NewCrashable(int64(n))
			s := newShelf(t, mem)
			dying := vfs.DieAt(n, mem)
			s.fs = dying
			s.config.Retention.RetentionMs = 3_500
			start, sent := retentionStory(s)
			left := mem.Clone()
			if power {
				left = mem.CrashClone()
			}
			again := newShelf(t, left)
			again.config, again.clock, again.starts = s.config, s.clock, s.starts
			if power {
				again.boot = "boot-2"
			}
			if err := again.open(); err != nil {
				t.Fatalf("power cut %v, operation %d: %v", power, n, err)
			}
			o := must1(again.p.Offsets())
			// a power cut before the first barrier may leave a later segment's name alone
			if power && o.LogStartOffset == o.LogEndOffset {
				start = max(start, o.LogStartOffset)
			}
			if o.LogStartOffset > start || o.LogEndOffset > int64(sent)+1 || !power && o.LogEndOffset < int64(sent) {
				t.Fatalf("power cut %v, operation %d: %+v, start was %d, %d were sent", power, n, o, start, sent)
			}
			next := o.LogStartOffset
			err := again.p.Scan(o.LogStartOffset, o.LogEndOffset, func(h batch.Header, _ []byte) error {
				if h.BaseOffset > next {
					return fmt.Errorf("batch at %d, %d was due", h.BaseOffset, next)
				}
				next = h.NextOffset()
				return nil
			})
			if err != nil || next != o.LogEndOffset {
				t.Fatalf("power cut %v, operation %d: %v, ends at %d", power, n, err, next)
			}
			if a, err := again.sendAs(7, 0, int32(o.LogEndOffset), false, rec{"k", "v"}); err != nil ||
				a.BaseOffset != o.LogEndOffset || a.Duplicate {
				t.Fatalf("power cut %v, operation %d: next sequence: %+v, %v", power, n, a, err)
			}
			again.retain()
			again.shut()
			if s.barrier != nil {
				_ = s.barrier.Close(false)
			}
			if !dying.Fired() {
				break
			}
		}
	}
}

// retentionStory appends and deletes until something fails. It returns where the log started at most.
func retentionStory(s *shelf) (start int64, sent int) {
	if s.open() != nil {
		return 0, 0
	}
	for range 14 {
		if _, err := s.sendAs(7, 0, int32(sent), false, rec{"k", filler}); err != nil {
			return start, sent
		}
		sent++
		s.clock.Advance(time.Second)
		if sent%4 == 0 && (sent%8 == 0 || s.barrier.Sync(context.Background()) == nil) { // what no barrier has covered stays
			if _, err := s.p.ApplyRetention(s.nowMs()); err != nil {
				return s.p.log.StartOffset(), sent
			}
			start = s.p.LogStartOffset()
			if s.barrier.Sync(context.Background()) != nil {
				return start, sent
			}
		}
	}
	s.clock.Advance(time.Hour)
	_ = s.barrier.Sync(context.Background())
	_, _ = s.p.ApplyRetention(s.nowMs())
	_ = s.barrier.Sync(context.Background())
	return s.p.log.StartOffset(), sent
}
