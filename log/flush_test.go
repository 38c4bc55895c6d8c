package log_test

import (
	"context"
	"testing"

	"once/durability"
	"once/internal/vfs"
	"once/log/logtest"
)

// flush.messages: the append that makes so many records wait for a sync waits for it, in the mode page, too; what
// was acknowledged so is there after a power cut. It can be changed at any time.
func TestFlushMessagesMakesAnAppendWait(t *testing.T) {
	mem := vfs.NewCrashable(5)
	w := logtest.NewWorld(t, mem, durability.Page)
	w.Config.FlushMessages = 5
	l := w.MustOpen()
	defer w.Leave()
	for round := range 3 {
		logtest.MustAdd(t, l, 2, 2)
		if l.TicketFor(durability.Produced).Pending() {
			t.Fatalf("round %d: waits with 4 records", round)
		}
		logtest.MustAdd(t, l, 1, 1)
		if !l.TicketFor(durability.Produced).Pending() {
			t.Fatalf("round %d: does not wait with 5 records", round)
		}
		if err := l.TicketFor(durability.Produced).Wait(context.Background()); err != nil {
			t.Fatal(err)
		}
	}
	end := l.EndOffset()
	changed := w.Config
	changed.FlushMessages = 1
	l.SetConfig(changed)
	logtest.MustAdd(t, l, 1, 1)
	if !l.TicketFor(durability.Produced).Pending() {
		t.Error("the change has no effect")
	}
	after := logtest.NewWorld(t, mem.CrashClone(), durability.Page)
	after.Boot = "boot-2"
	l = after.MustOpen()
	defer after.Leave()
	if l.EndOffset() < end {
		t.Errorf("after a power cut the log ends at %d, %d records were flushed", l.EndOffset(), end)
	}
}
