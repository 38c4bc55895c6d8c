package pidmanager

import (
	"bytes"
	"errors"
	"math"
	"math/rand/v2"
	"testing"

	"once/log/batch"
)

// Whatever happens between the blocks of producer IDs, which are of their real size: no ID comes twice, none is
// negative, and none stands at or below one that a log held.
func TestBlocksOfProducerIDs(t *testing.T) {
	for seed := range uint64(20) {
		random := rand.New(rand.NewPCG(seed, 1))
		store := &memoryStore{}
		m, seen, highest := NewManager(store, -1), map[int64]bool{}, int64(-1)
		for range 60 {
			switch random.IntN(6) {
			case 0: // restart; what logs hold is known
				m = NewManager(store, highest)
			case 1: // somebody makes up an ID a little above, or far above
				highest = max(highest, store.next+random.Int64N(3*BlockSize)-BlockSize)
				m.Raise(highest)
			case 2:
				store.fail = errors.New("disk")
			case 3:
				store.fail = nil
			default:
				for range random.IntN(3 * BlockSize) {
					id, err := m.Next()
					if err != nil {
						if store.fail == nil {
							t.Fatalf("seed %d: %v", seed, err)
						}
						break
					}
					if id < 0 || seen[id] || id <= highest {
						t.Fatalf("seed %d: producer ID %d, twice %v, a log holds %d", seed, id, seen[id], highest)
					}
					seen[id] = true
				}
			}
		}
	}
}

// A producer ID that a client has made up leaves enough to be handed out, however high it is.
func TestMadeUpProducerIDs(t *testing.T) {
	for _, highest := range []int64{maxSeenProducerID - 1, maxSeenProducerID, maxSeenProducerID + 1,
		math.MaxInt64 - BlockSize, math.MaxInt64 - 1, math.MaxInt64} {
		store := &memoryStore{}
		seen := map[int64]bool{}
		for range 3 { // each start finds it again
			m := NewManager(store, highest)
			for range 2*BlockSize + 1 {
				id, err := m.Next()
				if err != nil || id <= min(highest, maxSeenProducerID) || seen[id] {
					t.Fatalf("a log holds %d: %d, twice %v, %v", highest, id, seen[id], err)
				}
				seen[id] = true
			}
		}
	}
}

// randomBatch is the next batch of a producer, of one to a hundred records.
func randomBatch(random *rand.Rand, epoch int16, base int32, offset int64) batch.Header {
	h := header(7, epoch, base, offset, false)
	h.LastOffsetDelta = random.Int32N(100)
	return h
}

// Sequences go around at 2^31 - 1, between two batches and within one: what follows is taken and nothing else, and
// each of the last five batches is known when it comes again, also from a snapshot.
func TestSequencesGoAround(t *testing.T) {
	for seed := range uint64(50) {
		random := rand.New(rand.NewPCG(seed, 2))
		p := &Producers{}
		base, offset := int32(lastSequence-random.Int32N(400)), int64(0)
		var sent []batch.Header
		for range 20 {
			h := randomBatch(random, 3, base, offset)
			if err := p.Check(&h, Client, 0, false); err != nil {
				t.Fatalf("seed %d: sequence %d to %d: %v", seed, h.BaseSequence, h.LastSequence(), err)
			}
			for _, wrong := range []int32{base + 1, base - 1, base + 100, math.MinInt32, -1, 0, 1, lastSequence} {
				other := h
				other.BaseSequence = wrong
				if err := p.Check(&other, Client, 0, false); wrong != base && len(sent) > 0 &&
					!errors.Is(err, ErrOutOfOrderSequence) {
					t.Fatalf("seed %d: sequence %d where %d follows: %v", seed, wrong, base, err)
				}
			}
			p.Apply(&h)
			sent = append(sent, h)
			offset, base = h.NextOffset(), batch.IncrementSequence(h.LastSequence(), 1)
			if want := (int64(h.BaseSequence) + int64(h.LastOffsetDelta) + 1) % (1 << 31); int64(base) != want {
				t.Fatalf("seed %d: behind %d and %d more comes %d", seed, h.BaseSequence, h.LastOffsetDelta, base)
			}
			q := &Producers{}
			if err := q.Load(p.Snapshot()); err != nil || !bytes.Equal(q.Snapshot(), p.Snapshot()) {
				t.Fatalf("seed %d: snapshot: %v", seed, err)
			}
			for i, s := range sent {
				for name, known := range map[string]*Producers{"live": p, "loaded": q} {
					b, ok := known.Duplicate(&s)
					if want := i >= len(sent)-CachedBatches; ok != want || ok &&
						(b.FirstOffset() != s.BaseOffset || b.LastOffset != s.LastOffset() ||
							b.firstSequence() != s.BaseSequence) {
						t.Fatalf("seed %d, %s: batch %d of %d again: %v, %+v", seed, name, i, len(sent), ok, b)
					}
				}
			}
		}
	}
}

// With any number of batches up to CachedBatches and beyond, of several producers, a snapshot is what it was.
func TestSnapshotsOfAnyWindow(t *testing.T) {
	for most := range 2*CachedBatches + 2 {
		p := &Producers{}
		for id := range int64(most + 1) { // the id-th producer has id batches
			for i := range id {
				h := header(id, 0, int32(i), 100*id+i, false)
				p.Apply(&h)
			}
			if id%2 == 1 {
				p.ApplyMarker(batch.Marker{ProducerID: id, ProducerEpoch: 0, Type: batch.Commit})
			}
		}
		q := &Producers{}
		if err := q.Load(p.Snapshot()); err != nil || !bytes.Equal(q.Snapshot(), p.Snapshot()) ||
			q.Count() != p.Count() {
			t.Fatalf("%d batches: %v, %d producers of %d", most, err, q.Count(), p.Count())
		}
		for id := range int64(most + 1) {
			for i := range id {
				h := header(id, 0, int32(i), 0, false)
				if b, ok := q.Duplicate(&h); ok != (i >= id-CachedBatches) || ok && b.LastOffset != 100*id+i {
					t.Errorf("batch %d of %d: %v, %+v", i, id, ok, b)
				}
			}
		}
	}
}

// Up to the last epoch a newer one takes over and an older one is fenced. A marker of transactions V2 carries an
// epoch above its transaction's, but for the last, above which there is none.
func TestEpochsUpToTheLast(t *testing.T) {
	for epoch := int16(lastEpoch - 3); ; epoch++ {
		p := &Producers{}
		h := header(7, epoch, 0, 5, true)
		if err := p.Check(&h, Client, 0, false); err != nil {
			t.Fatal(err)
		}
		p.Apply(&h)
		old := header(7, epoch-1, 1, 6, true)
		if err := p.Check(&old, Client, 0, false); !errors.Is(err, ErrFencedEpoch) {
			t.Errorf("epoch %d behind %d: %v", epoch-1, epoch, err)
		}
		marker := batch.Marker{ProducerID: 7, ProducerEpoch: epoch, Type: batch.Commit}
		err := p.CheckMarker(marker, 2)
		if epoch == lastEpoch {
			if err != nil || p.ApplyMarker(marker) != 5 {
				t.Errorf("marker of the last epoch: %v", err)
			}
			break
		}
		if !errors.Is(err, ErrFencedEpoch) {
			t.Errorf("V2 marker of epoch %d for it: %v", epoch, err)
		}
		if err := p.CheckMarker(marker, 0); err != nil {
			t.Errorf("V1 marker of epoch %d for it: %v", epoch, err)
		}
		marker.ProducerEpoch++
		if err := p.CheckMarker(marker, 2); err != nil || p.ApplyMarker(marker) != 5 {
			t.Errorf("V2 marker of epoch %d: %v", epoch+1, err)
		}
	}
}
