package log_test

import (
	"fmt"
	"testing"

	"once/durability"
	"once/internal/vfs"
	"once/log"
	"once/log/logtest"
)

// A power cut may take the name of the first segment and leave that of a later one: what is left
// continues nothing, and the log is as its last barrier knew it.
func TestLaterSegmentsWithoutTheFirstAreCut(t *testing.T) {
	for _, mode := range []durability.Mode{durability.Page, durability.Fsync} {
		w := logtest.NewWorld(t, vfs.NewMem(), mode)
		l := w.MustOpen()
		logtest.MustAdd(t, l, 30, 1)
		first := l.Segments()[0].File(log.LogSuffix)
		w.Leave()
		if err := w.FS.Remove(first); err != nil {
			t.Fatal(err)
		}
		w.Boot = "boot-2"
		l = w.MustOpen()
		if l.StartOffset() != 0 || l.EndOffset() != 0 || len(w.Report.TornFiles) == 0 {
			t.Errorf("%v: log from %d to %d, %+v", mode, l.StartOffset(), l.EndOffset(), w.Report)
		}
		logtest.MustAdd(t, l, 30, 1)
		w.MustClose()
		if err := logtest.CheckOffsets(w.MustOpen(), 30, 1); err != nil {
			t.Error(err)
		}
		w.Leave()
	}
}

// All snapshots are on disk with the next barrier, not the newest alone: which of them a start can use
// depends on what else it finds.
func TestEverySnapshotIsSynced(t *testing.T) {
	for seed := range int64(20) {
		mem := vfs.NewCrashable(seed)
		w := logtest.NewWorld(t, mem, durability.Page)
		l := w.MustOpen()
		for i := range 3 {
			logtest.MustAdd(t, l, 1, 1)
			if err := l.WriteSnapshot(l.EndOffset(), fmt.Appendf(nil, "state at %d", i+1)); err != nil {
				t.Fatal(err)
			}
		}
		w.MustSync()
		left := mem.CrashClone()
		w.Leave()
		after := logtest.NewWorld(t, left, durability.Page)
		after.Boot = "boot-2"
		l = after.MustOpen()
		for i := range int64(3) {
			if b, err := l.ReadSnapshot(i + 1); err != nil || string(b) != fmt.Sprintf("state at %d", i+1) {
				t.Fatalf("seed %d: snapshot %d: %q, %v", seed, i+1, b, err)
			}
		}
		after.Leave()
	}
}

// A snapshot that was removed because its batches have been cut must not come back after a power cut,
// when other batches stand below its offset.
func TestRemovedSnapshotsDoNotComeBack(t *testing.T) {
	for seed := range int64(20) {
		mem := vfs.NewCrashable(seed)
		w := logtest.NewWorld(t, mem, durability.Page)
		l := w.MustOpen()
		logtest.MustAdd(t, l, 3, 1)
		if err := l.WriteSnapshot(3, []byte("of other batches")); err != nil {
			t.Fatal(err)
		}
		w.MustSync()
		if err := l.RemoveSnapshot(3); err != nil {
			t.Fatal(err)
		}
		logtest.MustAdd(t, l, 3, 1)
		w.MustSync()
		left := mem.CrashClone()
		w.Leave()
		after := logtest.NewWorld(t, left, durability.Page)
		after.Boot = "boot-2"
		if found := after.MustOpen().Snapshots(); len(found) > 0 {
			t.Fatalf("seed %d: snapshots %v", seed, found)
		}
		after.Leave()
	}
}

// What the list of aborted transactions said of batches that were cut does not count for those that
// come in their place.
func TestListOfAbortedDoesNotOutliveACut(t *testing.T) {
	w := logtest.NewWorld(t, vfs.NewMem(), durability.Page)
	l := w.MustOpen()
	logtest.MustAdd(t, l, 2, 1)
	w.MustSync()
	logtest.MustAdd(t, l, 3, 1)
	if err := l.WriteSnapshot(5, []byte("nothing aborted up to 5")); err != nil {
		t.Fatal(err)
	}
	w.Leave()
	w.Boot = "boot-2"
	l = w.MustOpen()
	if l.EndOffset() != 2 {
		t.Fatal("not cut", l.EndOffset())
	}
	logtest.MustAdd(t, l, 3, 1)
	if err := l.AppendAborted(log.AbortedTxn{7, 2, 3, 4}); err != nil {
		t.Fatal(err)
	}
	w.MustSync()
	w.Leave()
	w.MustOpen()
	if w.Report.AbortedIndexTo > 3 {
		t.Errorf("the aborted transaction at 3 is taken for known: complete to %d", w.Report.AbortedIndexTo)
	}
	w.Leave()
}
