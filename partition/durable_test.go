package partition

import (
	"context"
	"testing"

	"once/durability"
	"once/internal/vfs"
)

// TestADuplicateWaitsForTheFirst: the retry of a batch whose first answer nobody waited for is answered
// with its offset, and not before the batch is on the disk and readers see it (spec: idempotence 4.4; 10,
// scenario I19).
func TestADuplicateWaitsForTheFirst(t *testing.T) {
	fs := vfs.NewCrashable(1)
	s := newShelf(t, fs)
	s.mode = durability.Fsync
	s.mustOpen()
	defer s.shut()
	value := []rec{{"k", "v"}, {"k", "w"}}
	first := s.must(s.sendAs(1, 0, 0, false, value...))
	s.must(s.sendAs(1, 0, 2, false, value...)) // another batch lies between
	again := s.must(s.sendAs(1, 0, 0, false, value...))
	if !again.Duplicate || again.BaseOffset != first.BaseOffset || again.LastOffset != first.LastOffset {
		t.Fatalf("first %+v, again %+v", first, again)
	}
	if !again.Durable.Pending() {
		t.Fatal("the duplicate is answered at once")
	}
	if err := again.Durable.Wait(context.Background()); err != nil {
		t.Fatal(err)
	}
	if o, err := s.p.Offsets(); err != nil || o.HighWatermark <= again.LastOffset {
		t.Errorf("answered with offset %d at high watermark %d, %v", again.LastOffset, o.HighWatermark, err)
	}
	after := newShelf(t, fs.CrashClone())
	after.boot = "boot-2"
	defer after.shut()
	if end := after.mustOpen().LogEndOffset(); end <= again.LastOffset {
		t.Errorf("a power cut behind the answer leaves %d offsets", end)
	}
}
