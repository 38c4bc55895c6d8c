package partition

import (
	"fmt"
	"io"
	"log/slog"
	"math"
	"sort"
	"strings"
	"testing"
	"time"

	"once/durability"
	"once/internal/clock"
	"once/internal/script"
	"once/internal/vfs"
	"once/log/batch"
	"once/log/directory"
)

// world is one partition on a file system in memory, which scripts talk to.
type world struct {
	t       *testing.T
	fs      *vfs.Mem
	clock   *clock.Movable
	barrier *durability.Barrier
	p       *Partition
	starts  int32
	verify  bool
	config  Config
	guards  map[string]Guard
}

var testID = ID{Topic: "x", TopicID: [16]byte{1, 2, 3}, Index: 0}

func newWorld(t *testing.T) *world {
	w := &world{t: t, fs: vfs.NewMem(), clock: clock.NewManual(time.UnixMilli(1_000_000)), verify: true,
		guards: map[string]Guard{}}
	w.config = Config{Rules: batch.Rules{
		MaxMessageBytes: 1 << 20, SegmentBytes: 1 << 30, TimestampBeforeMaxMs: math.MaxInt64, TimestampAfterMaxMs: 3_600_000,
		MaxInflatedBytes: 1 << 20,
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
	w.barrier, err = durability.Open(durability.Options{FS: w.fs, Dir: "data", FindLogs: directory.Logs, BootID: "boot",
		Interval: time.Second, RealTime: w.clock, Logger: quiet, OnFailure: func(err error) { w.t.Error(err) }})
	if err != nil {
		w.t.Fatal(err)
	}
	w.p, err = Open(testID, Options{
		FS: w.fs, Dir: "data", Config: w.config, Barrier: w.barrier, LeaderEpoch: w.starts, Unverified: !w.verify,
		Clock: w.clock, Logger: quiet,
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
	} else {
		w.barrier.Kill() // it writes nothing any more, also not later beside the next one
	}
	w.p = nil
}

var codes = script.Codes{
	{ErrFencedEpoch, "INVALID_PRODUCER_EPOCH"},
	{ErrOutOfOrderSequence, "OUT_OF_ORDER_SEQUENCE_NUMBER"},
	{ErrInvalidTxnState, "INVALID_TXN_STATE"},
	{ErrCoordinatorFenced, "TRANSACTION_COORDINATOR_FENCED"},
	{ErrOffsetOutOfRange, "OFFSET_OUT_OF_RANGE"},
	{ErrOffline, "KAFKA_STORAGE_ERROR"},
	{batch.ErrInvalidTimestamp, "INVALID_TIMESTAMP"},
	{batch.ErrInvalidRecord, "INVALID_RECORD"},
	{batch.ErrTooLarge, "MESSAGE_TOO_LARGE"},
}

func (w *world) int(c script.Command, name string, otherwise int) int {
	return int(c.Int(w.t, name, int64(otherwise)))
}

// producer is who appends: producer=P epoch=E sequence=S.
func (w *world) producer(c script.Command) (producerID int64, epoch int16, sequence int32) {
	return int64(w.int(c, "producer", -1)), int16(w.int(c, "epoch", -1)), int32(w.int(c, "sequence", -1))
}

// build makes a batch: [producer=P epoch=E sequence=S] [records=N] [transactional] [time=MS]
func (w *world) build(c script.Command) []byte {
	records := make([]batch.Record, w.int(c, "records", 1))
	for i := range records {
		records[i] = batch.Record{OffsetDelta: int32(i), Key: []byte("k"), Value: []byte("v")}
	}
	producerID, epoch, sequence := w.producer(c)
	return batch.Build(batch.BuildOptions{
		ProducerID: producerID, ProducerEpoch: epoch, BaseSequence: sequence,
		Transactional: c.Has("transactional"), LeaderEpoch: -1,
		TimestampMs: c.Int(w.t, "time", w.clock.Now().UnixMilli()),
	}, records...)
}

// guard returns the proof that an append carries: one taken before, with verified a fresh one, or none.
func (w *world) guard(c script.Command) (Guard, error) {
	if c.Has("guard") {
		return w.guards[c.String("guard", "")], nil
	}
	if !c.Has("verified") {
		return 0, nil
	}
	g, _, err := w.beginVerification(c)
	return g, err
}

// beginVerification: of the producer's sequence, [transaction-version=2] for one of transactions V2
func (w *world) beginVerification(c script.Command) (g Guard, needed bool, err error) {
	producerID, epoch, sequence := w.producer(c)
	return w.p.BeginVerification(producerID, epoch, sequence, w.int(c, "transaction-version", 0) >= 2)
}

func (w *world) run(t *testing.T, c script.Command) string {
	switch c.Name {
	case "append":
		raw := w.build(c)
		g, err := w.guard(c)
		if err != nil {
			return codes.Of(err)
		}
		return describe(w.p.AppendClient(raw, g, 12))
	case "append-offsets": // as the group coordinator writes: no sequence
		raw := w.build(c)
		g, err := w.guard(c)
		if err != nil {
			return codes.Of(err)
		}
		return describe(w.p.AppendTransactionalOffsets(raw, g))
	case "begin-verification":
		g, needed, err := w.beginVerification(c)
		if err != nil {
			return codes.Of(err)
		}
		w.guards[c.String("guard", "")] = g
		return fmt.Sprintf("needed=%v", needed)
	case "markers":
		return describe(w.p.AppendMarker(w.marker(c), int16(w.int(c, "transaction-version", 0))))
	case "offsets":
		o, err := w.p.Offsets()
		if err != nil {
			return codes.Of(err)
		}
		return fmt.Sprintf("log_start=%d last_stable=%d high_watermark=%d log_end=%d", o.LogStartOffset, o.LastStableOffset,
			o.HighWatermark, o.LogEndOffset)
	case "producers":
		return w.producers(t)
	case "read":
		return w.read(t, c)
	case "expire-producers":
		after := c.Duration(t, "after", 0)
		return fmt.Sprintf("expired=%d", w.p.ExpireProducers(w.clock.Now().UnixMilli(), after.Milliseconds()))
	case "advance":
		w.clock.Advance(c.Advance(t))
		return "ok"
	case "set":
		w.verify = c.String("verify", "true") == "true"
		w.config.Rules.LogAppendTime = c.String("timestamps", "CreateTime") == "LogAppendTime"
		w.config.Rules.TimestampAfterMaxMs = c.Duration(t, "ahead", time.Hour).Milliseconds()
		w.p.SetConfig(w.config)
		w.p.SetUnverified(!w.verify) // as after a restart
		return "ok"
	case "restart":
		w.close(!c.Has("kill"))
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

// marker: commit|abort producer=P epoch=E [coordinator=C]
func (w *world) marker(c script.Command) batch.Marker {
	kind := batch.Commit
	if c.Has("abort") {
		kind = batch.Abort
	} else if !c.Has("commit") {
		w.t.Fatalf("%s: commit or abort", c.Pos)
	}
	producerID, epoch, _ := w.producer(c)
	return batch.Marker{
		ProducerID: producerID, ProducerEpoch: epoch, Type: kind, CoordinatorEpoch: int32(w.int(c, "coordinator", 0)),
	}
}

func describe(a Appended, err error) string {
	if err != nil {
		return codes.Of(err)
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
		fmt.Fprintf(&b, "producer=%d epoch=%d last_sequence=%d coordinator_epoch=%d txn_start=%d\n",
			e.ProducerID, e.ProducerEpoch, e.LastSequence, e.CoordinatorEpoch, e.TxnStartOffset)
	}
	if b.Len() == 0 {
		return "none"
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// read shows what a reader of an isolation level is given, batch by batch, and which transactions it is
// told are aborted.
func (w *world) read(t *testing.T, c script.Command) string {
	r, err := w.p.Read(ReadRequest{Offset: int64(w.int(c, "from", 0)), Committed: c.Has("committed"),
		MaxBytes: w.int(c, "max", 1<<20), AtLeastOne: true, CurrentLeaderEpoch: -1, LastFetchedEpoch: -1})
	if err != nil {
		return codes.Of(err)
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
			out = append(out, fmt.Sprintf("%d: abort producer=%d", h.BaseOffset, m.ProducerID))
		case marker:
			out = append(out, fmt.Sprintf("%d: commit producer=%d", h.BaseOffset, m.ProducerID))
		case h.IsTransactional():
			out = append(out, fmt.Sprintf("%d-%d: producer=%d transactional", h.BaseOffset, h.LastOffset(), h.ProducerID))
		default:
			out = append(out, fmt.Sprintf("%d-%d: producer=%d", h.BaseOffset, h.LastOffset(), h.ProducerID))
		}
		raw = raw[h.SizeBytes():]
	}
	for _, a := range r.Aborted {
		out = append(out, fmt.Sprintf("aborted producer=%d from %d", a.ProducerID, a.FirstOffset))
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
	script.RunFiles(t, "testdata/*.txt", func(t *testing.T) func(*testing.T, script.Command) string {
		return newWorld(t).run
	})
}
