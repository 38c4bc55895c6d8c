package durability_test

import (
	"context"
	"errors"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"once/durability"
	"once/internal/files"
	"once/internal/vfs"
	"once/log"
	"once/log/batch"
	"once/log/logtest"
)

func TestBarrierRefusesDamagedRecords(t *testing.T) {
	fresh := func() *logtest.World {
		w := logtest.NewWorld(t, vfs.NewMem(), durability.Page)
		logtest.MustAdd(t, w.MustOpen(), 2, 1)
		w.MustClose()
		return w
	}
	both := func(w *logtest.World, fn func(b []byte) []byte) {
		for _, slot := range []uint64{0, 1} {
			logtest.Mutate(t, w.FS, "data/"+durability.SlotName(slot), fn)
		}
	}
	t.Run("both damaged", func(t *testing.T) {
		w := fresh()
		both(w, func(b []byte) []byte { b[20] ^= 1; return b })
		if err := w.Open(); !errors.Is(err, files.ErrDamaged) ||
			!strings.HasPrefix(logtest.DamagedFile(err), "data/barrier.") {
			t.Fatal(err)
		}
	})
	t.Run("both missing", func(t *testing.T) {
		w := fresh()
		_ = w.FS.Remove("data/barrier.0")
		_ = w.FS.Remove("data/barrier.1")
		if err := w.Open(); !errors.Is(err, files.ErrDamaged) {
			t.Fatal(err)
		}
	})
	t.Run("next version", func(t *testing.T) {
		w := fresh()
		both(w, func(b []byte) []byte { b[5]++; return b })
		if err := w.Open(); !errors.Is(err, files.ErrFormat) || !strings.Contains(err.Error(), "data/barrier.") {
			t.Fatal(err)
		}
	})
	t.Run("newest torn", func(t *testing.T) {
		w := logtest.NewWorld(t, vfs.NewMem(), durability.Page)
		l := w.MustOpen()
		logtest.MustAdd(t, l, 2, 1)
		w.MustSync()
		logtest.MustAdd(t, l, 2, 1)
		w.MustSync()
		sequence := w.Barrier.Sequence()
		w.Leave()
		logtest.Mutate(t, w.FS, "data/"+durability.SlotName(sequence), func(b []byte) []byte { return b[:len(b)-3] })
		if w.MustOpen().EndOffset() != 4 {
			t.Fatal("lost")
		}
		w.Leave()
	})
}

// A record of version 2 is read, but not its journal, which had another layout.
func TestRecordOfVersionTwo(t *testing.T) {
	w := logtest.NewWorld(t, vfs.NewMem(), durability.Fsync)
	logtest.MustAdd(t, w.MustOpen(), 3, 1)
	w.MustRecover()
	logtest.MustAdd(t, w.Log, 1, 1)
	w.MustSync()
	journaled := w.Barrier // its journal goes on from its record
	w.Leave()
	closed := logtest.NewWorld(t, w.FS.(*vfs.Mem).Clone(), durability.Fsync)
	closed.MustOpen()
	clean := closed.Barrier
	closed.MustClose() // the record knows all of it
	for _, c := range []struct {
		from    *durability.Barrier
		clean   bool
		boot    string
		refused bool
	}{
		{clean, true, "boot-1", false},
		{clean, true, "boot-2", false},
		{journaled, false, "boot-1", false},
		{journaled, false, "boot-2", true},
	} {
		again := logtest.NewWorld(t, w.FS.(*vfs.Mem).Clone(), durability.Fsync)
		again.Boot = c.boot
		for _, slot := range []uint64{0, 1} {
			logtest.Mutate(t, again.FS, "data/"+durability.SlotName(slot),
				func([]byte) []byte { return c.from.EncodeVersion2(100+slot, c.clean) })
		}
		err := again.Open()
		if errors.Is(err, files.ErrFormat) != c.refused || !c.refused && (err != nil || again.Log.EndOffset() != 4) {
			t.Errorf("clean %v, %s: %v", c.clean, c.boot, err)
		}
		again.Leave()
	}
}

func TestIdleBarrierWritesNothing(t *testing.T) {
	counted := vfs.FailAt(-1, vfs.NewMem())
	w := logtest.NewWorld(t, counted, durability.Page)
	l := w.MustOpen()
	defer w.Leave()
	logtest.MustAdd(t, l, 1, 1)
	w.MustSync()
	before := counted.Operations()
	w.Clock.Advance(time.Hour)
	w.MustSync()
	if n := counted.Operations() - before; n != 0 {
		t.Fatal(n, "operations while idle")
	}
}

func TestTimerSyncsDirtyLogs(t *testing.T) {
	mem := vfs.NewCrashable(1)
	w := logtest.NewWorld(t, mem, durability.Page)
	l := w.MustOpen()
	defer w.Leave()
	logtest.MustAdd(t, l, 3, 1)
	ticket := w.Barrier.TicketFor(durability.RecordsDeleted)
	next := w.Barrier.Next()
	w.Clock.Advance(durability.DefaultInterval)
	<-next
	if w.Barrier.Done() < ticket.Generation() {
		t.Fatal("the timer's barrier did not cover the append")
	}
}

func TestTicketsFollowTheMode(t *testing.T) {
	for _, c := range []struct {
		mode           durability.Mode
		append, commit bool // wait
	}{{durability.Page, false, false}, {durability.Txn, false, true}, {durability.Fsync, true, true}} {
		w := logtest.NewWorld(t, vfs.NewMem(), c.mode)
		l := w.MustOpen()
		logtest.MustAdd(t, l, 1, 1)
		if got := l.TicketFor(durability.Produced).Pending(); got != c.append {
			t.Errorf("%v: append waits %v", c.mode, got)
		}
		if got := w.Barrier.TicketFor(durability.GroupChanged).Pending(); got != c.commit {
			t.Errorf("%v: commit waits %v", c.mode, got)
		}
		if err := l.TicketFor(durability.Produced).Wait(context.Background()); err != nil {
			t.Error(err)
		}
		w.Leave()
	}
}

// Waiters that come while one barrier syncs share the next.
func TestWaitersShareABarrier(t *testing.T) {
	gate := &gatedFS{FS: vfs.NewMem(), entered: make(chan struct{}, 64), open: make(chan struct{})}
	w := logtest.NewWorld(t, gate, durability.Fsync)
	l := w.MustOpen()
	defer w.Leave()
	logtest.MustAdd(t, l, 1, 1)
	gate.arm()
	first := make(chan error, 1)
	ticket := l.TicketFor(durability.Produced)
	go func() { first <- ticket.Wait(context.Background()) }()
	<-gate.entered
	before := w.Barrier.Done()
	var wg sync.WaitGroup
	for range 20 {
		logtest.MustAdd(t, l, 1, 1)
		ticket := l.TicketFor(durability.Produced)
		wg.Go(func() {
			if err := ticket.Wait(context.Background()); err != nil {
				t.Error(err)
			}
		})
	}
	select {
	case <-first:
		t.Fatal("answered before the sync was over")
	default:
	}
	close(gate.open)
	if err := <-first; err != nil {
		t.Fatal(err)
	}
	wg.Wait()
	if n := w.Barrier.Done() - before; n != 2 {
		t.Errorf("%d barriers for the first and twenty more, want 2", n)
	}
}

// In fsync mode a barrier has written the bytes to the journal when it answers; files and record follow at
// leisure, and the record tells of all of them.
func TestARecordMayFollowTheBarrier(t *testing.T) {
	fs := vfs.NewMem()
	w := logtest.NewWorld(t, fs, durability.Fsync)
	l := w.MustOpen()
	defer w.Leave()
	w.MustRecover()
	before := w.Barrier.Sequence()
	for range 10 {
		logtest.MustAdd(t, l, 1, 1)
		if err := l.TicketFor(durability.Produced).Wait(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	if n := w.Barrier.Sequence() - before; n > 0 {
		t.Errorf("%d records for ten barriers within one interval", n)
	}
	w.Clock.Advance(durability.DefaultInterval)
	var points map[string]int64
	for sequence := before; sequence == before; { // the file is written behind the number
		runtime.Gosched()
		sequence, points, _ = durability.ReadRecord(fs, "data")
		if sequence == 0 {
			sequence = before // it is being written
		}
	}
	if len(points) != 1 || points["orders-0"] != 10 {
		t.Fatalf("the record knows of %v, offsets up to 10 are synced", points)
	}
}

// gatedFS holds syncs of files once armed until open is closed.
type gatedFS struct {
	vfs.FS
	mu      sync.Mutex
	armed   bool
	entered chan struct{}
	open    chan struct{}
}

func (g *gatedFS) arm() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.armed = true
}

func (g *gatedFS) Create(name string) (vfs.File, error) {
	f, err := g.FS.Create(name)
	return &gatedFile{f, g}, err
}

type gatedFile struct {
	vfs.File
	g *gatedFS
}

func (f *gatedFile) Sync() error {
	f.g.mu.Lock()
	armed := f.g.armed
	f.g.mu.Unlock()
	if armed {
		f.g.entered <- struct{}{}
		<-f.g.open
	}
	return f.File.Sync()
}

func TestWaitObeysItsContext(t *testing.T) {
	gate := &gatedFS{FS: vfs.NewMem(), entered: make(chan struct{}, 8), open: make(chan struct{})}
	w := logtest.NewWorld(t, gate, durability.Fsync)
	l := w.MustOpen()
	logtest.MustAdd(t, l, 1, 1)
	gate.arm()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := l.TicketFor(durability.Produced).Wait(ctx); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	close(gate.open)
	w.Leave()
}

// A failed sync is final (spec: reliability P7).
func TestFailedSyncIsFinal(t *testing.T) {
	mem := vfs.NewMem()
	broken := &brokenSync{FS: mem}
	w := logtest.NewWorld(t, broken, durability.Fsync)
	l := w.MustOpen()
	calls := 0
	w.Barrier.SetOnFailure(func(error) { calls++ })
	logtest.MustAdd(t, l, 1, 1)
	broken.fail = true
	if err := l.TicketFor(durability.Produced).Wait(context.Background()); !errors.Is(err, vfs.ErrInjected) {
		t.Fatal(err)
	}
	broken.fail = false
	if err := logtest.Add(l, 1); !errors.Is(err, log.ErrFailed) {
		t.Fatal("append after a failed sync:", err)
	}
	if err := w.Barrier.Sync(context.Background()); err != nil && !errors.Is(err, vfs.ErrInjected) {
		t.Fatal(err)
	}
	if err := w.Barrier.Close(true); err == nil {
		t.Fatal("clean after a failure")
	}
	if calls != 1 {
		t.Fatal(calls, "calls of OnFailure")
	}
	w.Barrier = nil
	after := logtest.NewWorld(t, mem, durability.Fsync)
	after.MustOpen()
	if after.Barrier.Clean() || after.Report.RewrittenBytes == 0 {
		t.Fatalf("%+v", after.Report)
	}
	after.Leave()
}

type brokenSync struct {
	vfs.FS
	fail bool
}

func (b *brokenSync) Create(name string) (vfs.File, error) {
	f, err := b.FS.Create(name)
	return &brokenFile{f, b}, err
}

type brokenFile struct {
	vfs.File
	b *brokenSync
}

func (f *brokenFile) Sync() error {
	if f.b.fail {
		return vfs.ErrInjected
	}
	return f.File.Sync()
}

// The cut is one instant over all logs: an append that was caused by another one is never kept without
// it (spec: reliability 2.1).
func TestCutIsConsistentOverLogs(t *testing.T) {
	for seed := range int64(60) {
		mem := vfs.NewCrashable(seed)
		w := logtest.NewWorld(t, mem, durability.Mode(seed%3))
		cause := w.MustOpen()
		effect, _, err := log.Open(log.Options{FS: mem, Dir: "data/effects-0", TopicID: logtest.Topic, Barrier: w.Barrier},
			durability.Recovery{})
		if err != nil {
			t.Fatal(err)
		}
		w.MustRecover()
		var wg sync.WaitGroup
		wg.Go(func() {
			for range 100 {
				logtest.MustAdd(t, cause, 1, 1)
				logtest.MustAdd(t, effect, 1, 1)
			}
		})
		for range 5 {
			w.MustSync()
		}
		left := mem.CrashClone()
		wg.Wait()
		w.Leave()
		after := logtest.NewWorld(t, left, durability.Page)
		after.Boot = "boot-2"
		l := after.MustOpen()
		e, _, err := log.Open(log.Options{FS: left, Dir: "data/effects-0", TopicID: logtest.Topic, Barrier: after.Barrier},
			after.Barrier.Recovery("effects-0", logtest.Topic))
		if err != nil {
			t.Fatal(err)
		}
		if e.EndOffset() > l.EndOffset() {
			t.Fatalf("seed %d: %d effects of %d causes", seed, e.EndOffset(), l.EndOffset())
		}
		after.Leave()
	}
}

// A log that could not be opened after a death is judged by a later start, also when a clean stop lies between:
// the power cut behind that takes it back to the last barrier, with all others of that time.
func TestLogThatWasNotOpenedIsJudgedLater(t *testing.T) {
	for _, mode := range []durability.Mode{durability.Page, durability.Fsync} {
		mem := vfs.NewCrashable(1)
		w := logtest.NewWorld(t, mem, mode)
		w.MustOpen()
		bills := w.OpenOther("bills-0")
		w.MustRecover()
		logtest.MustAdd(t, bills, 2, 1)
		w.MustCheckpoint()
		logtest.MustAdd(t, bills, 3, 1)
		if mode == durability.Fsync {
			w.MustSync()
		}
		w.Leave()
		left := mem.Clone()
		w = logtest.NewWorld(t, left, mode)
		w.MustOpen()
		broken := vfs.FailAt(0, left)
		if _, _, err := log.Open(log.Options{FS: broken, Dir: "data/bills-0", TopicID: logtest.Topic, Barrier: w.Barrier},
			w.Barrier.Recovery("bills-0", logtest.Topic)); !errors.Is(err, vfs.ErrInjected) {
			t.Fatal(err)
		}
		w.MustRecover()
		w.MustClose()
		want := map[durability.Mode]int64{durability.Page: 2, durability.Fsync: 5}[mode]
		after, _, bills := afterCut(t, left.CrashClone(), mode)
		if bills.EndOffset() != want {
			t.Errorf("%v: log ends at %d, want %d", mode, bills.EndOffset(), want)
		}
		after.Leave()
	}
}

func TestManyDirtyFilesShareOneSync(t *testing.T) {
	mem := vfs.NewMem()
	counted := vfs.FailAt(-1, mem)
	w := logtest.NewWorld(t, counted, durability.Page)
	w.Whole = true
	w.MustOpen()
	defer w.Leave()
	for i := range 40 {
		name := "many-" + string(rune('0'+i/10)) + string(rune('0'+i%10))
		l, _, err := log.Open(log.Options{FS: counted, Dir: "data/" + name, TopicID: logtest.Topic, Barrier: w.Barrier},
			durability.Recovery{})
		if err != nil {
			t.Fatal(err)
		}
		logtest.MustAdd(t, l, 1, 1)
	}
	before := counted.Operations()
	w.MustSync()
	if n := counted.Operations() - before; n > 6 {
		t.Errorf("%d operations for one barrier", n)
	}
}

// What recovery kept is durable after the Sync that follows all Opens, without any new append.
func TestSyncAfterRecoveryCoversTheKeptBatches(t *testing.T) {
	w := logtest.NewWorld(t, vfs.NewCrashable(3), durability.Page)
	logtest.MustAdd(t, w.MustOpen(), 30, 1)
	w.Leave()
	w.MustOpen()
	w.MustSync()
	w.Leave()
	after := logtest.NewWorld(t, w.FS.(*vfs.Mem).CrashClone(), durability.Page)
	after.Boot = "boot-2"
	if l := after.MustOpen(); l.EndOffset() != 30 {
		t.Fatal("end", l.EndOffset())
	}
	after.Leave()
}

// However fast it is written, a start after a death finds no more than durability.MaxUnsyncedBytes and what came
// while a barrier ran.
func TestBurstIsSyncedAheadOfTime(t *testing.T) {
	w := logtest.NewWorld(t, vfs.NewMem(), durability.Page)
	w.Config.SegmentBytes = 1 << 30
	l := w.MustOpen()
	defer w.Leave()
	next := w.Barrier.Next()
	value := batch.Record{Value: make([]byte, 1<<20)}
	for appended := 0; appended < durability.MaxUnsyncedBytes; {
		raw := batch.Build(batch.BuildOptions{BaseOffset: l.EndOffset(), ProducerID: -1, ProducerEpoch: -1, BaseSequence: -1},
			value)
		h, err := batch.Verify(raw)
		if err != nil {
			t.Fatal(err)
		}
		select {
		case <-next:
			t.Fatalf("a barrier ran after %d bytes", appended)
		default:
		}
		if err := l.Append(raw, h); err != nil {
			t.Fatal(err)
		}
		appended += len(raw)
	}
	<-next // no time has passed
}

// flush.ms brings the barrier forward, whatever was going to bring it before.
func TestFlushMsBringsTheBarrierForward(t *testing.T) {
	w := logtest.NewWorld(t, vfs.NewMem(), durability.Page)
	l := w.MustOpen()
	defer w.Leave()
	for _, c := range []struct{ flushMs, want int64 }{{0, 1000}, {200, 200}, {5000, 1000}} {
		l.SetConfig(log.Config{FlushMs: c.flushMs})
		w.MustSync()
		w.Barrier.Arm() // for another log
		next := w.Barrier.Next()
		logtest.MustAdd(t, l, 1, 1)
		w.Clock.Advance(time.Duration(c.want-1) * time.Millisecond)
		select {
		case <-next:
			t.Errorf("flush.ms %d: too early", c.flushMs)
		default:
		}
		w.Clock.Advance(time.Millisecond)
		<-next
	}
}

// noisyFS tells of writes.
type noisyFS struct {
	vfs.FS
	wrote chan struct{}
}

func (n *noisyFS) Create(name string) (vfs.File, error) {
	f, err := n.FS.Create(name)
	return &noisyFile{f, n}, err
}

type noisyFile struct {
	vfs.File
	n *noisyFS
}

func (f *noisyFile) WriteAt(b []byte, off int64) (int, error) {
	n, err := f.File.WriteAt(b, off)
	select {
	case f.n.wrote <- struct{}{}:
	default:
	}
	return n, err
}
