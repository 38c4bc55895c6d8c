package durability_test

import (
	"bytes"
	"errors"
	"path"
	"slices"
	"strings"
	"testing"

	"once/durability"
	"once/internal/files"
	"once/internal/vfs"
	"once/log"
	"once/log/logtest"
)

const testJournal = "data/" + durability.JournalFile

// journaled is a world that has waited for one batch after the other, of two logs in turn, and has not synced
// their files since the start.
func journaled(t *testing.T, seed int64, mode durability.Mode, batches int) (*logtest.World, *vfs.Mem) {
	t.Helper()
	mem := vfs.NewCrashable(seed)
	w := logtest.NewWorld(t, mem, mode)
	logs := []*log.Log{w.MustOpen(), w.OpenOther("bills-0")}
	w.MustRecover()
	sequence := w.Barrier.Sequence()
	for i := range batches {
		logtest.MustAdd(t, logs[i%2], 1, 1)
		w.MustSync()
	}
	if got := w.Barrier.Sequence(); got != sequence {
		t.Fatalf("%d barriers have synced files", got-sequence)
	}
	return w, mem
}

// afterCut opens both logs on what a power cut left.
func afterCut(t *testing.T, left *vfs.Mem, mode durability.Mode) (w *logtest.World, orders, bills *log.Log) {
	t.Helper()
	w = logtest.NewWorld(t, left, mode)
	w.Boot = "boot-2"
	orders = w.MustOpen()
	return w, orders, w.OpenOther("bills-0")
}

// What was waited for is there after a power cut, of every log, although only the journal was synced; whatever
// mode the next start is in, and however often the power goes during it.
func TestJournalRestoresAcknowledgedBatches(t *testing.T) {
	for seed := range int64(20) {
		for _, mode := range []durability.Mode{durability.Txn, durability.Fsync} {
			w, mem := journaled(t, seed, mode, 41)
			logtest.Add(w.Log, 1) // nobody waits for this one
			w.Leave()
			left := mem.CrashClone()
			for range 3 {
				again, orders, bills := afterCut(t, left, durability.Page)
				if orders.EndOffset() != 21 || bills.EndOffset() != 20 {
					t.Fatalf("seed %d, %v: logs end at %d and %d", seed, mode, orders.EndOffset(), bills.EndOffset())
				}
				logtest.MustContents(t, orders)
				logtest.MustContents(t, bills)
				again.Leave()
				left = left.CrashClone()
			}
			last, orders, _ := afterCut(t, left, mode)
			last.MustRecover()
			logtest.MustAdd(t, orders, 1, 1)
			last.MustSync()
			last.Leave()
			final, orders, bills := afterCut(t, left.CrashClone(), mode)
			if orders.EndOffset() != 22 || bills.EndOffset() != 20 {
				t.Fatalf("seed %d, %v: in the end at %d and %d", seed, mode, orders.EndOffset(), bills.EndOffset())
			}
			final.Leave()
		}
	}
}

// Of a group that is not whole nothing counts, nor of what might stand behind it from earlier; and no byte that
// the journal has is moved aside.
func TestTornGroupEndsTheJournal(t *testing.T) {
	w, mem := journaled(t, 1, durability.Fsync, 10)
	w.Leave()
	last := lastGroup(t, mem)
	logtest.Mutate(t, mem, testJournal, func(b []byte) []byte {
		return append(b[:last], bytes.Repeat([]byte{7}, durability.JournalPageBytes)...)
	})
	mem.SyncAll()
	after, orders, bills := afterCut(t, mem, durability.Fsync)
	defer after.Leave()
	if orders.EndOffset() != 5 || bills.EndOffset() != 4 {
		t.Fatalf("logs end at %d and %d", orders.EndOffset(), bills.EndOffset())
	}
	names, _ := mem.List("data/orders-0")
	if slices.ContainsFunc(names, func(name string) bool { return strings.Contains(name, log.TornInfix) }) {
		t.Error("bytes that the journal has were moved aside:", names)
	}
}

func lastGroup(t *testing.T, mem vfs.FS) int {
	t.Helper()
	b, err := files.ReadSmall(mem, testJournal)
	if err != nil {
		t.Fatal(err)
	}
	return len(b) - durability.JournalPageBytes
}

// A group that is damaged before others that are not held what was acknowledged: the start says so instead of
// going on without it, as long as the logs do not have it anyway.
func TestDamagedJournalIsNotPassedOver(t *testing.T) {
	for at := 0; at < 120; at += 5 {
		w, mem := journaled(t, 1, durability.Fsync, 6)
		w.Leave()
		logtest.Mutate(t, mem, testJournal, func(b []byte) []byte { b[2*durability.JournalPageBytes+at] ^= 1; return b })
		mem.SyncAll()
		same := logtest.NewWorld(t, mem.Clone(), durability.Fsync)
		if l := same.MustOpen(); l.EndOffset() != 3 {
			t.Fatal("the process only died, and the log ends at", l.EndOffset())
		}
		same.Leave()
		for range 2 { // the second start is in the boot of the first one
			after := logtest.NewWorld(t, mem, durability.Fsync)
			after.Boot = "boot-2"
			err := after.Open()
			if logtest.DamagedFile(err) != testJournal && !(errors.Is(err, files.ErrFormat) && at < 7) ||
				!strings.Contains(err.Error(), "journal") {
				t.Fatalf("flip in byte %d: %v", at, err)
			}
		}
		logtest.Mutate(t, mem, testJournal, func(b []byte) []byte { return []byte("discard\n") })
		after := logtest.NewWorld(t, mem, durability.Fsync)
		after.Boot = "boot-2"
		if l := after.MustOpen(); l.EndOffset() != 0 {
			t.Fatal("without the journal the log ends at", l.EndOffset())
		}
		after.Leave()
	}
}

func TestMissingJournalIsNotPassedOver(t *testing.T) {
	w, mem := journaled(t, 1, durability.Fsync, 6)
	w.Leave()
	if err := mem.Remove(testJournal); err != nil {
		t.Fatal(err)
	}
	mem.SyncAll()
	after := logtest.NewWorld(t, mem, durability.Fsync)
	after.Boot = "boot-2"
	if err := after.Open(); logtest.DamagedFile(err) != testJournal {
		t.Fatal(err)
	}
}

// The file is begun anew behind a record, and groups of the time before mean nothing, although they are whole
// and numbered as they should be.
func TestJournalKnowsItsGeneration(t *testing.T) {
	w, mem := journaled(t, 1, durability.Fsync, 8)
	old, err := files.ReadSmall(mem, testJournal)
	if err != nil {
		t.Fatal(err)
	}
	w.MustCheckpoint()
	logtest.MustAdd(t, w.Log, 1, 1)
	w.MustSync()
	w.Leave()
	now, _ := files.ReadSmall(mem, testJournal)
	const second = 2 * durability.JournalPageBytes // behind the heads and the first group
	if len(now) != len(old) || !bytes.Equal(now[second:], old[second:]) || bytes.Equal(now[:second], old[:second]) {
		t.Fatal("the journal was not begun anew")
	}
	left := mem.CrashClone()
	// Nor is it damage that one of them is not whole.
	logtest.Mutate(t, left, testJournal, func(b []byte) []byte { b[second+50] ^= 1; return b })
	after, orders, bills := afterCut(t, left, durability.Fsync)
	defer after.Leave()
	if orders.EndOffset() != 5 || bills.EndOffset() != 4 {
		t.Fatalf("logs end at %d and %d", orders.EndOffset(), bills.EndOffset())
	}
}

// The file has its name for good before a record speaks of it, also in a directory that has all others.
func TestJournalOfALaterStartKeepsItsName(t *testing.T) {
	for seed := range int64(20) {
		mem := vfs.NewCrashable(seed)
		w := logtest.NewWorld(t, mem, durability.Page)
		logtest.MustAdd(t, w.MustOpen(), 1, 1)
		w.MustCheckpoint()
		w.MustCheckpoint()
		w.MustClose()
		mem.SyncAll()
		w = logtest.NewWorld(t, mem, durability.Fsync)
		l := w.MustOpen()
		w.MustRecover()
		logtest.MustAdd(t, l, 1, 1)
		w.MustSync()
		w.Leave()
		after := logtest.NewWorld(t, mem.CrashClone(), durability.Fsync)
		after.Boot = "boot-2"
		if end := after.MustOpen().EndOffset(); end != 2 {
			t.Fatal("log ends at", end)
		}
		after.Leave()
	}
}

// More than the journal takes goes to the files at once, and so does what finds no room in it or on the disk.
func TestBarrierDoesWithoutTheJournal(t *testing.T) {
	large := func(l *log.Log, batches int) {
		for range batches {
			raw, h := logtest.LargeBatch(l.EndOffset())
			if err := l.Append(raw, h); err != nil {
				t.Fatal(err)
			}
		}
	}
	for name, c := range map[string]struct {
		pages   int64
		batches int // of 5 KB before each barrier
		full    bool
		files   int // barriers over files, of ten
	}{
		"much at once":     {0, durability.JournalGroupBytes/5000 + 1, false, 10},
		"journal is full":  {9, 1, false, 2}, // every fifth begins it anew
		"no room for one":  {2, 1, false, 10},
		"disk is full":     {0, 1, true, 10},
		"room for all ten": {0, 1, false, 0},
	} {
		t.Run(name, func(t *testing.T) {
			mem := vfs.NewCrashable(1)
			disk := &noJournalFS{FS: mem}
			w := logtest.NewWorld(t, mem, durability.Fsync)
			w.FS = disk
			w.Config.SegmentBytes = 1 << 30
			w.JournalBytes = c.pages * durability.JournalPageBytes
			l := w.MustOpen()
			disk.full = c.full
			w.MustRecover()
			before := w.Barrier.Sequence()
			for range 10 {
				large(l, c.batches)
				w.MustSync()
			}
			if n := int(w.Barrier.Sequence() - before); n != c.files {
				t.Errorf("%d barriers over files, want %d", n, c.files)
			}
			w.Leave()
			after := logtest.NewWorld(t, mem.CrashClone(), durability.Fsync)
			after.Boot = "boot-2"
			if err := logtest.CheckOffsets(after.MustOpen(), 10*int64(c.batches), 1); err != nil {
				t.Error(err)
			}
			after.Leave()
		})
	}
}

// noJournalFS has no room for the journal when it is full.
type noJournalFS struct {
	vfs.FS
	full bool
}

func (f *noJournalFS) Create(name string) (vfs.File, error) {
	if f.full && path.Base(name) == durability.JournalFile {
		return nil, vfs.ErrNoSpace
	}
	return f.FS.Create(name)
}

// A disk that fills up while a group is written: the files take what is waited for, and the journal goes on when
// there is room.
func TestJournalWithoutRoomGivesWayToFiles(t *testing.T) {
	mem := vfs.NewCrashable(1)
	disk := &fullFS{FS: mem}
	w := logtest.NewWorld(t, mem, durability.Fsync)
	w.FS = disk
	l := w.MustOpen()
	w.MustRecover()
	sequence := func() uint64 { return w.Barrier.Sequence() }
	logtest.MustAdd(t, l, 1, 1)
	w.MustCheckpoint()
	w.MustCheckpoint() // both records have their room
	logtest.MustAdd(t, l, 1, 1)
	before := sequence()
	disk.full = true
	w.MustSync()
	if sequence() != before+1 {
		t.Error("no barrier over files")
	}
	disk.full = false
	logtest.MustAdd(t, l, 1, 1)
	w.MustSync()
	logtest.MustAdd(t, l, 1, 1)
	w.MustSync()
	if sequence() != before+1 {
		t.Error("the journal does not go on")
	}
	w.Leave()
	after := logtest.NewWorld(t, mem.CrashClone(), durability.Fsync)
	after.Boot = "boot-2"
	if end := after.MustOpen().EndOffset(); end != 4 {
		t.Error("log ends at", end)
	}
	after.Leave()
}

// On a full disk the journal does not grow into what is reserved, but is written over.
func TestJournalDoesNotGrowOnAFullDisk(t *testing.T) {
	w, _ := journaled(t, 1, durability.Fsync, 3)
	defer w.Leave()
	w.MustCheckpoint()
	w.Barrier.SetDiskFull()
	before := w.Barrier.Sequence()
	for i := range 4 {
		if got := w.Barrier.Sequence() - before; got != 0 {
			t.Fatalf("%d barriers over files before barrier %d", got, i)
		}
		logtest.MustAdd(t, w.Log, 1, 1)
		w.MustSync()
	}
	if got := w.Barrier.Sequence() - before; got != 1 {
		t.Errorf("%d barriers over files in the end", got)
	}
}

// A log that cannot be opened does not lose what the journal has of it: the journal stays as it is until a start
// can open the log, and meanwhile barriers do without.
func TestJournalWaitsForALogThatCannotBeOpened(t *testing.T) {
	w, mem := journaled(t, 1, durability.Fsync, 10)
	w.Leave()
	left := mem.CrashClone()
	after := logtest.NewWorld(t, left, durability.Fsync)
	after.Boot = "boot-2"
	orders := after.MustOpen()
	broken := vfs.FailAt(0, left)
	_, _, err := log.Open(log.Options{FS: broken, Dir: "data/bills-0", TopicID: logtest.Topic, Barrier: after.Barrier},
		after.Barrier.Recovery("bills-0", logtest.Topic))
	if !errors.Is(err, vfs.ErrInjected) {
		t.Fatal(err)
	}
	after.MustRecover()
	logtest.MustAdd(t, orders, 1, 1)
	after.MustSync()
	after.Leave()
	last, orders, bills := afterCut(t, left.CrashClone(), durability.Fsync)
	defer last.Leave()
	if orders.EndOffset() != 6 || bills.EndOffset() != 5 {
		t.Fatalf("logs end at %d and %d", orders.EndOffset(), bills.EndOffset())
	}
	last.MustRecover()
	logtest.MustAdd(t, orders, 1, 1)
	before := last.Barrier.Sequence()
	last.MustSync()
	if last.Barrier.Sequence() != before {
		t.Error("the journal does not serve again")
	}
}

// The journal has nothing for another topic of the same name.
func TestJournalKnowsTheTopic(t *testing.T) {
	w, mem := journaled(t, 1, durability.Fsync, 10)
	w.Leave()
	left := mem.CrashClone()
	if err := left.RemoveAll("data/bills-0"); err != nil {
		t.Fatal(err)
	}
	left.SyncAll()
	after := logtest.NewWorld(t, left, durability.Fsync)
	after.Boot = "boot-2"
	after.MustOpen()
	l, _, err := log.Open(log.Options{FS: left, Dir: "data/bills-0", TopicID: [16]byte{9}, Barrier: after.Barrier},
		after.Barrier.Recovery("bills-0", [16]byte{9}))
	if err != nil || l.EndOffset() != 0 {
		t.Fatal(l, err)
	}
	after.MustRecover()
	after.Leave()
}

// Who waits in the journal's modes has no need of the files, and is told as soon as the group is there; that the
// files follow is the timer's business.
func TestFilesFollowTheJournal(t *testing.T) {
	w, mem := journaled(t, 1, durability.Fsync, 4)
	defer w.Leave()
	next := w.Barrier.Next()
	w.Clock.Advance(durability.DefaultInterval)
	<-next
	_, points, err := durability.ReadRecord(mem, "data")
	if err != nil || points["orders-0"] != 2 || points["bills-0"] != 2 {
		t.Fatalf("%v, %v", points, err)
	}
}

// One bit of the newer barrier record, and then a power cut: the record before it is not taken for the newest, because
// the journal shows that a newer one was complete. Whatever that covered was acknowledged. While the machine was up
// nothing is missing, and the bit flipped back repairs all.
func TestDamagedNewestRecordIsNotPassedOver(t *testing.T) {
	for _, groups := range []int{0, 1, 5} {
		w, mem := journaled(t, 1, durability.Fsync, 6)
		logtest.MustAdd(t, w.Log, 20, 1)
		w.MustCheckpoint()
		for range groups {
			logtest.MustAdd(t, w.Log, 1, 1)
			w.MustSync()
		}
		end := w.Log.EndOffset()
		name, size := "data/"+durability.SlotName(w.Barrier.Sequence()), w.Barrier.RecordBytes()
		w.Leave()
		mem.SyncAll()
		for at := 0; at < size; at += 7 {
			flip := func(fs vfs.FS) { logtest.Mutate(t, fs, name, func(b []byte) []byte { b[at] ^= 0x10; return b }) }
			left := mem.Clone()
			flip(left)
			same := logtest.NewWorld(t, left.Clone(), durability.Fsync)
			if err := same.Open(); err == nil && same.Log.EndOffset() != end || err != nil && !errors.Is(err, files.ErrFormat) {
				t.Fatalf("byte %d, same boot: %v", at, err)
			}
			same.Leave()
			after := logtest.NewWorld(t, left, durability.Fsync)
			after.Boot = "boot-2"
			if err := after.Open(); logtest.DamagedFile(err) != name && !errors.Is(err, files.ErrFormat) {
				t.Fatalf("byte %d, %d groups: %v", at, groups, err)
			}
			after.Leave()
			flip(left)
			if l := after.MustOpen(); l.EndOffset() != end {
				t.Fatalf("byte %d, repaired: log ends at %d instead of %d", at, l.EndOffset(), end)
			}
			after.Leave()
		}
	}
}

// A journal that is cut off or zeroed before its last group has lost what was acknowledged: a start that needs it says
// so. Only the last group can be one that was never whole.
func TestShortenedJournalIsNotPassedOver(t *testing.T) {
	const groups = 10
	w, mem := journaled(t, 1, durability.Fsync, groups)
	w.Leave()
	mem.SyncAll()
	for size := 0; size < durability.JournalPageBytes; size += 31 {
		left := mem.Clone()
		logtest.Mutate(t, left, testJournal, func(b []byte) []byte { return b[:size] })
		after := logtest.NewWorld(t, left, durability.Fsync)
		after.Boot = "boot-2"
		if err := after.Open(); logtest.DamagedFile(err) != testJournal {
			t.Errorf("cut to %d bytes: %v", size, err)
		}
		after.Leave()
	}
	for from := 1; from <= groups; from++ {
		for name, shorten := range map[string]func(b []byte) []byte{
			"cut off": func(b []byte) []byte { return b[:from*durability.JournalPageBytes] },
			"zeroed":  func(b []byte) []byte { clear(b[from*durability.JournalPageBytes:]); return b },
			"old": func(b []byte) []byte {
				copy(b[from*durability.JournalPageBytes:], bytes.Repeat([]byte{7}, len(b)))
				return b
			},
		} {
			left := mem.Clone()
			logtest.Mutate(t, left, testJournal, shorten)
			after := logtest.NewWorld(t, left, durability.Fsync)
			after.Boot = "boot-2"
			err := after.Open()
			if from < groups && logtest.DamagedFile(err) != testJournal {
				t.Errorf("%s from group %d on: %v", name, from-1, err)
			}
			if from == groups && (err != nil || after.Log.EndOffset() != groups/2) {
				t.Errorf("%s from group %d on: %v", name, from-1, err)
			}
			after.Leave()
		}
	}
}
