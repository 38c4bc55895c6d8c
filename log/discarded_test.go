package log

import (
	"errors"
	"log/slog"
	"slices"
	"testing"
	"time"

	"once/internal/clock"
	"once/internal/vfs"
)

const mebibyte = 1 << 20

// bin is the part of a barrier that keeps deleted logs, on a file system of its own.
type bin struct {
	discarded
	t     *testing.T
	fs    *vfs.Mem
	clock *clock.Manual
}

func newBin(t *testing.T, keepBytes int64) *bin {
	b := &bin{t: t, fs: vfs.NewMem(), clock: clock.NewManual(time.Unix(1_700_000_000, 0))}
	b.o = BarrierOptions{FS: b.fs, Dir: "data", Clock: b.clock, DiscardedBytes: keepBytes, Logger: slog.New(slog.DiscardHandler)}
	return b
}

// discard adds a directory with one file for each size.
func (b *bin) discard(dir string, within time.Duration, sizesBytes ...int64) {
	b.t.Helper()
	if err := b.fs.MkdirAll("data/" + dir); err != nil {
		b.t.Fatal(err)
	}
	base := int64(0)
	for _, size := range sizesBytes {
		f, err := b.fs.Create("data/" + dir + "/" + stem(base) + suffixLog)
		if err == nil {
			err = errors.Join(f.Truncate(size), f.Close())
		}
		if err != nil {
			b.t.Fatal(err)
		}
		base++
	}
	if err := b.add("data/"+dir, within); err != nil {
		b.t.Fatal(err)
	}
}

// expect compares the directories that are still there, when nothing is being removed any more.
func (b *bin) expect(when string, dirs ...string) {
	b.t.Helper()
	b.busy.Wait()
	if found, err := b.fs.List("data"); err != nil || !slices.Equal(found, dirs) {
		b.t.Fatalf("%s: %v, %v, want %v", when, found, err, dirs)
	}
}

func TestDeletedLogsGiveWayToWhatIsAppended(t *testing.T) {
	b := newBin(t, 64*mebibyte)
	b.discard("a-delete", time.Minute, 10*mebibyte, 10*mebibyte)
	b.discard("b-delete", time.Minute, 10*mebibyte)
	b.expect("nothing was appended", "a-delete", "b-delete")
	b.appended(mebibyte / 2)
	b.expect("less than the smallest of them was appended", "a-delete", "b-delete")
	b.appended(mebibyte)
	b.expect("one file is gone", "a-delete", "b-delete")
	if names, _ := b.fs.List("data/a-delete"); !slices.Equal(names, []string{stem(1) + suffixLog}) {
		t.Fatalf("left of the older log: %v", names)
	}
	b.appended(10 * mebibyte)
	b.expect("as much as a file was appended", "b-delete")
	b.appended(10 * mebibyte)
	b.expect("and once more")
	if kept := b.keptSize.Load(); kept != 0 {
		t.Errorf("%d bytes are said to be kept", kept)
	}
	b.appended(100 * mebibyte)
	b.discard("c-delete", time.Minute, 10*mebibyte)
	b.expect("what was appended while there was nothing to remove does not count", "c-delete")
}

func TestDeletedLogsGoInTime(t *testing.T) {
	b := newBin(t, 64*mebibyte)
	b.discard("a-delete", time.Minute, 10*mebibyte)
	b.clock.Advance(30 * time.Second)
	b.discard("b-delete", time.Minute, 10*mebibyte)
	b.clock.Advance(29 * time.Second)
	b.expect("before file.delete.delay.ms", "a-delete", "b-delete")
	b.clock.Advance(time.Second)
	b.expect("at file.delete.delay.ms", "b-delete")
	b.clock.Advance(30 * time.Second)
	b.expect("and of the other")
	b.discard("c-delete", 0, 10*mebibyte)
	b.expect("without a delay")
	b.discard("d-delete", time.Minute, mebibyte-1)
	b.expect("with small files only")
}

func TestDeletedLogsAreNoMoreThanAllowed(t *testing.T) {
	b := newBin(t, 25*mebibyte)
	for _, dir := range []string{"a-delete", "b-delete", "c-delete"} {
		b.discard(dir, time.Minute, 10*mebibyte)
	}
	b.expect("the oldest is too much", "b-delete", "c-delete")
	b.close()
	b.expect("after the end")
	b.discard("d-delete", time.Minute, 10*mebibyte)
	b.expect("nothing is kept after the end")
	b = newBin(t, 0)
	b.discard("a-delete", time.Minute, 10*mebibyte)
	b.expect("nothing is to be kept")
}

// roomFS has as much free space as a test says.
type roomFS struct {
	vfs.FS
	free func() int64
}

func (r *roomFS) FreeBytes(string) (int64, error) { return r.free(), nil }

// A log that has been removed lies on under another name, and makes room before a client is refused.
func TestDeletedLogsMakeRoomOnAFullDisk(t *testing.T) {
	mem := vfs.NewMem()
	gone := testDir + ".01020300000000000000000000000000" + suffixDelete
	liesOn := func() bool { _, err := mem.Stat(gone); return err == nil }
	free := int64(100 * mebibyte)
	w := newWorld(t, &roomFS{mem, func() int64 {
		if liesOn() {
			return free
		}
		return free + 2*mebibyte
	}}, Page)
	w.config = Config{FileDeleteDelayMs: 60_000}
	w.reserveBytes, w.discardedBytes = 10*mebibyte, 64*mebibyte
	l := w.mustOpen()
	defer w.leave()
	for l.SizeBytes() < 2*mebibyte {
		mustAdd(t, l, 1, 20_000)
	}
	if err := l.Remove(); err != nil {
		t.Fatal(err)
	}
	if !liesOn() {
		t.Fatal("the files of the removed log do not lie on")
	}
	free = 10 * mebibyte
	if err := w.barrier.Admit(4096); err != nil || liesOn() {
		t.Errorf("no room was made: %v, lies on: %v", err, liesOn())
	}
	free = 8*mebibyte - 4096
	for range 1000 { // what was admitted in advance
		if err := w.barrier.Admit(4096); errors.Is(err, ErrDiskFull) {
			return
		}
	}
	t.Error("a full disk is not noticed")
}
