// Package durabilitytest gives tests tickets of a barrier that ends when the test says so.
package durabilitytest

import (
	"testing"
	"time"

	"once/durability"
	"once/internal/vfs"
)

// Gate is a barrier that cannot end before Open. Its mode is Fsync.
type Gate struct {
	barrier *durability.Barrier
	opened  chan struct{}
	err     error
}

// NewGate returns a closed Gate. It is opened at the end of the test if it is not before.
func NewGate(t testing.TB) *Gate {
	t.Helper()
	g := &Gate{opened: make(chan struct{})}
	mem := vfs.NewMem()
	err := mem.MkdirAll("data")
	if err == nil {
		g.barrier, err = durability.Open(durability.Options{
			FS: vfs.FileByFile(mem), Dir: "data", BootID: "boot", Mode: durability.Fsync, Interval: time.Hour,
			FindLogs: func(vfs.FS, string) ([]string, error) { return nil, nil },
		})
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		g.Open(nil)
		g.barrier.Kill()
	})
	g.barrier.Join(waitingLog{g}, "data/log-0", "log-0", [16]byte{1}).Changed()
	return g
}

// Failed returns a ticket whose barrier fails.
func Failed(t testing.TB, err error) durability.Ticket {
	g := NewGate(t)
	g.Open(err)
	return g.Ticket()
}

// Ticket waits for the gate.
func (g *Gate) Ticket() durability.Ticket { return g.barrier.TicketFor(durability.Flushed) }

// Open lets the barrier end: with an error, if there is one. The first call counts.
func (g *Gate) Open(err error) {
	select {
	case <-g.opened:
	default:
		g.err = err
		close(g.opened)
	}
}

// waitingLog has one file, whose sync waits for the gate.
type waitingLog struct{ gate *Gate }

func (l waitingLog) State() durability.State             { return durability.State{} }
func (l waitingLog) FlushWithin() time.Duration          { return time.Hour }
func (l waitingLog) UnsyncedSegments() []durability.File { return []durability.File{waitingFile(l)} }
func (l waitingLog) TakeNewFiles() []durability.File     { return nil }
func (l waitingLog) Covered(int64)                       {}
func (l waitingLog) WriteIndexes()                       {}

type waitingFile struct{ gate *Gate }

func (f waitingFile) Sync() error {
	<-f.gate.opened
	return f.gate.err
}

func (f waitingFile) Synced() {}
