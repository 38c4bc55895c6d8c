package durability_test

import (
	"errors"
	"testing"

	"once/durability"
	"once/internal/vfs"
	"once/log/logtest"
)

// A barrier that is killed writes nothing any more: who waits is told, nobody hears of a failure, and a start finds
// what a SIGKILL would have left.
func TestKilledBarrierWritesNothing(t *testing.T) {
	mem := vfs.NewCrashable(1)
	counted := vfs.FailAt(-1, mem)
	w := logtest.NewWorld(t, mem, durability.Fsync)
	w.FS = counted
	l := w.MustOpen()
	w.MustRecover()
	logtest.MustAdd(t, l, 1, 1)
	w.MustSync()
	w.Barrier.SetOnFailure(func(err error) { t.Error("failure:", err) })
	logtest.MustAdd(t, l, 1, 1)
	ticket := l.TicketFor(durability.Produced)
	before := counted.Operations()
	w.Barrier.Kill()
	if err := ticket.Wait(t.Context()); !errors.Is(err, durability.ErrClosed) {
		t.Error("a waiter is told", err)
	}
	w.Clock.Advance(durability.DefaultInterval)
	if err := logtest.Add(l, 1); !errors.Is(err, durability.ErrClosed) {
		t.Error("an append is told", err)
	}
	if err := w.Barrier.Close(true); !errors.Is(err, durability.ErrClosed) {
		t.Error("Close is told", err)
	}
	if n := counted.Operations() - before; n > 0 {
		t.Error(n, "operations")
	}
	after := logtest.NewWorld(t, mem, durability.Fsync)
	after.MustOpen()
	if after.Barrier.Clean() || after.Log.EndOffset() != 2 {
		t.Errorf("clean %v, log ends at %d", after.Barrier.Clean(), after.Log.EndOffset())
	}
	after.Leave()
}

// Who waits for a barrier that runs is told, too, when it is killed.
func TestKillEndsARunningBarrier(t *testing.T) {
	gate := &gatedFS{FS: vfs.NewMem(), entered: make(chan struct{}, 8), open: make(chan struct{})}
	w := logtest.NewWorld(t, gate, durability.Fsync)
	l := w.MustOpen()
	logtest.MustAdd(t, l, 1, 1)
	gate.arm()
	answer := make(chan error, 1)
	ticket := l.TicketFor(durability.Produced)
	go func() { answer <- ticket.Wait(t.Context()) }()
	<-gate.entered
	killed := make(chan struct{})
	go func() { w.Barrier.Kill(); close(killed) }()
	if err := <-answer; !errors.Is(err, durability.ErrClosed) {
		t.Error(err)
	}
	close(gate.open)
	<-killed
}
