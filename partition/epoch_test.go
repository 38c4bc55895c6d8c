package partition

import (
	"errors"
	"testing"

	"once/log/batch"
)

func (w *world) send(t *testing.T, n int) {
	t.Helper()
	for range n {
		raw := batch.Build(batch.BuildOptions{ProducerID: -1, ProducerEpoch: -1, BaseSequence: -1,
			TimestampMs: w.clock.Now().UnixMilli(), LeaderEpoch: -1}, batch.Record{Value: []byte("v")})
		if _, err := w.p.AppendClient(raw, 0, 13); err != nil {
			t.Fatal(err)
		}
	}
}

func (w *world) again() {
	w.close(false)
	w.open()
}

// TestLeaderEpochsTellWhereTheyEnd is the table of OffsetForLeaderEpoch (spec: wire 14): three records in
// epoch 0, none in 1, two in 2, and epoch 3 is the current one.
func TestLeaderEpochsTellWhereTheyEnd(t *testing.T) {
	w := newWorld(t)
	w.send(t, 3)
	w.again()
	w.again()
	w.send(t, 2)
	w.again()
	for asked, want := range map[int32]EpochEnd{
		0: {0, 3}, 1: {0, 3}, 2: {2, 5}, 3: {3, 5}, 4: {-1, -1},
	} {
		if got, err := w.p.EndOffsetForEpoch(asked); err != nil || got != want {
			t.Errorf("epoch %d: got %+v %v, want %+v", asked, got, err, want)
		}
	}
	for offset, want := range map[int64]int32{0: 0, 2: 0, 3: 2, 4: 2} {
		if got := w.p.EpochAt(offset); got != want {
			t.Errorf("offset %d is of epoch %d, want %d", offset, got, want)
		}
	}
}

// TestReaderOfTruncatedRecordsGetsTheDivergingEpoch reads as a consumer does that has seen more of an epoch than there
// is: it gets no records, but where its history and the log's part (KIP-320, KIP-595).
func TestReaderOfTruncatedRecordsGetsTheDivergingEpoch(t *testing.T) {
	w := newWorld(t)
	w.send(t, 3)
	w.again()
	w.send(t, 3)
	read := func(offset int64, current, last int32) (ReadResult, int, error) {
		r, err := w.p.Read(ReadRequest{Offset: offset, MaxBytes: 1 << 20, AtLeastOne: true, CurrentLeaderEpoch: current,
			LastFetchedEpoch: last})
		size := r.Slice.SizeBytes()
		r.Slice.Release()
		return r, size, err
	}
	r, size, err := read(5, 1, 0) // it read up to 5 in epoch 0, which ended at 3
	if err != nil || r.Diverging == nil || *r.Diverging != (EpochEnd{0, 3}) || size != 0 {
		t.Errorf("got %+v %v", r, err)
	}
	if r, size, err := read(3, 1, 0); err != nil || r.Diverging != nil || size == 0 {
		t.Errorf("a history that fits: %+v %v", r, err)
	}
	if _, _, err := read(0, 0, -1); !errors.Is(err, ErrFencedLeaderEpoch) {
		t.Errorf("an older leader epoch: %v", err)
	}
	if _, _, err := read(0, 2, -1); !errors.Is(err, ErrUnknownLeaderEpoch) {
		t.Errorf("a newer leader epoch: %v", err)
	}
}
