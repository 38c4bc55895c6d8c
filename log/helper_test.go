package log

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"once/durability"
	"once/internal/clock"
	"once/internal/files"
	"once/internal/shrink"
	"once/internal/vfs"
	"once/log/batch"
)

var testTopic = [16]byte{1, 2, 3}

// makeBatch builds a batch of n records at an offset; the timestamp of record i is ts+i.
func makeBatch(offset int64, n int, ts int64, epoch int32) ([]byte, batch.Header) {
	records := make([]batch.Record, n)
	for i := range records {
		records[i] = batch.Record{TimestampDeltaMs: int64(i), Key: []byte("key"), Value: fmt.Appendf(nil, "value %d", offset+int64(i))}
	}
	raw := batch.Build(batch.BuildOptions{BaseOffset: offset, ProducerID: -1, ProducerEpoch: -1, BaseSequence: -1, TimestampMs: ts, LeaderEpoch: epoch}, records...)
	batch.SetOffsetAndEpoch(raw, offset, epoch)
	h, err := batch.Verify(raw)
	if err != nil {
		panic(err)
	}
	return raw, h
}

// add appends a batch of n records; its timestamps are 1000 times the offset.
func add(l *Log, n int) error {
	raw, h := makeBatch(l.EndOffset(), n, 1000*l.EndOffset(), 0)
	return l.Append(raw, h)
}

func mustAdd(t testing.TB, l *Log, batches, records int) {
	t.Helper()
	for range batches {
		if err := add(l, records); err != nil {
			t.Fatal(err)
		}
	}
}

// world is a data directory with a barrier and one log, as a broker has it.
type world struct {
	t            testing.TB
	fs           vfs.FS
	config       Config
	mode         durability.Mode
	boot         string
	clock        *clock.Movable
	barrier      *durability.Barrier
	log          *Log
	report       Recovered
	metrics      *prometheus.Registry // nil: none
	journalBytes int64

	reserveBytes int64
	whole        bool // the file system can be synced as a whole

	sizes Sizes
}

const testDir = "data/orders-0"

func newWorld(t testing.TB, fs vfs.FS, mode durability.Mode) *world {
	t.Helper()
	w := &world{t: t, fs: fs, mode: mode, boot: "boot-1", config: Config{SegmentBytes: 1000, IndexIntervalBytes: 100}, sizes: shrink.Sizes[Sizes](t)}
	w.sizes.PredecessorBytes = 0 // tests say which batch is damaged
	if err := fs.MkdirAll("data"); err != nil {
		t.Fatal(err)
	}
	if c, ok := fs.(*vfs.Mem); ok {
		c.SyncAll()
	}
	return w
}

// findLogs is directory.Logs, which stands above log.
func findLogs(f vfs.FS, dir string) (logs []string, err error) {
	names, err := f.List(dir)
	for _, name := range names {
		if segments, _ := f.List(dir + "/" + name); IsLogDirectory(name) && slices.ContainsFunc(segments, func(file string) bool {
			_, suffix, _ := ParseFileName(file)
			return suffix == LogSuffix
		}) {
			logs = append(logs, name)
		}
	}
	return logs, err
}

// open starts barrier and log. The barrier runs only when somebody waits: its clock stands still.
func (w *world) open() error {
	w.clock = clock.NewManual(time.Unix(1_700_000_000, 0))
	under := w.fs
	if !w.whole {
		under = vfs.FileByFile(under)
	}
	o := durability.Options{FS: under, Dir: "data", FindLogs: findLogs, BootID: w.boot, Mode: w.mode, RealTime: w.clock, JournalBytes: w.journalBytes,
		ReserveBytes: w.reserveBytes}
	if w.metrics != nil {
		o.Registerer = w.metrics
	}
	b, err := durability.Open(o)
	if err != nil {
		return err
	}
	w.barrier = b
	w.log, w.report, err = Open(Options{FS: w.fs, Dir: testDir, TopicID: testTopic, Config: w.config, Barrier: b, Clock: w.clock, Sizes: &w.sizes,
		OnRoll: func(base int64) []byte { return fmt.Appendf(nil, "snapshot %d", base) }},
		b.Recovery("orders-0", testTopic))
	return err
}

func (w *world) mustOpen() *Log {
	w.t.Helper()
	if err := w.open(); err != nil {
		w.t.Fatal(err)
	}
	return w.log
}

// leave ends the goroutine without a clean stop, as a test cannot kill it.
func (w *world) leave() {
	if w.barrier != nil {
		w.barrier.Kill()
		w.barrier = nil
	}
}

func (w *world) mustClose() {
	w.t.Helper()
	if err := w.log.Close(); err != nil {
		w.t.Fatal(err)
	}
	if err := w.barrier.Close(true); err != nil {
		w.t.Fatal(err)
	}
	w.barrier = nil
}

func (w *world) mustSync() {
	w.t.Helper()
	if err := w.barrier.Sync(context.Background()); err != nil {
		w.t.Fatal(err)
	}
}

// mustRecover ends the start, as the owner of the process does when all logs are open.
func (w *world) mustRecover() {
	w.t.Helper()
	if err := w.barrier.Recovered(context.Background()); err != nil {
		w.t.Fatal(err)
	}
}

func (w *world) mustCheckpoint() {
	w.t.Helper()
	if err := w.barrier.Checkpoint(context.Background()); err != nil {
		w.t.Fatal(err)
	}
}

// contents reads the whole log and checks that every batch is whole and they are without gap.
func contents(l *Log) (offsets []int64, err error) {
	next := l.StartOffset()
	err = l.Scan(l.StartOffset(), l.EndOffset(), func(h batch.Header, raw []byte) error {
		if _, err := batch.Verify(raw); err != nil {
			return err
		}
		if h.BaseOffset > next || h.NextOffset() <= next {
			return fmt.Errorf("batch %d to %d where %d was due", h.BaseOffset, h.LastOffset(), next)
		}
		next = h.NextOffset()
		offsets = append(offsets, h.BaseOffset)
		return nil
	})
	if err == nil && next != l.EndOffset() {
		err = fmt.Errorf("batches end at %d, log at %d", next, l.EndOffset())
	}
	return offsets, err
}

func mustContents(t testing.TB, l *Log) []int64 {
	t.Helper()
	offsets, err := contents(l)
	if err != nil {
		t.Fatal(err)
	}
	return offsets
}

func damagedFile(err error) string {
	var d *files.DamagedError
	if errors.As(err, &d) {
		return d.File
	}
	return ""
}

func mutate(t testing.TB, fs vfs.FS, name string, fn func(b []byte) []byte) {
	t.Helper()
	b, err := files.ReadSmall(fs, name)
	if err != nil {
		t.Fatal(err)
	}
	b = fn(b)
	f, err := fs.OpenReadWrite(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := f.Truncate(0); err != nil {
		t.Fatal(err)
	}
	if _, err := f.WriteAt(b, 0); err != nil {
		t.Fatal(err)
	}
}
