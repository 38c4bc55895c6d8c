package log_test

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"once/durability"
	"once/internal/files"
	"once/internal/vfs"
	"once/log"
	"once/log/directory"
	"once/log/logtest"
)

// story is what a broker does in the failure sweeps: appends that roll, some barriers, aborted
// transactions, a snapshot. It ends at the first failure and notes what it was told.
type story struct {
	acked  int64 // offsets below were acknowledged by Append
	synced int64 // offsets below were acknowledged by a barrier
}

func (s *story) run(w *logtest.World) error {
	if err := w.Open(); err != nil {
		return err
	}
	if err := w.Barrier.Recovered(context.Background()); err != nil {
		return err
	}
	for i := range 24 {
		if err := logtest.Add(w.Log, 2); err != nil {
			return err
		}
		s.acked = w.Log.EndOffset()
		if i == 5 || i == 13 || i == 14 {
			if err := w.Barrier.Sync(context.Background()); err != nil {
				return err
			}
			s.synced = s.acked
		}
		if i == 10 {
			if err := w.Log.WriteSnapshot(w.Log.EndOffset(), []byte("middle")); err != nil {
				return err
			}
		}
	}
	return nil
}

const everyOffset = 2 // records in a batch of the story

func checkOffsets(l *log.Log, end int64) error { return logtest.CheckOffsets(l, end, everyOffset) }

// Fail operation 0, 1, 2 … until nothing fails; the process dies there. Opened again, every
// acknowledged batch is there once (spec: reliability P2); a batch that was being written may be.
func TestProcessDeathAtEveryOperation(t *testing.T) {
	for _, mode := range []durability.Mode{durability.Page, durability.Fsync} {
		for n := 0; ; n++ {
			mem := vfs.NewMem()
			dying := vfs.DieAt(n, mem)
			w := logtest.NewWorld(t, mem, mode)
			w.FS = dying
			var s story
			_ = s.run(w)
			left := mem.Clone()
			w.Leave()
			after := logtest.NewWorld(t, left, mode)
			if err := after.Open(); err != nil {
				t.Fatalf("operation %d: %v", n, err)
			}
			if end := after.Log.EndOffset(); end != s.acked && end != s.acked+everyOffset {
				t.Fatalf("operation %d: log ends at %d, acknowledged %d", n, end, s.acked)
			}
			if err := checkOffsets(after.Log, after.Log.EndOffset()); err != nil {
				t.Fatalf("operation %d: %v", n, err)
			}
			if err := logtest.Add(after.Log, everyOffset); err != nil {
				t.Fatalf("operation %d: append after recovery: %v", n, err)
			}
			after.MustSync()
			after.Leave()
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
			w := logtest.NewWorld(t, mem, mode)
			dying := vfs.DieAt(n, mem)
			w.FS = dying
			var s story
			_ = s.run(w)
			left := mem.CrashClone()
			w.Leave()
			after := logtest.NewWorld(t, left, mode)
			after.Boot = "boot-2"
			if err := after.Open(); err != nil {
				t.Fatalf("%v, operation %d, synced %d: %v", mode, n, s.synced, err)
			}
			end := after.Log.EndOffset()
			// A barrier that completed without being able to say so may count.
			if end < s.synced || end > s.acked+everyOffset || mode != durability.Fsync && end != s.synced && end != s.acked {
				t.Fatalf("%v, operation %d: log ends at %d, synced %d, acknowledged %d", mode, n, end, s.synced, s.acked)
			}
			if err := checkOffsets(after.Log, end); err != nil {
				t.Fatalf("%v, operation %d: %v", mode, n, err)
			}
			after.Leave()
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
		w := logtest.NewWorld(t, mem, durability.Page)
		failing := vfs.FailAt(n, mem)
		w.FS = failing
		if err := w.Open(); err != nil {
			w.Leave()
			if !failing.Fired() {
				t.Fatal(err)
			}
			continue
		}
		acked := int64(0)
		for i := range 24 {
			if err := logtest.Add(w.Log, everyOffset); err == nil {
				acked += everyOffset
			}
			if i%8 == 7 {
				_ = w.Barrier.Sync(context.Background())
			}
			if w.Log.EndOffset() != acked {
				t.Fatalf("operation %d: end %d, acknowledged %d", n, w.Log.EndOffset(), acked)
			}
		}
		if err := checkOffsets(w.Log, acked); err != nil {
			t.Fatalf("operation %d: %v", n, err)
		}
		left := mem.Clone()
		w.Leave()
		after := logtest.NewWorld(t, left, durability.Page)
		if err := after.Open(); err != nil {
			t.Fatalf("operation %d: %v", n, err)
		}
		if err := checkOffsets(after.Log, acked); err != nil {
			t.Fatalf("operation %d, reopened: %v", n, err)
		}
		after.Leave()
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
			w := logtest.NewWorld(t, mem, mode)
			var s story
			if err := s.run(w); err != nil {
				t.Fatal(err)
			}
			last := w.Log.Segments()[len(w.Log.Segments())-1]
			w.Leave()
			logtest.Mutate(t, mem, last.File(log.LogSuffix), func(b []byte) []byte { return append(b, "torn tail"...) })
			undisturbed := logtest.NewWorld(t, mem.Clone(), mode)
			undisturbed.Boot = boot
			want := undisturbed.MustOpen().EndOffset()
			undisturbed.Leave()
			current := mem.Clone()
			for n := 0; n < 1000; n++ {
				again := logtest.NewWorld(t, current, mode)
				dying := vfs.DieAt(n, current)
				again.Boot, again.FS = boot, dying
				err := again.Open()
				again.Leave()
				if !dying.Fired() {
					if err != nil {
						t.Fatal(err)
					}
					if err := checkOffsets(again.Log, want); err != nil {
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
	w := logtest.NewWorld(t, vfs.NewMem(), durability.Page)
	l := w.MustOpen()
	logtest.MustAdd(t, l, 3, 2)
	w.MustSync()
	logtest.MustAdd(t, l, 1, 2)
	w.Leave()
	raw, _ := logtest.MakeBatch(8, 2, 0, 0)
	torn := raw[:len(raw)-1]
	logtest.Mutate(t, w.FS, logtest.Dir+"/"+log.FileName(0, log.LogSuffix),
		func(b []byte) []byte { return append(b, torn...) })
	l = w.MustOpen()
	defer w.Leave()
	if l.EndOffset() != 8 || w.Report.TruncatedBytes != int64(len(torn)) || len(w.Report.TornFiles) != 1 {
		t.Fatalf("end %d, %+v", l.EndOffset(), w.Report)
	}
	if w.Report.RewrittenBytes == 0 {
		t.Error("kept bytes above the barrier were not rewritten")
	}
	if b, err := files.ReadSmall(w.FS, w.Report.TornFiles[0]); err != nil || !bytes.Equal(b, torn) {
		t.Fatal("moved bytes", len(b), err)
	}
	if !strings.Contains(w.Report.TornFiles[0], ".torn-") {
		t.Error(w.Report.TornFiles)
	}
	logtest.MustContents(t, l)
}

// A batch that is larger than what recovery reads at once is kept whole, or goes whole.
func TestLargeBatchAboveTheBarrierIsKeptOrTorn(t *testing.T) {
	for _, damaged := range []bool{false, true} {
		w := logtest.NewWorld(t, vfs.NewMem(), durability.Page)
		w.Config.SegmentBytes = 1 << 20
		l := w.MustOpen()
		logtest.MustAdd(t, l, 1, 2)
		w.MustSync()
		logtest.MustAdd(t, l, 1, 30_000)
		size, end := l.SizeBytes(), l.EndOffset()
		if size < 2*log.ScanBytes {
			t.Fatalf("a segment of %d bytes is read at once", size)
		}
		w.Leave()
		if damaged {
			end = 2
			logtest.Mutate(t, w.FS, logtest.Dir+"/"+log.FileName(0, log.LogSuffix),
				func(b []byte) []byte { b[len(b)-1] ^= 1; return b })
		}
		l = w.MustOpen()
		if l.EndOffset() != end || (w.Report.TruncatedBytes > 0) != damaged || !damaged && l.SizeBytes() != size {
			t.Errorf("damaged %v: %d bytes to offset %d, %+v", damaged, l.SizeBytes(), l.EndOffset(), w.Report)
		}
		w.Leave()
	}
}

func TestZeroTailIsTorn(t *testing.T) {
	w := logtest.NewWorld(t, vfs.NewMem(), durability.Page)
	logtest.MustAdd(t, w.MustOpen(), 3, 2)
	w.Leave()
	logtest.Mutate(t, w.FS, logtest.Dir+"/"+log.FileName(0, log.LogSuffix),
		func(b []byte) []byte { return append(b, make([]byte, 5000)...) })
	l := w.MustOpen()
	defer w.Leave()
	if l.EndOffset() != 6 || w.Report.ZeroBytes != 5000 || w.Report.TruncatedBytes != 0 {
		t.Fatalf("end %d, %+v", l.EndOffset(), w.Report)
	}
}

// A copy of an earlier batch has a valid checksum and the wrong offset.
func TestMisplacedBatchIsTorn(t *testing.T) {
	w := logtest.NewWorld(t, vfs.NewMem(), durability.Page)
	logtest.MustAdd(t, w.MustOpen(), 3, 2)
	w.Leave()
	copied, _ := logtest.MakeBatch(0, 2, 0, 0)
	logtest.Mutate(t, w.FS, logtest.Dir+"/"+log.FileName(0, log.LogSuffix),
		func(b []byte) []byte { return append(b, copied...) })
	l := w.MustOpen()
	defer w.Leave()
	if l.EndOffset() != 6 || w.Report.TruncatedBytes != int64(len(copied)) {
		t.Fatalf("end %d, %+v", l.EndOffset(), w.Report)
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
			w := logtest.NewWorld(t, mem, durability.Page)
			l := w.MustOpen()
			logtest.MustAdd(t, l, 8, 2)
			w.MustSync()
			file := l.Segments()[0].File(log.LogSuffix)
			if len(l.Segments()) > 1 {
				file = l.Segments()[len(l.Segments())-1].File(log.LogSuffix)
			}
			w.Leave()
			logtest.Mutate(t, mem, file, spoil)
			before, _ := files.ReadSmall(mem, file)
			err := w.Open()
			w.Leave()
			if !errors.Is(err, files.ErrDamaged) || logtest.DamagedFile(err) != file {
				t.Fatalf("%s: %v", file, err)
			}
			if after, _ := files.ReadSmall(mem, file); !bytes.Equal(before, after) {
				t.Fatal("bytes were changed")
			}
		})
	}
}

func TestMissingDirectoryIsDamage(t *testing.T) {
	w := logtest.NewWorld(t, vfs.NewMem(), durability.Page)
	logtest.MustAdd(t, w.MustOpen(), 1, 1)
	w.MustClose()
	if err := w.FS.RemoveAll(logtest.Dir); err != nil {
		t.Fatal(err)
	}
	if err := w.Open(); !errors.Is(err, files.ErrDamaged) {
		t.Fatal(err)
	}
	w.Leave()
}

func TestCleanStopIsNotScanned(t *testing.T) {
	w := logtest.NewWorld(t, vfs.NewMem(), durability.Page)
	logtest.MustAdd(t, w.MustOpen(), 40, 2)
	w.MustClose()
	l := w.MustOpen()
	defer w.Leave()
	if w.Report.ScannedBytes != 0 || l.EndOffset() != 80 {
		t.Fatalf("%+v", w.Report)
	}
}

func TestOnlyBytesAboveTheBarrierAreScanned(t *testing.T) {
	w := logtest.NewWorld(t, vfs.NewMem(), durability.Page)
	l := w.MustOpen()
	logtest.MustAdd(t, l, 40, 2)
	w.MustSync()
	size := l.SizeBytes()
	logtest.MustAdd(t, l, 3, 2)
	above := l.SizeBytes() - size
	w.Leave()
	w.MustOpen()
	defer w.Leave()
	if w.Report.ScannedBytes != above {
		t.Fatalf("%+v, %d bytes above", w.Report, above)
	}
}

// A log that wrote in page mode, died, and lost power before it was opened again must be cut, however
// often the start is repeated.
func TestCutSurvivesStartsThatDoNotOpenTheLog(t *testing.T) {
	w := logtest.NewWorld(t, vfs.NewMem(), durability.Page)
	l := w.MustOpen()
	logtest.MustAdd(t, l, 4, 2)
	w.MustSync()
	logtest.MustAdd(t, l, 4, 2)
	w.Leave()
	w.Boot = "boot-2"
	for range 3 { // starts that end before any log is opened
		b, err := durability.Open(durability.Options{FS: w.FS, Dir: "data", FindLogs: directory.Logs, BootID: "boot-2",
			Mode: durability.Page})
		if err != nil {
			t.Fatal(err)
		}
		b.Kill()
	}
	if l = w.MustOpen(); l.EndOffset() != 8 || w.Report.TruncatedBytes == 0 {
		t.Fatalf("end %d %+v", l.EndOffset(), w.Report)
	}
	w.Leave()
}

func TestForeignFilesAreLeftAlone(t *testing.T) {
	mem := vfs.NewMem()
	w := logtest.NewWorld(t, mem, durability.Page)
	logtest.MustAdd(t, w.MustOpen(), 1, 1)
	w.Leave()
	foreign := []string{"README", "5.log", "0000000000000000000x.log", log.Stem(3) + ".unknown"}
	for _, name := range foreign {
		if f, err := mem.Create(logtest.Dir + "/" + name); err == nil {
			f.Close()
		}
	}
	w.MustOpen()
	w.Leave()
	names, _ := mem.List(logtest.Dir)
	for _, name := range foreign {
		if !slices.Contains(names, name) {
			t.Error("removed", name)
		}
	}
}
