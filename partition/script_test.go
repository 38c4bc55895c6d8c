package partition

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"path/filepath"
	"sort"
	"strings"
	"testing"
	"time"

	"once/internal/clock"
	"once/internal/script"
	"once/internal/vfs"
	"once/log"
	"once/log/batch"
)

// world is one partition on a file system in memory, which scripts talk to.
type world struct {
	t       *testing.T
	fs      *vfs.Mem
	clock   *clock.Movable
	barrier *log.Barrier
	p       *Partition
	starts  int32
	verify  bool
	config  Config
	guards  map[string]Guard
}

var testID = ID{Topic: "x", TopicID: [16]byte{1, 2, 3}, Index: 0}

func newWorld(t *testing.T) *world {
	w := &world{t: t, fs: vfs.NewMem(), clock: clock.NewManual(time.UnixMilli(1_000_000)), verify: true, guards: map[string]Guard{}}
	w.config = Config{Rules: batch.Rules{
		MaxMessageBytes: 1 << 20, SegmentBytes: 1 << 30, TimestampBeforeMaxMs: math.MaxInt64, TimestampAfterMaxMs: 3_600_000, MaxInflatedBytes: 1 << 20,
	}}
	w.open()
	t.Cleanup(func() { w.close(true) })
	return w
}

func (w *world) open() {
	w.t.Helper()
	if err := w.fs.MkdirAll("data"); err != nil {
		w.t.Fatal(err)
	}
	var err error
	w.barrier, err = log.OpenBarrier(log.BarrierOptions{FS: w.fs, Dir: "data", BootID: "boot", Interval: time.Second, RealTime: w.clock, Logger: quiet, OnFailure: func(err error) { w.t.Error(err) }})
	if err != nil {
		w.t.Fatal(err)
	}
	w.p, err = Open(testID, Options{
		FS: w.fs, Dir: "data", Config: w.config, Barrier: w.barrier, LeaderEpoch: w.starts, Unverified: !w.verify, Clock: w.clock, Logger: quiet,
	})
	if err != nil {
		w.t.Fatal(err)
	}
	w.starts++
}

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

func (w *world) close(clean bool) {
	if w.p == nil {
		return
	}
	if clean {
		if err := w.p.Close(); err != nil {
			w.t.Error(err)
		}
		if err := w.barrier.Close(true); err != nil {
			w.t.Error(err)
		}
	}
	w.p = nil
}

// word names an error by the code that clients get.
func word(err error) string {
	for _, x := range []struct {
		err  error
		word string
	}{
		{ErrFencedEpoch, "INVALID_PRODUCER_EPOCH"}, {ErrOutOfOrderSequence, "OUT_OF_ORDER_SEQUENCE_NUMBER"}, {ErrInvalidTxnState, "INVALID_TXN_STATE"},
		{ErrCoordinatorFenced, "TRANSACTION_COORDINATOR_FENCED"}, {ErrOffsetOutOfRange, "OFFSET_OUT_OF_RANGE"}, {ErrOffline, "KAFKA_STORAGE_ERROR"},
		{batch.ErrInvalidTimestamp, "INVALID_TIMESTAMP"}, {batch.ErrInvalidRecord, "INVALID_RECORD"}, {batch.ErrTooLarge, "MESSAGE_TOO_LARGE"},
	} {
		if errors.Is(err, x.err) {
			return x.word
		}
	}
	return err.Error()
}

func (w *world) int(c script.Command, name string, otherwise int) int {
	return int(c.Int(w.t, name, int64(otherwise)))
}

func (w *world) build(c script.Command) []byte {
	n := w.int(c, "n", 1)
	records := make([]batch.Record, n)
	for i := range records {
		records[i] = batch.Record{OffsetDelta: int32(i), Key: []byte("k"), Value: []byte("v")}
	}
	return batch.Build(batch.BuildOptions{
		ProducerID: int64(w.int(c, "pid", -1)), ProducerEpoch: int16(w.int(c, "epoch", -1)), BaseSequence: int32(w.int(c, "seq", -1)),
		Transactional: c.Has("txn"), TimestampMs: int64(w.int(c, "time", int(w.clock.Now().UnixMilli()))), LeaderEpoch: -1,
	}, records...)
}

// guard returns the proof that an append carries: one taken before, a fresh one, or none.
func (w *world) guard(c script.Command) (Guard, error) {
	if c.Has("guard") {
		return w.guards[c.String("guard", "")], nil
	}
	if !c.Has("verified") {
		return 0, nil
	}
	g, _, err := w.p.BeginVerification(int64(w.int(c, "pid", -1)), int16(w.int(c, "epoch", -1)), int32(w.int(c, "seq", -1)), c.Has("v2"))
	return g, err
}

func (w *world) run(t *testing.T, c script.Command) string {
	switch c.Name {
	case "append":
		g, err := w.guard(c)
		if err != nil {
			return word(err)
		}
		a, err := w.p.AppendClient(w.build(c), g, 12)
		return describe(a, err)
	case "offsets-batch": // as the group coordinator writes: no sequence
		g, err := w.guard(c)
		if err != nil {
			return word(err)
		}
		a, err := w.p.AppendTransactionalOffsets(w.build(c), g)
		return describe(a, err)
	case "verify":
		g, needed, err := w.p.BeginVerification(int64(w.int(c, "pid", -1)), int16(w.int(c, "epoch", -1)), int32(w.int(c, "seq", -1)), c.Has("v2"))
		if err != nil {
			return word(err)
		}
		w.guards[c.String("guard", "")] = g
		return fmt.Sprintf("needed=%v", needed)
	case "commit", "abort":
		kind := batch.Commit
		if c.Name == "abort" {
			kind = batch.Abort
		}
		a, err := w.p.AppendMarker(batch.Marker{ProducerID: int64(w.int(c, "pid", -1)), ProducerEpoch: int16(w.int(c, "epoch", -1)), Type: kind, CoordinatorEpoch: int32(w.int(c, "coordinator", 0))}, int16(w.int(c, "version", 0)))
		return describe(a, err)
	case "offsets":
		o, err := w.p.Offsets()
		if err != nil {
			return word(err)
		}
		return fmt.Sprintf("log_start=%d last_stable=%d high_watermark=%d log_end=%d", o.LogStartOffset, o.LastStableOffset, o.HighWatermark, o.LogEndOffset)
	case "producers":
		return w.producers(t)
	case "read":
		return w.read(t, c)
	case "expire":
		return fmt.Sprintf("expired=%d", w.p.ExpireProducers(w.clock.Now().UnixMilli(), int64(w.int(c, "limit", 0))))
	case "advance":
		w.clock.Advance(time.Duration(w.int(c, "ms", 0)) * time.Millisecond)
		return "ok"
	case "set":
		w.verify = c.String("verify", "true") == "true"
		w.config.Rules.LogAppendTime = c.String("timestamps", "CreateTime") == "LogAppendTime"
		w.config.Rules.TimestampAfterMaxMs = int64(w.int(c, "ahead", 3_600_000))
		w.p.SetConfig(w.config)
		w.p.opts.Unverified = !w.verify // as after a restart
		return "ok"
	case "restart", "kill":
		w.close(c.Name == "restart")
		if c.Has("snapshots") {
			w.damageSnapshots(t, c.String("snapshots", ""))
		}
		w.open()
		return "ok"
	case "new":
		w.close(true)
		w.fs, w.starts = vfs.NewMem(), 0
		w.open()
		return "ok"
	}
	t.Fatalf("%s: unknown command %s", c.Pos, c.Name)
	return ""
}

func describe(a Appended, err error) string {
	if err != nil {
		return word(err)
	}
	if a.Duplicate {
		return fmt.Sprintf("duplicate of offset %d, time %d", a.BaseOffset, a.LogAppendTimeMs)
	}
	if a.LogAppendTimeMs >= 0 {
		return fmt.Sprintf("offset %d, time %d", a.BaseOffset, a.LogAppendTimeMs)
	}
	return fmt.Sprintf("offset %d", a.BaseOffset)
}

func (w *world) producers(t *testing.T) string {
	all, err := w.p.ActiveProducers()
	if err != nil {
		t.Fatal(err)
	}
	sort.Slice(all, func(i, j int) bool { return all[i].ProducerID < all[j].ProducerID })
	var b strings.Builder
	for _, e := range all {
		fmt.Fprintf(&b, "pid=%d epoch=%d last_sequence=%d coordinator_epoch=%d txn_start=%d\n", e.ProducerID, e.ProducerEpoch, e.LastSequence, e.CoordinatorEpoch, e.TxnStartOffset)
	}
	if b.Len() == 0 {
		return "none"
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// read shows what a reader of an isolation level is given, batch by batch, and which transactions it is
// told are aborted.
func (w *world) read(t *testing.T, c script.Command) string {
	r, err := w.p.Read(ReadRequest{Offset: int64(w.int(c, "from", 0)), Committed: c.Has("committed"), MaxBytes: w.int(c, "max", 1<<20), AtLeastOne: true, CurrentLeaderEpoch: -1, LastFetchedEpoch: -1})
	if err != nil {
		return word(err)
	}
	defer r.Slice.Release()
	raw, err := r.Slice.ReadInto(nil)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for len(raw) > 0 {
		h, err := batch.Verify(raw[:must(batch.ParseHeader(raw)).SizeBytes()])
		if err != nil {
			t.Fatal(err)
		}
		switch m, marker, _ := batch.ParseMarker(raw[:h.SizeBytes()]); {
		case marker && m.Type == batch.Abort:
			out = append(out, fmt.Sprintf("%d: abort pid=%d", h.BaseOffset, m.ProducerID))
		case marker:
			out = append(out, fmt.Sprintf("%d: commit pid=%d", h.BaseOffset, m.ProducerID))
		case h.IsTransactional():
			out = append(out, fmt.Sprintf("%d-%d: pid=%d transactional", h.BaseOffset, h.LastOffset(), h.ProducerID))
		default:
			out = append(out, fmt.Sprintf("%d-%d: pid=%d", h.BaseOffset, h.LastOffset(), h.ProducerID))
		}
		raw = raw[h.SizeBytes():]
	}
	for _, a := range r.Aborted {
		out = append(out, fmt.Sprintf("aborted pid=%d from %d", a.ProducerID, a.FirstOffset))
	}
	if len(out) == 0 {
		return "nothing"
	}
	return strings.Join(out, "\n")
}

func must(h batch.Header, err error) batch.Header {
	if err != nil {
		panic(err)
	}
	return h
}

// damageSnapshots removes all producer snapshots, or flips a byte in the newest.
func (w *world) damageSnapshots(t *testing.T, how string) {
	dir := "data/x-0"
	names, err := w.fs.List(dir)
	if err != nil {
		t.Fatal(err)
	}
	sort.Sort(sort.Reverse(sort.StringSlice(names)))
	for _, name := range names {
		if !strings.HasSuffix(name, ".snapshot") {
			continue
		}
		path := dir + "/" + name
		if how == "gone" {
			if err := w.fs.Remove(path); err != nil {
				t.Fatal(err)
			}
			continue
		}
		f, err := w.fs.OpenReadWrite(path)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := f.WriteAt([]byte{0xff}, 20); err != nil {
			t.Fatal(err)
		}
		f.Close()
		return
	}
}

// TestScripts runs testdata/*.txt: producers, sequences, transactions and isolation of one partition.
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			w := newWorld(t)
			script.Run(t, file, w.run)
		})
	}
}
