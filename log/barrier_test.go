package log

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"once/internal/vfs"
	"once/log/batch"
)

func TestBarrierRefusesWhatItCannotTrust(t *testing.T) {
	fresh := func() *world {
		w := newWorld(t, vfs.NewMem(), Page)
		mustAdd(t, w.mustOpen(), 2, 1)
		w.mustClose()
		return w
	}
	both := func(w *world, fn func(b []byte) []byte) {
		for _, slot := range []uint64{0, 1} {
			mutate(t, w.fs, "data/"+slotName(slot), fn)
		}
	}
	t.Run("both damaged", func(t *testing.T) {
		w := fresh()
		both(w, func(b []byte) []byte { b[20] ^= 1; return b })
		if err := w.open(); !errors.Is(err, ErrDamaged) || !strings.HasPrefix(damagedFile(err), "data/barrier.") {
			t.Fatal(err)
		}
	})
	t.Run("both missing", func(t *testing.T) {
		w := fresh()
		_ = w.fs.Remove("data/barrier.0")
		_ = w.fs.Remove("data/barrier.1")
		if err := w.open(); !errors.Is(err, ErrDamaged) {
			t.Fatal(err)
		}
	})
	t.Run("next version", func(t *testing.T) {
		w := fresh()
		both(w, func(b []byte) []byte { b[5]++; return b })
		if err := w.open(); !errors.Is(err, ErrFormat) || !strings.Contains(err.Error(), "data/barrier.") {
			t.Fatal(err)
		}
	})
	t.Run("newest torn", func(t *testing.T) {
		w := newWorld(t, vfs.NewMem(), Page)
		l := w.mustOpen()
		mustAdd(t, l, 2, 1)
		w.mustSync()
		mustAdd(t, l, 2, 1)
		w.mustSync()
		sequence := w.barrier.mu.record.sequence
		w.leave()
		mutate(t, w.fs, "data/"+slotName(sequence), func(b []byte) []byte { return b[:len(b)-3] })
		if w.mustOpen().EndOffset() != 4 {
			t.Fatal("lost")
		}
		w.leave()
	})
}

func TestRecordSurvivesEncoding(t *testing.T) {
	r := record{sequence: 7, generation: 1 << 63, clean: true, restore: true, mode: Txn, bootID: "some boot", entries: map[string]recordEntry{
		"orders-0": {[16]byte{1}, 100, 20, true, false}, "orders-1": {[16]byte{2}, 0, 0, false, true}, "a": {}}}
	got, err := decodeRecord(r.encode())
	if err != nil || got.sequence != 7 || got.generation != 1<<63 || !got.restore || !got.clean || got.mode != Txn || got.bootID != "some boot" || len(got.entries) != 3 {
		t.Fatal(got, err)
	}
	for name, e := range r.entries {
		if got.entries[name] != e {
			t.Error(name, got.entries[name])
		}
	}
	raw := r.encode()
	for i := range raw {
		bad := bytes.Clone(raw)
		bad[i] ^= 0x40
		if _, err := decodeRecord(bad); err == nil {
			t.Errorf("flip in byte %d unnoticed", i)
		}
	}
}

// Records of version 1 are read, unless they count on what is not known to version 2.
// A record of version 2 is read, but not its journal, which had another layout.
func TestRecordOfVersionTwo(t *testing.T) {
	old := func(r record) []byte {
		raw := r.encode()
		raw = slices.Delete(raw, recordHeaderBytes+16, recordHeaderBytes+24)
		raw[5] = recordVersion2
		binary.BigEndian.PutUint32(raw[8:], uint32(len(raw)))
		binary.BigEndian.PutUint32(raw[12:], recordCRC(raw))
		return raw
	}
	w := newWorld(t, vfs.NewMem(), Fsync)
	mustAdd(t, w.mustOpen(), 3, 1)
	w.mustRecover()
	mustAdd(t, w.log, 1, 1)
	w.mustSync()
	newest := w.barrier.mu.record
	w.leave()
	for _, c := range []struct {
		clean   bool
		boot    string
		refused bool
	}{{true, "boot-1", false}, {true, "boot-2", false}, {false, "boot-1", false}, {false, "boot-2", true}} {
		r := newest
		r.clean = c.clean
		again := newWorld(t, w.fs.(*vfs.Mem).Clone(), Fsync)
		again.boot = c.boot
		for _, slot := range []uint64{0, 1} {
			r.sequence = 100 + slot
			if c.clean {
				r.entries = map[string]recordEntry{"orders-0": {topicID: testTopic, recoveryPoint: 4}}
			}
			mutate(t, again.fs, "data/"+slotName(slot), func([]byte) []byte { return old(r) })
		}
		err := again.open()
		if errors.Is(err, ErrFormat) != c.refused || !c.refused && (err != nil || again.log.EndOffset() != 4) {
			t.Errorf("%+v: %v", c, err)
		}
		again.leave()
	}
}

func TestIdleBarrierWritesNothing(t *testing.T) {
	counted := vfs.FailAt(-1, vfs.NewMem())
	w := newWorld(t, counted, Page)
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
	w := newWorld(t, mem, Page)
	l := w.mustOpen()
	defer w.leave()
	mustAdd(t, l, 3, 1)
	ticket := w.barrier.TicketIn(Page)
	w.barrier.mu.Lock()
	next := w.barrier.mu.next
	w.barrier.mu.Unlock()
	w.clock.Advance(DefaultInterval)
	<-next
	w.barrier.mu.Lock()
	done := w.barrier.mu.done
	w.barrier.mu.Unlock()
	if done < ticket.generation {
		t.Fatal("the timer's barrier did not cover the append")
	}
}

func TestTicketsFollowTheMode(t *testing.T) {
	for _, c := range []struct {
		mode           Mode
		append, commit bool // wait
	}{{Page, false, false}, {Txn, false, true}, {Fsync, true, true}} {
		w := newWorld(t, vfs.NewMem(), c.mode)
		l := w.mustOpen()
		mustAdd(t, l, 1, 1)
		if got := !l.Ticket().IsZero(); got != c.append {
			t.Errorf("%v: append waits %v", c.mode, got)
		}
		if got := !w.barrier.TicketIn(Txn).IsZero(); got != c.commit {
			t.Errorf("%v: commit waits %v", c.mode, got)
		}
		if err := l.Ticket().Wait(context.Background()); err != nil {
			t.Error(err)
		}
		w.leave()
	}
}

// Waiters that come while one barrier syncs share the next.
func TestWaitersShareABarrier(t *testing.T) {
	gate := &gatedFS{FS: vfs.NewMem(), entered: make(chan struct{}, 64), open: make(chan struct{})}
	w := newWorld(t, gate, Fsync)
	l := w.mustOpen()
	defer w.leave()
	mustAdd(t, l, 1, 1)
	gate.arm()
	first := make(chan error, 1)
	ticket := l.Ticket()
	go func() { first <- ticket.Wait(context.Background()) }()
	<-gate.entered
	completed := func() uint64 {
		w.barrier.mu.Lock()
		defer w.barrier.mu.Unlock()
		return w.barrier.mu.done
	}
	before := completed()
	var wg sync.WaitGroup
	for range 20 {
		mustAdd(t, l, 1, 1)
		ticket := l.Ticket()
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
	if n := completed() - before; n != 2 {
		t.Errorf("%d barriers for the first and twenty more, want 2", n)
	}
}

// In fsync mode a barrier has written the bytes to the journal when it answers; files and record follow at
// leisure, and the record tells of all of them.
func TestARecordMayFollowTheBarrier(t *testing.T) {
	fs := vfs.NewMem()
	w := newWorld(t, fs, Fsync)
	l := w.mustOpen()
	defer w.leave()
	w.mustRecover()
	sequence := func() uint64 {
		w.barrier.mu.Lock()
		defer w.barrier.mu.Unlock()
		return w.barrier.mu.record.sequence
	}
	before := sequence()
	for range 10 {
		mustAdd(t, l, 1, 1)
		if err := l.Ticket().Wait(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	if n := sequence() - before; n > 0 {
		t.Errorf("%d records for ten barriers within one interval", n)
	}
	w.clock.Advance(w.barrier.o.Interval)
	var r *record
	for r == nil || r.sequence == before { // the file is written behind the number
		runtime.Gosched()
		r, _ = readRecord(fs, "data")
	}
	if len(r.entries) != 1 {
		t.Fatalf("%+v", r)
	}
	for _, e := range r.entries {
		if e.recoveryPoint != 10 {
			t.Errorf("the record knows of offsets up to %d, 10 are synced", e.recoveryPoint)
		}
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
	w := newWorld(t, gate, Fsync)
	l := w.mustOpen()
	mustAdd(t, l, 1, 1)
	gate.arm()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := l.Ticket().Wait(ctx); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	close(gate.open)
	w.leave()
}

// A failed sync is final (spec: reliability P7).
func TestFailedSyncIsFinal(t *testing.T) {
	mem := vfs.NewMem()
	broken := &brokenSync{FS: mem}
	w := newWorld(t, broken, Fsync)
	l := w.mustOpen()
	calls := 0
	w.barrier.o.OnFailure = func(error) { calls++ }
	mustAdd(t, l, 1, 1)
	broken.fail = true
	if err := l.Ticket().Wait(context.Background()); !errors.Is(err, vfs.ErrInjected) {
		t.Fatal(err)
	}
	broken.fail = false
	if err := add(l, 1); !errors.Is(err, ErrFailed) {
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
	after := newWorld(t, mem, Fsync)
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
		w := newWorld(t, mem, Mode(seed%3))
		cause := w.mustOpen()
		effect, _, err := Open(Options{FS: mem, Dir: "data/effects-0", TopicID: testTopic, Barrier: w.barrier}, Recovery{})
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
		after := newWorld(t, left, Page)
		after.boot = "boot-2"
		l := after.mustOpen()
		e, _, err := Open(Options{FS: left, Dir: "data/effects-0", TopicID: testTopic, Barrier: after.barrier}, after.barrier.Recovery("effects-0", testTopic))
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
	for _, mode := range []Mode{Page, Fsync} {
		mem := vfs.NewCrashable(1)
		w := newWorld(t, mem, mode)
		w.mustOpen()
		bills := w.openOther("bills-0")
		w.mustRecover()
		mustAdd(t, bills, 2, 1)
		w.mustCheckpoint()
		mustAdd(t, bills, 3, 1)
		if mode == Fsync {
			w.mustSync()
		}
		w.leave()
		left := mem.Clone()
		w = newWorld(t, left, mode)
		w.mustOpen()
		broken := vfs.FailAt(0, left)
		if _, _, err := Open(Options{FS: broken, Dir: "data/bills-0", TopicID: testTopic, Barrier: w.barrier}, w.barrier.Recovery("bills-0", testTopic)); !errors.Is(err, vfs.ErrInjected) {
			t.Fatal(err)
		}
		w.mustRecover()
		w.mustClose()
		want := map[Mode]int64{Page: 2, Fsync: 5}[mode]
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
	w := newWorld(t, counted, Page)
	w.whole = true
	w.mustOpen()
	defer w.leave()
	for i := range 40 {
		name := "many-" + string(rune('0'+i/10)) + string(rune('0'+i%10))
		l, _, err := Open(Options{FS: counted, Dir: "data/" + name, TopicID: testTopic, Barrier: w.barrier}, Recovery{})
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
	w := newWorld(t, vfs.NewCrashable(3), Page)
	mustAdd(t, w.mustOpen(), 30, 1)
	w.leave()
	w.mustOpen()
	w.mustSync()
	w.leave()
	after := newWorld(t, w.fs.(*vfs.Mem).CrashClone(), Page)
	after.boot = "boot-2"
	if l := after.mustOpen(); l.EndOffset() != 30 {
		t.Fatal("end", l.EndOffset())
	}
	after.leave()
}

// However fast it is written, a start after a death finds no more than unsyncedBytes and what came while a
// barrier ran.
func TestBurstIsSyncedAheadOfTime(t *testing.T) {
	w := newWorld(t, vfs.NewMem(), Page)
	w.config.SegmentBytes = 1 << 30
	l := w.mustOpen()
	defer w.leave()
	w.barrier.mu.Lock()
	next := w.barrier.mu.next
	w.barrier.mu.Unlock()
	value := batch.Record{Value: make([]byte, 1<<20)}
	for appended := 0; appended < unsyncedBytes; {
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

// A start after a death makes the newest record durable before it writes over the other one: the process may have
// died before it had synced it, and then the power goes during the start.
func TestStartNeverLosesBothRecords(t *testing.T) {
	mem := vfs.NewCrashable(1)
	if err := mem.MkdirAll("data"); err != nil {
		t.Fatal(err)
	}
	newest := record{bootID: "boot-1", entries: map[string]recordEntry{}}
	for i := range 40 { // more than a disk writes at once
		newest.entries[fmt.Sprint("orders-", i)] = recordEntry{topicID: testTopic, recoveryPoint: 1}
	}
	for newest.sequence < 3 {
		mem.SyncAll() // not of the last one
		newest.sequence++
		for name, e := range newest.entries {
			e.recoveryPoint++
			newest.entries[name] = e
		}
		f, err := openOrCreate(mem, "data/"+slotName(newest.sequence))
		if err == nil {
			_, err = f.WriteAt(newest.encode(), 0)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for n, fired := 0, true; fired; n++ {
		for seed := range int64(20) {
			left := mem.Clone()
			left.Reseed(seed)
			dying := vfs.DieAt(n, left)
			b, err := OpenBarrier(BarrierOptions{FS: dying, Dir: "data", BootID: "boot-1", Mode: Page})
			if err == nil {
				b.stop()
			}
			fired = dying.Fired()
			if _, err := readRecord(left.CrashClone(), "data"); err != nil {
				t.Fatalf("seed %d, died at operation %d: %v", seed, n, err)
			}
		}
	}
}
