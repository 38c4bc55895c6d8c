package partition

import (
	"context"
	"errors"
	"testing"

	"once/durability"
	"once/internal/files"
	"once/internal/vfs"
)

// What becomes durable while a test has the partition offline is readable when it comes back; damage that is found
// meanwhile keeps it offline.
func TestPartitionComesBackOnlyWhole(t *testing.T) {
	s := newShelf(t, vfs.NewCrashable(1))
	s.mode = durability.Fsync
	s.mustOpen()
	defer s.shut()
	for i := range int32(200) { // the sync runs beside it: each time it may end before or after
		appended := s.must(s.sendAs(1, 0, i, false, rec{"k", "v"}))
		s.p.TakeOffline()
		if _, err := s.p.Offsets(); !errors.Is(err, ErrOffline) {
			t.Fatalf("it is not offline: %v", err)
		}
		if err := appended.Durable.Wait(context.Background()); err != nil {
			t.Fatal(err)
		}
		if err := s.p.BringOnline(); err != nil {
			t.Fatal(err)
		}
		if o, err := s.p.Offsets(); err != nil || o.HighWatermark != appended.LastOffset+1 {
			t.Fatalf("high watermark %d, %v; it was durable up to %d", o.HighWatermark, err, appended.LastOffset+1)
		}
	}
	s.p.TakeOffline()
	damage := &files.DamagedError{File: "f", Cause: errors.New("a bit has flipped")}
	_ = s.p.offlineIfDamaged(damage)
	if err := s.p.BringOnline(); !errors.Is(err, ErrOffline) || !errors.Is(err, damage) {
		t.Errorf("a damaged partition comes back: %v", err)
	}
}
