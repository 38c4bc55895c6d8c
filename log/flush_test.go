package log

import (
	"context"
	"testing"

	"once/durability"
	"once/internal/vfs"
)

// flush.messages: the append that makes so many records wait for a sync waits for it, in the mode page, too; what
// was acknowledged so is there after a power cut. It can be changed at any time.
func TestFlushMessagesMakesAnAppendWait(t *testing.T) {
	mem := vfs.NewCrashable(5)
	w := newWorld(t, mem, durability.Page)
	w.config.FlushMessages = 5
	l := w.mustOpen()
	defer w.leave()
	for round := range 3 {
		mustAdd(t, l, 2, 2)
		if l.TicketFor(durability.Produced).Pending() {
			t.Fatalf("round %d: waits with 4 records", round)
		}
		mustAdd(t, l, 1, 1)
		if !l.TicketFor(durability.Produced).Pending() {
			t.Fatalf("round %d: does not wait with 5 records", round)
		}
		if err := l.TicketFor(durability.Produced).Wait(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	end := l.EndOffset()
	c := l.config.Load()
	changed := *c
	changed.FlushMessages = 1
	l.SetConfig(changed)
	mustAdd(t, l, 1, 1)
	if !l.TicketFor(durability.Produced).Pending() {
		t.Error("the change has no effect")
	}
	after := newWorld(t, mem.CrashClone(), durability.Page)
	after.boot = "boot-2"
	l = after.mustOpen()
	defer after.leave()
	if l.EndOffset() < end {
		t.Errorf("after a power cut the log ends at %d, %d records were flushed", l.EndOffset(), end)
	}
}
