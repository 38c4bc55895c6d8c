package durability_test

import (
	"errors"
	"testing"

	"once/durability"
	"once/internal/vfs"
)

// A barrier that is killed writes nothing any more: who waits is told, nobody hears of a failure, and a start finds
// what a SIGKILL would have left.
func TestKilledBarrierWritesNothing(t *testing.T) {
	mem := vfs.NewCrashable(1)
	counted := vfs.FailAt(-1, mem)
	w := newWorld(t, mem, durability.Fsync)
	w.fs = counted
	l := w.mustOpen()
	w.mustRecover()
	mustAdd(t, l, 1, 1)
	w.mustSync()
	w.barrier.SetOnFailure(func(err error) { t.Error("failure:", err) })
	mustAdd(t, l, 1, 1)
	ticket := l.TicketFor(durability.Produced)
	before := counted.Operations()
	w.barrier.Kill()
	if err := ticket.Wait(t.Context()); !errors.Is(err, durability.ErrClosed) {
		t.Error("a waiter is told", err)
	}
	w.clock.Advance(durability.DefaultInterval)
	if err := add(l, 1); !errors.Is(err, durability.ErrClosed) {
		t.Error("an append is told", err)
	}
	if err := w.barrier.Close(true); !errors.Is(err, durability.ErrClosed) {
		t.Error("Close is told", err)
	}
	if n := counted.Operations() - before; n > 0 {
		t.Error(n, "operations")
	}
	after := newWorld(t, mem, durability.Fsync)
	after.mustOpen()
	if after.barrier.Clean() || after.log.EndOffset() != 2 {
		t.Errorf("clean %v, log ends at %d", after.barrier.Clean(), after.log.EndOffset())
	}
	after.leave()
}

// Who waits for a barrier that runs is told, too, when it is killed.
func TestKillEndsARunningBarrier(t *testing.T) {
	gate := &gatedFS{FS: vfs.NewMem(), entered: make(chan struct{}, 8), open: make(chan struct{})}
	w := newWorld(t, gate, durability.Fsync)
	l := w.mustOpen()
	mustAdd(t, l, 1, 1)
	gate.arm()
	answer := make(chan error, 1)
	ticket := l.TicketFor(durability.Produced)
	go func() { answer <- ticket.Wait(t.Context()) }()
	<-gate.entered
	killed := make(chan struct{})
	go func() { w.barrier.Kill(); close(killed) }()
	if err := <-answer; !errors.Is(err, durability.ErrClosed) {
		t.Error(err)
	}
	close(gate.open)
	<-killed
}
