package log

import (
	"fmt"
	"testing"

	"once/durability"
	"once/internal/vfs"
)

// A power cut may take the name of the first segment and leave that of a later one: what is left
// continues nothing, and the log is as its last barrier knew it.
func TestLaterSegmentsWithoutTheFirstAreCut(t *testing.T) {
	for _, mode := range []durability.Mode{durability.Page, durability.Fsync} {
		w := newWorld(t, vfs.NewMem(), mode)
		l := w.mustOpen()
		mustAdd(t, l, 30, 1)
		first := l.list()[0].file(LogSuffix)
		w.leave()
		if err := w.fs.Remove(first); err != nil {
			t.Fatal(err)
		}
		w.boot = "boot-2"
		l = w.mustOpen()
		if l.StartOffset() != 0 || l.EndOffset() != 0 || len(w.report.TornFiles) == 0 {
			t.Errorf("%v: log from %d to %d, %+v", mode, l.StartOffset(), l.EndOffset(), w.report)
		}
		mustAdd(t, l, 30, 1)
		w.mustClose()
		if err := checkContents(w.mustOpen(), 30); err != nil {
			t.Error(err)
		}
		w.leave()
	}
}

func checkContents(l *Log, end int64) error {
	offsets, err := contents(l)
	if err == nil && (int64(len(offsets)) != end || l.EndOffset() != end) {
		err = fmt.Errorf("%d batches, end %d", len(offsets), l.EndOffset())
	}
	return err
}

// All snapshots are on disk with the next barrier, not the newest alone: which of them a start can use
// depends on what else it finds.
func TestEverySnapshotIsSynced(t *testing.T) {
	for seed := range int64(20) {
		mem := vfs.NewCrashable(seed)
		w := newWorld(t, mem, durability.Page)
		l := w.mustOpen()
		for i := range 3 {
			mustAdd(t, l, 1, 1)
			if err := l.WriteSnapshot(l.EndOffset(), fmt.Appendf(nil, "state at %d", i+1)); err != nil {
				t.Fatal(err)
			}
		}
		w.mustSync()
		left := mem.CrashClone()
		w.leave()
		after := newWorld(t, left, durability.Page)
		after.boot = "boot-2"
		l = after.mustOpen()
		for i := range int64(3) {
			if b, err := l.ReadSnapshot(i + 1); err != nil || string(b) != fmt.Sprintf("state at %d", i+1) {
				t.Fatalf("seed %d: snapshot %d: %q, %v", seed, i+1, b, err)
			}
		}
		after.leave()
	}
}

// A snapshot that was removed because its batches have been cut must not come back after a power cut,
// when other batches stand below its offset.
func TestRemovedSnapshotsStayAway(t *testing.T) {
	for seed := range int64(20) {
		mem := vfs.NewCrashable(seed)
		w := newWorld(t, mem, durability.Page)
		l := w.mustOpen()
		mustAdd(t, l, 3, 1)
		if err := l.WriteSnapshot(3, []byte("of other batches")); err != nil {
			t.Fatal(err)
		}
		w.mustSync()
		if err := l.RemoveSnapshot(3); err != nil {
			t.Fatal(err)
		}
		mustAdd(t, l, 3, 1)
		w.mustSync()
		left := mem.CrashClone()
		w.leave()
		after := newWorld(t, left, durability.Page)
		after.boot = "boot-2"
		if found := after.mustOpen().Snapshots(); len(found) > 0 {
			t.Fatalf("seed %d: snapshots %v", seed, found)
		}
		after.leave()
	}
}

// What the list of aborted transactions said of batches that were cut does not count for those that
// come in their place.
func TestListOfAbortedDoesNotOutliveACut(t *testing.T) {
	w := newWorld(t, vfs.NewMem(), durability.Page)
	l := w.mustOpen()
	mustAdd(t, l, 2, 1)
	w.mustSync()
	mustAdd(t, l, 3, 1)
	if err := l.WriteSnapshot(5, []byte("nothing aborted up to 5")); err != nil {
		t.Fatal(err)
	}
	w.leave()
	w.boot = "boot-2"
	l = w.mustOpen()
	if l.EndOffset() != 2 {
		t.Fatal("not cut", l.EndOffset())
	}
	mustAdd(t, l, 3, 1)
	if err := l.AppendAborted(AbortedTxn{7, 2, 3, 4}); err != nil {
		t.Fatal(err)
	}
	w.mustSync()
	w.leave()
	w.mustOpen()
	if w.report.AbortedIndexTo > 3 {
		t.Errorf("the aborted transaction at 3 is taken for known: complete to %d", w.report.AbortedIndexTo)
	}
	w.leave()
}
