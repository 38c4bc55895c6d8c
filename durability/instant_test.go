package durability_test

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"

	"once/durability"
	"once/internal/vfs"
	"once/log"
	"once/log/logtest"
)

// An append becomes visible inside the barrier's lock, so that a cut over all logs is one instant.
func TestAppendPublishesInsideTheCut(t *testing.T) {
	fs := &noisyFS{FS: vfs.NewMem(), wrote: make(chan struct{}, 16)}
	w := logtest.NewWorld(t, fs, durability.Page)
	l := w.MustOpen()
	defer w.Leave()
	logtest.MustAdd(t, l, 1, 1)
	for len(fs.wrote) > 0 {
		<-fs.wrote
	}
	w.Barrier.LockInstant()
	var wg sync.WaitGroup
	wg.Go(func() { logtest.MustAdd(t, l, 1, 1) })
	<-fs.wrote
	for range 1000 {
		runtime.Gosched()
		if l.EndOffset() != 1 {
			t.Error("published while a barrier takes its cut")
			break
		}
	}
	w.Barrier.UnlockInstant()
	wg.Wait()
	if l.EndOffset() != 2 {
		t.Error("end", l.EndOffset())
	}
}

// What the barrier records is the end it began with, not what came while it synced.
func TestBarrierRecordsTheEndItBeganWith(t *testing.T) {
	gate := &gatedFS{FS: vfs.NewMem(), entered: make(chan struct{}, 64), open: make(chan struct{})}
	w := logtest.NewWorld(t, gate, durability.Page)
	l := w.MustOpen()
	defer w.Leave()
	logtest.MustAdd(t, l, 3, 1)
	gate.arm()
	done := make(chan struct{})
	go func() { w.MustSync(); close(done) }()
	<-gate.entered
	logtest.MustAdd(t, l, 3, 1)
	close(gate.open)
	<-done
	if point := w.Barrier.RecoveryPoint("orders-0"); point != 3 {
		t.Fatal("recovery point", point)
	}
}

// A barrier notes all logs at one instant: of appends that one goroutine made one after the other, it
// covers the first so many.
func TestBarrierNotesOneInstant(t *testing.T) {
	const logs, rounds = 16, 6000
	w := logtest.NewWorld(t, vfs.NewMem(), durability.Page)
	w.MustOpen()
	defer w.Leave()
	all := make([]*log.Log, logs)
	turn := make([][]int, logs) // when each log gets its n-th append
	for i := range all {
		var err error
		if all[i], _, err = log.Open(log.Options{FS: w.FS, Dir: fmt.Sprintf("data/turn-%d", i), TopicID: logtest.Topic,
			Barrier: w.Barrier}, durability.Recovery{}); err != nil {
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
				if err := logtest.Add(all[i], 1); err != nil {
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
		w.MustSync()
		latest, missing := -1, logs*rounds
		points := w.Barrier.RecoveryPoints()
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
