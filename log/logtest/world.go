// Package logtest gives tests outside of log a data directory with a barrier and a log, as a broker has it.
package logtest

import (
	"context"
	"errors"
	"fmt"
	"math/rand"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"once/durability"
	"once/internal/clock"
	"once/internal/files"
	"once/internal/shrink"
	"once/internal/vfs"
	"once/log"
	"once/log/batch"
	"once/log/directory"
)

// Topic is the topic ID of the logs.
var Topic = [16]byte{1, 2, 3}

// MakeBatch builds a batch of n records at an offset; the timestamp of record i is ts+i.
func MakeBatch(offset int64, n int, ts int64, epoch int32) ([]byte, batch.Header) {
	records := make([]batch.Record, n)
	for i := range records {
		records[i] = batch.Record{TimestampDeltaMs: int64(i), Key: []byte("key"),
			Value: fmt.Appendf(nil, "value %d", offset+int64(i))}
	}
	raw := batch.Build(batch.BuildOptions{BaseOffset: offset, ProducerID: -1, ProducerEpoch: -1, BaseSequence: -1,
		TimestampMs: ts, LeaderEpoch: epoch}, records...)
	batch.SetOffsetAndEpoch(raw, offset, epoch)
	h, err := batch.Verify(raw)
	if err != nil {
		panic(err)
	}
	return raw, h
}

// Add appends a batch of n records; its timestamps are 1000 times the offset.
func Add(l *log.Log, n int) error {
	raw, h := MakeBatch(l.EndOffset(), n, 1000*l.EndOffset(), 0)
	return l.Append(raw, h)
}

// MustAdd appends several batches.
func MustAdd(t testing.TB, l *log.Log, batches, records int) {
	t.Helper()
	for range batches {
		if err := Add(l, records); err != nil {
			t.Fatal(err)
		}
	}
}

// World is a data directory with a barrier and one log, as a broker has it.
type World struct {
	T            testing.TB
	FS           vfs.FS
	Config       log.Config
	Mode         durability.Mode
	Boot         string
	Clock        *clock.Movable
	Barrier      *durability.Barrier
	Log          *log.Log
	Report       log.Recovered
	Metrics      *prometheus.Registry // nil: none
	JournalBytes int64

	ReserveBytes int64
	Whole        bool // the file system can be synced as a whole

	Sizes    durability.Sizes
	LogSizes log.Sizes
}

// Dir is the directory of the log.
const Dir = "data/orders-0"

// NewWorld returns a data directory in which nothing is open yet.
func NewWorld(t testing.TB, fs vfs.FS, mode durability.Mode) *World {
	t.Helper()
	w := &World{T: t, FS: fs, Mode: mode, Boot: "boot-1", Config: log.Config{SegmentBytes: 1000, IndexIntervalBytes: 100},
		Sizes: shrink.Sizes[durability.Sizes](t), LogSizes: shrink.Sizes[log.Sizes](t)}
	// Each test says what goes into the journal, and which batch is damaged.
	w.Sizes.JournalGroupBytes, w.LogSizes.PredecessorBytes = 0, 0
	if err := fs.MkdirAll("data"); err != nil {
		t.Fatal(err)
	}
	if c, ok := fs.(*vfs.Mem); ok {
		c.SyncAll()
	}
	return w
}

// Open opens barrier and log. Its clock stands still, so the barrier runs only on request.
func (w *World) Open() error {
	w.Clock = clock.NewManual(time.Unix(1_700_000_000, 0))
	under := w.FS
	if !w.Whole {
		under = vfs.FileByFile(under)
	}
	o := durability.Options{FS: under, Dir: "data", FindLogs: directory.Logs, BootID: w.Boot, Mode: w.Mode,
		RealTime: w.Clock, JournalBytes: w.JournalBytes,
		ReserveBytes: w.ReserveBytes, Sizes: w.Sizes}
	if w.Metrics != nil {
		o.Registerer = w.Metrics
	}
	b, err := durability.Open(o)
	if err != nil {
		return err
	}
	w.Barrier = b
	w.Log, w.Report, err = log.Open(log.Options{FS: w.FS, Dir: Dir, TopicID: Topic, Config: w.Config, Barrier: b,
		Clock: w.Clock, Sizes: &w.LogSizes,
		OnRoll: func(base int64) []byte { return fmt.Appendf(nil, "snapshot %d", base) }},
		b.Recovery("orders-0", Topic))
	return err
}

// MustOpen is like Open.
func (w *World) MustOpen() *log.Log {
	w.T.Helper()
	if err := w.Open(); err != nil {
		w.T.Fatal(err)
	}
	return w.Log
}

// Leave ends the barrier as the death of the process would.
func (w *World) Leave() {
	if w.Barrier != nil {
		w.Barrier.Kill()
		w.Barrier = nil
	}
}

// MustClose closes log and barrier in order.
func (w *World) MustClose() {
	w.T.Helper()
	if err := w.Log.Close(); err != nil {
		w.T.Fatal(err)
	}
	if err := w.Barrier.Close(true); err != nil {
		w.T.Fatal(err)
	}
	w.Barrier = nil
}

// MustSync makes everything appended durable.
func (w *World) MustSync() {
	w.T.Helper()
	if err := w.Barrier.Sync(context.Background()); err != nil {
		w.T.Fatal(err)
	}
}

// MustRecover ends the start, as the broker does when all logs are open.
func (w *World) MustRecover() {
	w.T.Helper()
	if err := w.Barrier.Recovered(context.Background()); err != nil {
		w.T.Fatal(err)
	}
}

// MustCheckpoint makes everything durable in the files of the logs.
func (w *World) MustCheckpoint() {
	w.T.Helper()
	if err := w.Barrier.Checkpoint(context.Background()); err != nil {
		w.T.Fatal(err)
	}
}

// Contents reads the whole log and checks that every batch is valid and no offset is missing.
func Contents(l *log.Log) (offsets []int64, err error) {
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

// MustContents is like Contents.
func MustContents(t testing.TB, l *log.Log) []int64 {
	t.Helper()
	offsets, err := Contents(l)
	if err != nil {
		t.Fatal(err)
	}
	return offsets
}

// DamagedFile is the file that an error reports as damaged; empty for none.
func DamagedFile(err error) string {
	var d *files.DamagedError
	if errors.As(err, &d) {
		return d.File
	}
	return ""
}

// Mutate changes the content of a file.
func Mutate(t testing.TB, fs vfs.FS, name string, fn func(b []byte) []byte) {
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

// CheckOffsets expects batches of so many records up to the end.
func CheckOffsets(l *log.Log, end, every int64) error {
	offsets, err := Contents(l)
	if err != nil {
		return err
	}
	for i, o := range offsets {
		if o != int64(i)*every {
			return fmt.Errorf("batch %d has offset %d", i, o)
		}
	}
	if l.EndOffset() != end {
		return fmt.Errorf("log ends at %d, want %d", l.EndOffset(), end)
	}
	return nil
}

// LargeBatch is a batch of 5 KB whose content depends on its offset.
func LargeBatch(offset int64) ([]byte, batch.Header) {
	value := make([]byte, 5000)
	rand.New(rand.NewSource(offset + 1)).Read(value)
	raw := batch.Build(batch.BuildOptions{BaseOffset: offset, ProducerID: -1, ProducerEpoch: -1, BaseSequence: -1,
		TimestampMs: 1000 * offset}, batch.Record{Value: value})
	batch.SetOffsetAndEpoch(raw, offset, 0)
	h, err := batch.Verify(raw)
	if err != nil {
		panic(err)
	}
	return raw, h
}

// OpenOther opens a second log in the world's directory.
func (w *World) OpenOther(name string) *log.Log {
	w.T.Helper()
	l, _, err := log.Open(log.Options{FS: w.FS, Dir: "data/" + name, TopicID: Topic, Config: w.Config, Barrier: w.Barrier},
		w.Barrier.Recovery(name, Topic))
	if err != nil {
		w.T.Fatal(err)
	}
	return l
}
