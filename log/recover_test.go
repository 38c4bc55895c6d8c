package log

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"once/durability"
	"once/internal/files"
	"once/internal/vfs"
)

// story is what a broker does in the failure sweeps: appends that roll, some barriers, aborted
// transactions, a snapshot. It ends at the first failure and notes what it was told.
type story struct {
	acked  int64 // offsets below were acknowledged by Append
	synced int64 // offsets below were acknowledged by a barrier
}

func (s *story) run(w *world) error {
	if err := w.open(); err != nil {
		return err
	}
	if err := w.barrier.Recovered(context.Background()); err != nil {
		return err
	}
	for i := range 24 {
		if err := add(w.log, 2); err != nil {
			return err
		}
		s.acked = w.log.EndOffset()
		if i == 5 || i == 13 || i == 14 {
			if err := w.barrier.Sync(context.Background()); err != nil {
				return err
			}
			s.synced = s.acked
		}
		if i == 10 {
			if err := w.log.WriteSnapshot(w.log.EndOffset(), []byte("middle")); err != nil {
				return err
			}
		}
	}
	return nil
}

// died ends a story: handles and goroutine go, nothing is written any more.
func died(w *world) {
	w.leave()
}

const everyOffset = 2 // records in a batch of the story

func checkOffsets(l *Log, end int64) error { return checkOffsetsBy(l, end, everyOffset) }

// checkOffsetsBy expects batches of so many records up to the end.
func checkOffsetsBy(l *Log, end, every int64) error {
	offsets, err := contents(l)
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

// Fail operation 0, 1, 2 … until nothing fails; the process dies there. Opened again, every
// acknowledged batch is there once (spec: reliability P2); a batch that was being written may be.
func TestProcessDeathAtEveryOperation(t *testing.T) {
	for _, mode := range []durability.Mode{durability.Page, durability.Fsync} {
		for n := 0; ; n++ {
			mem := vfs.NewMem()
			dying := vfs.DieAt(n, mem)
			w := newWorld(t, mem, mode)
			w.fs = dying
			var s story
			_ = s.run(w)
			left := mem.Clone()
			died(w)
			after := newWorld(t, left, mode)
			if err := after.open(); err != nil {
				t.Fatalf("operation %d: %v", n, err)
			}
			if end := after.log.EndOffset(); end != s.acked && end != s.acked+everyOffset {
				t.Fatalf("operation %d: log ends at %d, acknowledged %d", n, end, s.acked)
			}
			if err := checkOffsets(after.log, after.log.EndOffset()); err != nil {
				t.Fatalf("operation %d: %v", n, err)
			}
			if err := add(after.log, everyOffset); err != nil {
				t.Fatalf("operation %d: append after recovery: %v", n, err)
			}
			after.mustSync()
			after.leave()
			if !dying.Fired() {
				break
			}
		}
	}
}

// The same with a power cut: everything up to the last completed barrier is there; page cuts to it,
// fsync keeps a prefix that is at least as long (spec: reliability 2.1).
func TestPowerCutAtEveryOperation(t *testing.T) {
	for _, mode := range []durability.Mode{durability.Page, durability.Txn, durability.Fsync} {
		for n := 0; ; n++ {
			mem := vfs.NewCrashable(int64(n))
			w := newWorld(t, mem, mode)
			dying := vfs.DieAt(n, mem)
			w.fs = dying
			var s story
			_ = s.run(w)
			left := mem.CrashClone()
			died(w)
			after := newWorld(t, left, mode)
			after.boot = "boot-2"
			if err := after.open(); err != nil {
				t.Fatalf("%v, operation %d, synced %d: %v", mode, n, s.synced, err)
			}
			end := after.log.EndOffset()
			// A barrier that completed without being able to say so may count.
			if end < s.synced || end > s.acked+everyOffset || mode != durability.Fsync && end != s.synced && end != s.acked {
				t.Fatalf("%v, operation %d: log ends at %d, synced %d, acknowledged %d", mode, n, end, s.synced, s.acked)
			}
			if err := checkOffsets(after.log, end); err != nil {
				t.Fatalf("%v, operation %d: %v", mode, n, err)
			}
			after.leave()
			if !dying.Fired() {
				break
			}
		}
	}
}

// One failing operation while the process lives on: an error means not in the log, or the log says
// that it is over; nothing acknowledged is lost either way.
func TestOneFailureAtEveryOperation(t *testing.T) {
	for n := 0; ; n++ {
		mem := vfs.NewCrashable(int64(n))
		w := newWorld(t, mem, durability.Page)
		failing := vfs.FailAt(n, mem)
		w.fs = failing
		if err := w.open(); err != nil {
			w.leave()
			if !failing.Fired() {
				t.Fatal(err)
			}
			continue
		}
		acked := int64(0)
		for i := range 24 {
			if err := add(w.log, everyOffset); err == nil {
				acked += everyOffset
			}
			if i%8 == 7 {
				_ = w.barrier.Sync(context.Background())
			}
			if w.log.EndOffset() != acked {
				t.Fatalf("operation %d: end %d, acknowledged %d", n, w.log.EndOffset(), acked)
			}
		}
		if err := checkOffsets(w.log, acked); err != nil {
			t.Fatalf("operation %d: %v", n, err)
		}
		left := mem.Clone()
		died(w)
		after := newWorld(t, left, durability.Page)
		if err := after.open(); err != nil {
			t.Fatalf("operation %d: %v", n, err)
		}
		if err := checkOffsets(after.log, acked); err != nil {
			t.Fatalf("operation %d, reopened: %v", n, err)
		}
		after.leave()
		if !failing.Fired() {
			break
		}
	}
}

// Kill recovery at each of its operations, and the recovery after that, until one gets through: the
// outcome is that of an undisturbed one (spec: reliability P9).
func TestRecoveryKilledAtEveryOperation(t *testing.T) {
	for _, boot := range []string{"boot-1", "boot-2"} {
		for _, mode := range []durability.Mode{durability.Page, durability.Fsync} {
			mem := vfs.NewMem()
			w := newWorld(t, mem, mode)
			var s story
			if err := s.run(w); err != nil {
				t.Fatal(err)
			}
			last := w.log.list()[len(w.log.list())-1]
			died(w)
			mutate(t, mem, last.file(LogSuffix), func(b []byte) []byte { return append(b, "torn tail"...) })
			undisturbed := newWorld(t, mem.Clone(), mode)
			undisturbed.boot = boot
			want := undisturbed.mustOpen().EndOffset()
			undisturbed.leave()
			current := mem.Clone()
			for n := 0; n < 1000; n++ {
				again := newWorld(t, current, mode)
				dying := vfs.DieAt(n, current)
				again.boot, again.fs = boot, dying
				err := again.open()
				again.leave()
				if !dying.Fired() {
					if err != nil {
						t.Fatal(err)
					}
					if err := checkOffsets(again.log, want); err != nil {
						t.Fatalf("boot %s, %v: %v", boot, mode, err)
					}
					break
				}
				if n == 999 {
					t.Fatal("recovery never got through")
				}
			}
		}
	}
}

func TestTornTailIsMovedAside(t *testing.T) {
	w := newWorld(t, vfs.NewMem(), durability.Page)
	l := w.mustOpen()
	mustAdd(t, l, 3, 2)
	w.mustSync()
	mustAdd(t, l, 1, 2)
	w.leave()
	raw, _ := makeBatch(8, 2, 0, 0)
	torn := raw[:len(raw)-1]
	mutate(t, w.fs, testDir+"/"+stem(0)+LogSuffix, func(b []byte) []byte { return append(b, torn...) })
	l = w.mustOpen()
	defer w.leave()
	if l.EndOffset() != 8 || w.report.TruncatedBytes != int64(len(torn)) || len(w.report.TornFiles) != 1 {
		t.Fatalf("end %d, %+v", l.EndOffset(), w.report)
	}
	if w.report.RewrittenBytes == 0 {
		t.Error("kept bytes above the barrier were not rewritten")
	}
	if b, err := files.ReadSmall(w.fs, w.report.TornFiles[0]); err != nil || !bytes.Equal(b, torn) {
		t.Fatal("moved bytes", len(b), err)
	}
	if !strings.Contains(w.report.TornFiles[0], ".torn-") {
		t.Error(w.report.TornFiles)
	}
	mustContents(t, l)
}

// A batch that is larger than what recovery reads at once is kept whole, or goes whole.
func TestLargeBatchAboveTheBarrierIsKeptOrTorn(t *testing.T) {
	for _, damaged := range []bool{false, true} {
		w := newWorld(t, vfs.NewMem(), durability.Page)
		w.config.SegmentBytes = 1 << 20
		l := w.mustOpen()
		mustAdd(t, l, 1, 2)
		w.mustSync()
		mustAdd(t, l, 1, 30_000)
		size, end := l.SizeBytes(), l.EndOffset()
		if size < 2*scanBytes {
			t.Fatalf("a segment of %d bytes is read at once", size)
		}
		w.leave()
		if damaged {
			end = 2
			mutate(t, w.fs, testDir+"/"+stem(0)+LogSuffix, func(b []byte) []byte { b[len(b)-1] ^= 1; return b })
		}
		l = w.mustOpen()
		if l.EndOffset() != end || (w.report.TruncatedBytes > 0) != damaged || !damaged && l.SizeBytes() != size {
			t.Errorf("damaged %v: %d bytes to offset %d, %+v", damaged, l.SizeBytes(), l.EndOffset(), w.report)
		}
		w.leave()
	}
}

func TestZeroTailIsTorn(t *testing.T) {
	w := newWorld(t, vfs.NewMem(), durability.Page)
	mustAdd(t, w.mustOpen(), 3, 2)
	w.leave()
	mutate(t, w.fs, testDir+"/"+stem(0)+LogSuffix, func(b []byte) []byte { return append(b, make([]byte, 5000)...) })
	l := w.mustOpen()
	defer w.leave()
	if l.EndOffset() != 6 || w.report.ZeroBytes != 5000 || w.report.TruncatedBytes != 0 {
		t.Fatalf("end %d, %+v", l.EndOffset(), w.report)
	}
}

// A copy of an earlier batch has a valid checksum and the wrong offset.
func TestMisplacedBatchIsTorn(t *testing.T) {
	w := newWorld(t, vfs.NewMem(), durability.Page)
	mustAdd(t, w.mustOpen(), 3, 2)
	w.leave()
	copied, _ := makeBatch(0, 2, 0, 0)
	mutate(t, w.fs, testDir+"/"+stem(0)+LogSuffix, func(b []byte) []byte { return append(b, copied...) })
	l := w.mustOpen()
	defer w.leave()
	if l.EndOffset() != 6 || w.report.TruncatedBytes != int64(len(copied)) {
		t.Fatalf("end %d, %+v", l.EndOffset(), w.report)
	}
}

// Below the barrier nothing is cut: the log stays closed and its bytes stay as they are (spec:
// reliability P8).
func TestDamageBelowTheBarrierIsLeftAlone(t *testing.T) {
	for name, spoil := range map[string]func(b []byte) []byte{
		"cut":           func(b []byte) []byte { return b[:len(b)-1] },
		"emptied":       func([]byte) []byte { return nil },
		"header zeroed": func(b []byte) []byte { clear(b[len(b)/2:]); return b },
	} {
		t.Run(name, func(t *testing.T) {
			mem := vfs.NewMem()
			w := newWorld(t, mem, durability.Page)
			l := w.mustOpen()
			mustAdd(t, l, 8, 2)
			w.mustSync()
			file := l.list()[0].file(LogSuffix)
			if len(l.list()) > 1 {
				file = l.list()[len(l.list())-1].file(LogSuffix)
			}
			w.leave()
			mutate(t, mem, file, spoil)
			before, _ := files.ReadSmall(mem, file)
			err := w.open()
			w.leave()
			if !errors.Is(err, files.ErrDamaged) || damagedFile(err) != file {
				t.Fatalf("%s: %v", file, err)
			}
			if after, _ := files.ReadSmall(mem, file); !bytes.Equal(before, after) {
				t.Fatal("bytes were changed")
			}
		})
	}
}

func TestMissingDirectoryIsDamage(t *testing.T) {
	w := newWorld(t, vfs.NewMem(), durability.Page)
	mustAdd(t, w.mustOpen(), 1, 1)
	w.mustClose()
	if err := w.fs.RemoveAll(testDir); err != nil {
		t.Fatal(err)
	}
	if err := w.open(); !errors.Is(err, files.ErrDamaged) {
		t.Fatal(err)
	}
	w.leave()
}

func TestCleanStopIsNotScanned(t *testing.T) {
	w := newWorld(t, vfs.NewMem(), durability.Page)
	mustAdd(t, w.mustOpen(), 40, 2)
	w.mustClose()
	l := w.mustOpen()
	defer w.leave()
	if w.report.ScannedBytes != 0 || l.EndOffset() != 80 {
		t.Fatalf("%+v", w.report)
	}
}

func TestOnlyBytesAboveTheBarrierAreScanned(t *testing.T) {
	w := newWorld(t, vfs.NewMem(), durability.Page)
	l := w.mustOpen()
	mustAdd(t, l, 40, 2)
	w.mustSync()
	size := l.SizeBytes()
	mustAdd(t, l, 3, 2)
	above := l.SizeBytes() - size
	w.leave()
	w.mustOpen()
	defer w.leave()
	if w.report.ScannedBytes != above {
		t.Fatalf("%+v, %d bytes above", w.report, above)
	}
}

// A log that wrote in page mode, died, and lost power before it was opened again must be cut, however
// often the start is repeated.
func TestCutSurvivesStartsThatDoNotOpenTheLog(t *testing.T) {
	w := newWorld(t, vfs.NewMem(), durability.Page)
	l := w.mustOpen()
	mustAdd(t, l, 4, 2)
	w.mustSync()
	mustAdd(t, l, 4, 2)
	w.leave()
	w.boot = "boot-2"
	for range 3 { // starts that end before any log is opened
		b, err := durability.Open(durability.Options{FS: w.fs, Dir: "data", FindLogs: findLogs, BootID: "boot-2", Mode: durability.Page})
		if err != nil {
			t.Fatal(err)
		}
		b.Kill()
	}
	if l = w.mustOpen(); l.EndOffset() != 8 || w.report.TruncatedBytes == 0 {
		t.Fatalf("end %d %+v", l.EndOffset(), w.report)
	}
	w.leave()
}

func TestForeignFilesAreLeftAlone(t *testing.T) {
	mem := vfs.NewMem()
	w := newWorld(t, mem, durability.Page)
	mustAdd(t, w.mustOpen(), 1, 1)
	w.leave()
	foreign := []string{"README", "5.log", "0000000000000000000x.log", stem(3) + ".unknown"}
	for _, name := range foreign {
		if f, err := mem.Create(testDir + "/" + name); err == nil {
			f.Close()
		}
	}
	w.mustOpen()
	w.leave()
	names, _ := mem.List(testDir)
	for _, name := range foreign {
		if !slices.Contains(names, name) {
			t.Error("removed", name)
		}
	}
}
