package log

import (
	"fmt"
	"math/rand"
	"runtime"
	"testing"

	"once/internal/vfs"
)

// A power cut may take the name of the first segment and leave that of a later one: what is left
// continues nothing, and the log is as its last barrier knew it.
func TestLaterSegmentsWithoutTheFirstAreCut(t *testing.T) {
	for _, mode := range []Mode{Page, Fsync} {
		w := newWorld(t, vfs.NewMem(), mode)
		l := w.mustOpen()
		mustAdd(t, l, 30, 1)
		first := l.list()[0].file(suffixLog)
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
		w := newWorld(t, mem, Page)
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
		after := newWorld(t, left, Page)
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
		w := newWorld(t, mem, Page)
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
		after := newWorld(t, left, Page)
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
	w := newWorld(t, vfs.NewMem(), Page)
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

// A barrier notes all logs at one instant: of appends that one goroutine made one after the other, it
// covers the first so many.
func TestBarrierNotesOneInstant(t *testing.T) {
	const logs, rounds = 16, 6000
	w := newWorld(t, vfs.NewMem(), Page)
	w.mustOpen()
	defer w.leave()
	all := make([]*Log, logs)
	turn := make([][]int, logs) // when each log gets its n-th append
	for i := range all {
		var err error
		if all[i], _, err = Open(Options{FS: w.fs, Dir: fmt.Sprintf("data/turn-%d", i), TopicID: testTopic, Barrier: w.barrier}, Recovery{}); err != nil {
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
		w.barrier.mu.Lock()
		for i := range all {
			point := w.barrier.mu.record.entries[fmt.Sprintf("turn-%d", i)].recoveryPoint
			if point > 0 {
				latest = max(latest, turn[i][point-1])
			}
			if point < rounds {
				missing = min(missing, turn[i][point])
			}
		}
		w.barrier.mu.Unlock()
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
