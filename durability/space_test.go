package durability_test

import (
	"errors"
	"testing"

	"once/durability"
	"once/internal/vfs"
	"once/log/directory"
	"once/log/logtest"
)

// fullFS is a disk without a free byte: nothing can be made and no file can grow, as soon as full is set.
type fullFS struct {
	vfs.FS
	full bool
	free int64
}

func (f *fullFS) FreeBytes(string) (int64, error) { return f.free, nil }

func (f *fullFS) Create(name string) (vfs.File, error) {
	if f.full {
		return nil, vfs.ErrNoSpace
	}
	file, err := f.FS.Create(name)
	return &fullFile{file, f}, err
}

func (f *fullFS) OpenReadWrite(name string) (vfs.File, error) {
	file, err := f.FS.OpenReadWrite(name)
	if err != nil {
		return nil, err
	}
	return &fullFile{file, f}, nil
}

type fullFile struct {
	vfs.File
	fs *fullFS
}

func (f *fullFile) WriteAt(b []byte, at int64) (int, error) {
	if size, err := f.Size(); err == nil && f.fs.full && at+int64(len(b)) > size {
		return 0, vfs.ErrNoSpace
	}
	return f.File.WriteAt(b, at)
}

// What is kept above the last barrier is written over itself where there is no room for a copy, and is
// on the disk after that, although an earlier sync of it failed unseen (spec: reliability P6, P35).
func TestRecoveryNeedsNoRoomOnTheDisk(t *testing.T) {
	mem := vfs.NewCrashable(5)
	failing := vfs.FailAt(1<<30, mem)
	w := logtest.NewWorld(t, mem, durability.Fsync)
	w.FS = failing
	l := w.MustOpen()
	logtest.MustAdd(t, l, 3, 2)
	w.MustSync()
	logtest.MustAdd(t, l, 1, 2)
	w.MustSync() // now both records have their room
	logtest.MustAdd(t, l, 1, 2)
	failing.Arm(0)
	if err := w.Barrier.Sync(t.Context()); err == nil {
		t.Fatal("the sync did not fail")
	}
	w.Leave()
	disk := &fullFS{FS: mem, full: true}
	after := logtest.NewWorld(t, mem, durability.Fsync)
	after.FS = disk
	if l := after.MustOpen(); l.EndOffset() != 10 {
		t.Fatal("end", l.EndOffset())
	}
	after.MustSync()
	after.Leave()
	cut := logtest.NewWorld(t, mem.CrashClone(), durability.Fsync)
	cut.Boot = "boot-2"
	if err := logtest.CheckOffsets(cut.MustOpen(), 10, 2); err != nil {
		t.Fatal(err)
	}
	cut.Leave()
}

// A barrier whose record finds no room is tried again, and takes the same slot; the log goes on.
func TestBarrierWaitsForRoom(t *testing.T) {
	disk := &fullFS{FS: vfs.NewMem()}
	w := logtest.NewWorld(t, disk, durability.Txn)
	l := w.MustOpen()
	defer w.Leave()
	logtest.MustAdd(t, l, 1, 1)
	w.MustSync()
	logtest.MustAdd(t, l, 1, 1)
	w.Barrier.SetBootID(string(make([]byte, 100))) // a record that has to grow
	sequence := w.Barrier.Sequence()
	disk.full = true
	answer := make(chan error, 1)
	ticket := w.Barrier.TicketFor(durability.GroupChanged)
	go func() { answer <- ticket.Wait(t.Context()) }()
	for stalled := false; !stalled; {
		stalled = w.Barrier.Stalled()
		if err := w.Barrier.Failure(); err != nil {
			t.Fatal("a full disk ends the barrier:", err)
		}
	}
	select {
	case err := <-answer:
		t.Fatal("answered on a full disk:", err)
	default:
	}
	if w.Barrier.Sequence() != sequence {
		t.Error("the next try would overwrite the record that is whole")
	}
	disk.full = false
	w.Clock.Advance(durability.DefaultInterval)
	if err := <-answer; err != nil {
		t.Fatal(err)
	}
}

func TestReserveIsLeftToTheBroker(t *testing.T) {
	disk := &fullFS{FS: vfs.NewMem(), free: 10_000_000}
	if err := disk.MkdirAll("data"); err != nil {
		t.Fatal(err)
	}
	b, err := durability.Open(durability.Options{FS: disk, Dir: "data", FindLogs: directory.Logs, ReserveBytes: 1_000_000})
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close(true)
	const step = 50_000
	for disk.free >= 0 {
		if err := b.Admit(step); errors.Is(err, durability.ErrDiskFull) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		disk.free -= step
	}
	if disk.free < 1_000_000 || disk.free > 1_000_000+2*step {
		t.Errorf("%d bytes are left", disk.free)
	}
	disk.free += 3 * step
	if err := b.Admit(step); err != nil {
		t.Error("refused although there is room again:", err)
	}
	var none *durability.Barrier
	if err := none.Admit(1 << 40); err != nil {
		t.Error(err)
	}
}
