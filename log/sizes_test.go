package log_test

import (
	"bytes"
	"context"
	"errors"
	"testing"

	"once/durability"
	"once/internal/vfs"
	"once/log"
	"once/log/batch"
	"once/log/logtest"
)

// wideBatch is a batch without records that stands for many offsets, as the cleaner leaves them.
func wideBatch(offset, offsets int64) ([]byte, batch.Header) {
	_, h := logtest.MakeBatch(offset, 1, 1000, 0)
	h.LastOffsetDelta = int32(offsets - 1)
	raw := batch.Empty(h)
	batch.SetOffsetAndEpoch(raw, offset, 0)
	h, err := batch.Verify(raw)
	if err != nil {
		panic(err)
	}
	return raw, h
}

// compact is a pass over all sealed segments.
func compact(w *logtest.World, o log.CleanOptions) (log.Cleaned, error) {
	w.T.Helper()
	w.MustSync()
	o.Limit = w.Log.Segments()[len(w.Log.Segments())-1].Base()
	o.MapBytes, o.Exclusively, o.Stopped = 1<<20, func(f func()) { f() }, func() bool { return false }
	return w.Log.Clean(context.Background(), o)
}

// A segment never has more offsets than the int32 of its index can tell apart, however few its bytes are; nor do
// segments that the cleaner joins.
func TestSegmentHoldsNoMoreOffsetsThanItsIndexCan(t *testing.T) {
	w := logtest.NewWorld(t, vfs.NewMem(), durability.Page)
	w.Config.SegmentBytes = 1 << 20
	l := w.MustOpen()
	const each = 1 << 29
	for range 14 {
		raw, h := wideBatch(l.EndOffset(), each)
		if err := l.Append(raw, h); err != nil {
			t.Fatal(err)
		}
	}
	check := func(when string) {
		t.Helper()
		for _, s := range l.Segments() {
			if end, _ := s.Bounds(); end-s.Base() > log.MaxSegmentOffsets {
				t.Errorf("%s: segment of offsets %d to %d", when, s.Base(), end-1)
			}
		}
		if l.EndOffset() != 14*each {
			t.Errorf("%s: end %d", when, l.EndOffset())
		}
		for offset := int64(0); offset < l.EndOffset(); offset += each / 2 {
			s, err := l.Locate(offset, l.EndOffset(), log.Budget{MaxBytes: 1, AtLeastOne: true})
			if err != nil || s.NextOffset() <= offset {
				t.Errorf("%s: offset %d: next %d, %v", when, offset, s.NextOffset(), err)
			}
			s.Release()
		}
	}
	if n := len(l.Segments()); n != 4 {
		t.Errorf("%d segments", n)
	}
	check("as appended")
	for range 3 {
		if err := l.Roll(); err != nil {
			t.Fatal(err)
		}
		raw, h := wideBatch(l.EndOffset(), 1)
		if err := l.Append(raw, h); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := compact(w, log.CleanOptions{}); err != nil {
		t.Fatal(err)
	}
	for _, s := range l.Segments() {
		if end, _ := s.Bounds(); end-s.Base() > log.MaxSegmentOffsets {
			t.Errorf("compacted: segment of offsets %d to %d", s.Base(), end-1)
		}
	}
	w.MustClose()
	w.MustOpen()
	w.MustClose()
}

// A segment larger than any can be is not written: the originals stay.
func TestCleanerWritesNoSegmentLargerThanAnyCanBe(t *testing.T) {
	w := logtest.NewWorld(t, vfs.NewMem(), durability.Page)
	w.Config.SegmentBytes = 1 << 20
	l := w.MustOpen()
	logtest.MustAdd(t, l, 9, 3) // all of one key
	raw, h := wideBatch(l.EndOffset(), 1)
	if err := errors.Join(l.Roll(), l.Append(raw, h)); err != nil {
		t.Fatal(err)
	}
	before, err := readAll(l, 1<<20)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := compact(w, log.CleanOptions{SegmentBytes: batch.HeaderSizeBytes}); !errors.Is(err, log.ErrTooLarge) {
		t.Fatal(err)
	}
	if after, err := readAll(l, 1<<20); err != nil || !bytes.Equal(before, after) {
		t.Errorf("%d bytes instead of %d, %v", len(after), len(before), err)
	}
	if done, err := compact(w, log.CleanOptions{}); err != nil || done.WrittenBytes == 0 {
		t.Errorf("%+v, %v", done, err)
	}
	w.MustClose()
}

// Readers at the tail find every batch of the segment being written, far more than are remembered.
func TestTailIsReadBeyondTheRecentBatches(t *testing.T) {
	w := logtest.NewWorld(t, vfs.NewMem(), durability.Page)
	w.Config.SegmentBytes = 1 << 20
	l := w.MustOpen()
	for n := range int64(5 * log.RecentBatches) {
		logtest.MustAdd(t, l, 1, 2)
		for offset := range l.EndOffset() {
			limit := min(l.EndOffset(), offset+2+offset%7*2)
			limit -= limit % 2
			s, err := l.Locate(offset, limit, log.Budget{MaxBytes: 1 << 20, AtLeastOne: true})
			if err != nil || s.NextOffset() != max(limit, offset) {
				t.Fatalf("%d batches, from %d to %d: next %d, %v", n+1, offset, limit, s.NextOffset(), err)
			}
			s.Release()
		}
	}
	w.MustClose()
}
