package durability_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
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
)

func TestBarrierRefusesWhatItCannotTrust(t *testing.T) {
	fresh := func() *world {
		w := newWorld(t, vfs.NewMem(), durability.Page)
		mustAdd(t, w.mustOpen(), 2, 1)
		w.mustClose()
		return w
	}
	both := func(w *world, fn func(b []byte) []byte) {
		for _, slot := range []uint64{0, 1} {
			mutate(t, w.fs, "data/"+durability.SlotName(slot), fn)
		}
	}
	t.Run("both damaged", func(t *testing.T) {
		w := fresh()
		both(w, func(b []byte) []byte { b[20] ^= 1; return b })
		if err := w.open(); !errors.Is(err, files.ErrDamaged) || !strings.HasPrefix(damagedFile(err), "data/barrier.") {
			t.Fatal(err)
		}
	})
	t.Run("both missing", func(t *testing.T) {
		w := fresh()
		_ = w.fs.Remove("data/barrier.0")
		_ = w.fs.Remove("data/barrier.1")
		if err := w.open(); !errors.Is(err, files.ErrDamaged) {
			t.Fatal(err)
		}
	})
	t.Run("next version", func(t *testing.T) {
		w := fresh()
		both(w, func(b []byte) []byte { b[5]++; return b })
		if err := w.open(); !errors.Is(err, files.ErrFormat) || !strings.Contains(err.Error(), "data/barrier.") {
			t.Fatal(err)
		}
	})
	t.Run("newest torn", func(t *testing.T) {
		w := newWorld(t, vfs.NewMem(), durability.Page)
		l := w.mustOpen()
		mustAdd(t, l, 2, 1)
		w.mustSync()
		mustAdd(t, l, 2, 1)
		w.mustSync()
		sequence := w.barrier.Sequence()
		w.leave()
		mutate(t, w.fs, "data/"+durability.SlotName(sequence), func(b []byte) []byte { return b[:len(b)-3] })
		if w.mustOpen().EndOffset() != 4 {
			t.Fatal("lost")
		}
		w.leave()
	})
}

// A record of version 2 is read, but not its journal, which had another layout.
func TestRecordOfVersionTwo(t *testing.T) {
	w := newWorld(t, vfs.NewMem(), durability.Fsync)
	mustAdd(t, w.mustOpen(), 3, 1)
	w.mustRecover()
	mustAdd(t, w.log, 1, 1)
	w.mustSync()
	journaled := w.barrier // its journal goes on from its record
	w.leave()
	closed := newWorld(t, w.fs.(*vfs.Mem).Clone(), durability.Fsync)
	closed.mustOpen()
	clean := closed.barrier
	closed.mustClose() // the record knows all of it
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
		again := newWorld(t, w.fs.(*vfs.Mem).Clone(), durability.Fsync)
		again.boot = c.boot
		for _, slot := range []uint64{0, 1} {
			mutate(t, again.fs, "data/"+durability.SlotName(slot), func([]byte) []byte { return c.from.EncodeVersion2(100+slot, c.clean) })
		}
		err := again.open()
		if errors.Is(err, files.ErrFormat) != c.refused || !c.refused && (err != nil || again.log.EndOffset() != 4) {
			t.Errorf("clean %v, %s: %v", c.clean, c.boot, err)
		}
		again.leave()
	}
}

func TestIdleBarrierWritesNothing(t *testing.T) {
	counted := vfs.FailAt(-1, vfs.NewMem())
	w := newWorld(t, counted, durability.Page)
	l := w.mustOpen()
	defer w.leave()
	mustAdd(t, l, 1, 1)
	w.mustSync()
	before := counted.Operations()
	w.clock.Advance(time.Hour)
	w.mustSync()
	if n := counted.Operations() - before; n != 0 {
		t.Fatal(n, "operations while idle")
	}
}

func TestTimerSyncsDirtyLogs(t *testing.T) {
	mem := vfs.NewCrashable(1)
	w := newWorld(t, mem, durability.Page)
	l := w.mustOpen()
	defer w.leave()
	mustAdd(t, l, 3, 1)
	ticket := w.barrier.TicketFor(durability.RecordsDeleted)
	next := w.barrier.Next()
	w.clock.Advance(durability.DefaultInterval)
	<-next
	if w.barrier.Done() < ticket.Generation() {
		t.Fatal("the timer's barrier did not cover the append")
	}
}

func TestTicketsFollowTheMode(t *testing.T) {
	for _, c := range []struct {
		mode           durability.Mode
		append, commit bool // wait
	}{{durability.Page, false, false}, {durability.Txn, false, true}, {durability.Fsync, true, true}} {
		w := newWorld(t, vfs.NewMem(), c.mode)
		l := w.mustOpen()
		mustAdd(t, l, 1, 1)
		if got := l.TicketFor(durability.Produced).Pending(); got != c.append {
			t.Errorf("%v: append waits %v", c.mode, got)
		}
		if got := w.barrier.TicketFor(durability.GroupChanged).Pending(); got != c.commit {
			t.Errorf("%v: commit waits %v", c.mode, got)
		}
		if err := l.TicketFor(durability.Produced).Wait(context.Background()); err != nil {
			t.Error(err)
		}
		w.leave()
	}
}

// Waiters that come while one barrier syncs share the next.
func TestWaitersShareABarrier(t *testing.T) {
	gate := &gatedFS{FS: vfs.NewMem(), entered: make(chan struct{}, 64), open: make(chan struct{})}
	w := newWorld(t, gate, durability.Fsync)
	l := w.mustOpen()
	defer w.leave()
	mustAdd(t, l, 1, 1)
	gate.arm()
	first := make(chan error, 1)
	ticket := l.TicketFor(durability.Produced)
	go func() { first <- ticket.Wait(context.Background()) }()
	<-gate.entered
	before := w.barrier.Done()
	var wg sync.WaitGroup
	for range 20 {
		mustAdd(t, l, 1, 1)
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
	if n := w.barrier.Done() - before; n != 2 {
		t.Errorf("%d barriers for the first and twenty more, want 2", n)
	}
}

// In fsync mode a barrier has written the bytes to the journal when it answers; files and record follow at
// leisure, and the record tells of all of them.
func TestARecordMayFollowTheBarrier(t *testing.T) {
	fs := vfs.NewMem()
	w := newWorld(t, fs, durability.Fsync)
	l := w.mustOpen()
	defer w.leave()
	w.mustRecover()
	before := w.barrier.Sequence()
	for range 10 {
		mustAdd(t, l, 1, 1)
		if err := l.TicketFor(durability.Produced).Wait(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	if n := w.barrier.Sequence() - before; n > 0 {
		t.Errorf("%d records for ten barriers within one interval", n)
	}
	w.clock.Advance(durability.DefaultInterval)
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
	w := newWorld(t, gate, durability.Fsync)
	l := w.mustOpen()
	mustAdd(t, l, 1, 1)
	gate.arm()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := l.TicketFor(durability.Produced).Wait(ctx); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	close(gate.open)
	w.leave()
}

// A failed sync is final (spec: reliability P7).
func TestFailedSyncIsFinal(t *testing.T) {
	mem := vfs.NewMem()
	broken := &brokenSync{FS: mem}
	w := newWorld(t, broken, durability.Fsync)
	l := w.mustOpen()
	calls := 0
	w.barrier.SetOnFailure(func(error) { calls++ })
	mustAdd(t, l, 1, 1)
	broken.fail = true
	if err := l.TicketFor(durability.Produced).Wait(context.Background()); !errors.Is(err, vfs.ErrInjected) {
		t.Fatal(err)
	}
	broken.fail = false
	if err := add(l, 1); !errors.Is(err, log.ErrFailed) {
		t.Fatal("append after a failed sync:", err)
	}
	if err := w.barrier.Sync(context.Background()); err != nil && !errors.Is(err, vfs.ErrInjected) {
		t.Fatal(err)
	}
	if err := w.barrier.Close(true); err == nil {
		t.Fatal("clean after a failure")
	}
	if calls != 1 {
		t.Fatal(calls, "calls of OnFailure")
	}
	w.barrier = nil
	after := newWorld(t, mem, durability.Fsync)
	after.mustOpen()
	if after.barrier.Clean() || after.report.RewrittenBytes == 0 {
		t.Fatalf("%+v", after.report)
	}
	after.leave()
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
		w := newWorld(t, mem, durability.Mode(seed%3))
		cause := w.mustOpen()
		effect, _, err := log.Open(log.Options{FS: mem, Dir: "data/effects-0", TopicID: testTopic, Barrier: w.barrier}, durability.Recovery{})
		if err != nil {
			t.Fatal(err)
		}
		w.mustRecover()
		var wg sync.WaitGroup
		wg.Go(func() {
			for range 100 {
				mustAdd(t, cause, 1, 1)
				mustAdd(t, effect, 1, 1)
			}
		})
		for range 5 {
			w.mustSync()
		}
		left := mem.CrashClone()
		wg.Wait()
		w.leave()
		after := newWorld(t, left, durability.Page)
		after.boot = "boot-2"
		l := after.mustOpen()
		e, _, err := log.Open(log.Options{FS: left, Dir: "data/effects-0", TopicID: testTopic, Barrier: after.barrier}, after.barrier.Recovery("effects-0", testTopic))
		if err != nil {
			t.Fatal(err)
		}
		if e.EndOffset() > l.EndOffset() {
			t.Fatalf("seed %d: %d effects of %d causes", seed, e.EndOffset(), l.EndOffset())
		}
		after.leave()
	}
}

// A log that could not be opened after a death is judged by a later start, also when a clean stop lies between:
// the power cut behind that takes it back to the last barrier, with all others of that time.
func TestLogThatWasNotOpenedIsJudgedLater(t *testing.T) {
	for _, mode := range []durability.Mode{durability.Page, durability.Fsync} {
		mem := vfs.NewCrashable(1)
		w := newWorld(t, mem, mode)
		w.mustOpen()
		bills := w.openOther("bills-0")
		w.mustRecover()
		mustAdd(t, bills, 2, 1)
		w.mustCheckpoint()
		mustAdd(t, bills, 3, 1)
		if mode == durability.Fsync {
			w.mustSync()
		}
		w.leave()
		left := mem.Clone()
		w = newWorld(t, left, mode)
		w.mustOpen()
		broken := vfs.FailAt(0, left)
		if _, _, err := log.Open(log.Options{FS: broken, Dir: "data/bills-0", TopicID: testTopic, Barrier: w.barrier}, w.barrier.Recovery("bills-0", testTopic)); !errors.Is(err, vfs.ErrInjected) {
			t.Fatal(err)
		}
		w.mustRecover()
		w.mustClose()
		want := map[durability.Mode]int64{durability.Page: 2, durability.Fsync: 5}[mode]
		after, _, bills := afterCut(t, left.CrashClone(), mode)
		if bills.EndOffset() != want {
			t.Errorf("%v: log ends at %d, want %d", mode, bills.EndOffset(), want)
		}
		after.leave()
	}
}

func TestManyDirtyFilesShareOneSync(t *testing.T) {
	mem := vfs.NewMem()
	counted := vfs.FailAt(-1, mem)
	w := newWorld(t, counted, durability.Page)
	w.whole = true
	w.mustOpen()
	defer w.leave()
	for i := range 40 {
		name := "many-" + string(rune('0'+i/10)) + string(rune('0'+i%10))
		l, _, err := log.Open(log.Options{FS: counted, Dir: "data/" + name, TopicID: testTopic, Barrier: w.barrier}, durability.Recovery{})
		if err != nil {
			t.Fatal(err)
		}
		mustAdd(t, l, 1, 1)
	}
	before := counted.Operations()
	w.mustSync()
	if n := counted.Operations() - before; n > 6 {
		t.Errorf("%d operations for one barrier", n)
	}
}

// What recovery kept is durable after the Sync that follows all Opens, without any new append.
func TestSyncAfterRecoveryCoversWhatWasKept(t *testing.T) {
	w := newWorld(t, vfs.NewCrashable(3), durability.Page)
	mustAdd(t, w.mustOpen(), 30, 1)
	w.leave()
	w.mustOpen()
	w.mustSync()
	w.leave()
	after := newWorld(t, w.fs.(*vfs.Mem).CrashClone(), durability.Page)
	after.boot = "boot-2"
	if l := after.mustOpen(); l.EndOffset() != 30 {
		t.Fatal("end", l.EndOffset())
	}
	after.leave()
}

// However fast it is written, a start after a death finds no more than durability.MaxUnsyncedBytes and what came while a
// barrier ran.
func TestBurstIsSyncedAheadOfTime(t *testing.T) {
	w := newWorld(t, vfs.NewMem(), durability.Page)
	w.config.SegmentBytes = 1 << 30
	l := w.mustOpen()
	defer w.leave()
	next := w.barrier.Next()
	value := batch.Record{Value: make([]byte, 1<<20)}
	for appended := 0; appended < durability.MaxUnsyncedBytes; {
		raw := batch.Build(batch.BuildOptions{BaseOffset: l.EndOffset(), ProducerID: -1, ProducerEpoch: -1, BaseSequence: -1}, value)
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

// An append becomes visible inside the barrier's lock, so that a cut over all logs is one instant.
func TestAppendPublishesInsideTheCut(t *testing.T) {
	fs := &noisyFS{FS: vfs.NewMem(), wrote: make(chan struct{}, 16)}
	w := newWorld(t, fs, durability.Page)
	l := w.mustOpen()
	defer w.leave()
	mustAdd(t, l, 1, 1)
	for len(fs.wrote) > 0 {
		<-fs.wrote
	}
	w.barrier.LockInstant()
	var wg sync.WaitGroup
	wg.Go(func() { mustAdd(t, l, 1, 1) })
	<-fs.wrote
	for range 1000 {
		runtime.Gosched()
		if l.EndOffset() != 1 {
			t.Error("published while a barrier takes its cut")
			break
		}
	}
	w.barrier.UnlockInstant()
	wg.Wait()
	if l.EndOffset() != 2 {
		t.Error("end", l.EndOffset())
	}
}

// What the barrier records is the end it began with, not what came while it synced.
func TestBarrierRecordsTheEndItBeganWith(t *testing.T) {
	gate := &gatedFS{FS: vfs.NewMem(), entered: make(chan struct{}, 64), open: make(chan struct{})}
	w := newWorld(t, gate, durability.Page)
	l := w.mustOpen()
	defer w.leave()
	mustAdd(t, l, 3, 1)
	gate.arm()
	done := make(chan struct{})
	go func() { w.mustSync(); close(done) }()
	<-gate.entered
	mustAdd(t, l, 3, 1)
	close(gate.open)
	<-done
	if point := w.barrier.RecoveryPoint("orders-0"); point != 3 {
		t.Fatal("recovery point", point)
	}
}

// A barrier notes all logs at one instant: of appends that one goroutine made one after the other, it
// covers the first so many.
func TestBarrierNotesOneInstant(t *testing.T) {
	const logs, rounds = 16, 6000
	w := newWorld(t, vfs.NewMem(), durability.Page)
	w.mustOpen()
	defer w.leave()
	all := make([]*log.Log, logs)
	turn := make([][]int, logs) // when each log gets its n-th append
	for i := range all {
		var err error
		if all[i], _, err = log.Open(log.Options{FS: w.fs, Dir: fmt.Sprintf("data/turn-%d", i), TopicID: testTopic, Barrier: w.barrier}, durability.Recovery{}); err != nil {
			t.Fatal(err)
		}
	}
	order := make([][]int, rounds)
	for r := range order {
		order[r] = rand.Perm(logs)
		for at, i := range order[r] {
			turn[i] = append(turn[i], r*logs+at)
		}
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for _, round := range order {
			for _, i := range round {
				if err := add(all[i], 1); err != nil {
					t.Error(err)
					return
				}
			}
		}
	}()
	for barriers, last := 0, int64(0); ; barriers++ {
		for all[0].EndOffset() < min(last+3, rounds) && !t.Failed() { // so that all logs are dirty
			runtime.Gosched()
		}
		last = all[0].EndOffset()
		w.mustSync()
		latest, missing := -1, logs*rounds
		points := w.barrier.RecoveryPoints()
		for i := range all {
			point := points[fmt.Sprintf("turn-%d", i)]
			if point > 0 {
				latest = max(latest, turn[i][point-1])
			}
			if point < rounds {
				missing = min(missing, turn[i][point])
			}
		}
		if latest > missing {
			t.Fatalf("barrier %d covers append %d and not append %d", barriers, latest, missing)
		}
		select {
		case <-ended:
			t.Logf("%d barriers over %d appends", barriers, logs*rounds)
			return
		default:
		}
	}
}

// flush.ms brings the barrier forward, whatever was going to bring it before.
func TestFlushMsBringsTheBarrierForward(t *testing.T) {
	w := newWorld(t, vfs.NewMem(), durability.Page)
	l := w.mustOpen()
	defer w.leave()
	for _, c := range []struct{ flushMs, want int64 }{{0, 1000}, {200, 200}, {5000, 1000}} {
		l.SetConfig(log.Config{FlushMs: c.flushMs})
		w.mustSync()
		w.barrier.Arm() // for another log
		next := w.barrier.Next()
		mustAdd(t, l, 1, 1)
		w.clock.Advance(time.Duration(c.want-1) * time.Millisecond)
		select {
		case <-next:
			t.Errorf("flush.ms %d: too early", c.flushMs)
		default:
		}
		w.clock.Advance(time.Millisecond)
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
