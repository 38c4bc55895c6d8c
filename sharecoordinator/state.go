package sharecoordinator

import (
	"slices"
	"sort"

	"once/sharepartition/window"
)

// unchanged is the start offset of a write that leaves it as it is.
const unchanged = -1

// State is the stored state of a share partition.
type State struct {
	SnapshotEpoch         int32
	StateEpoch            int32
	LeaderEpoch           int32
	StartOffset           int64 // -1: the first fetch decides
	DeliveryCompleteCount int32 // finished offsets at or above StartOffset; -1 unknown
	Batches               []window.Batch

	createTimestampMs, snapshotTimestampMs int64
	snapshotOffset                         int64 // of its newest snapshot, in the log
	updates                                int   // since then
}

func (s *State) copy() State {
	c := *s
	c.Batches = slices.Clone(s.Batches)
	return c
}

// apply merges an update (spec: share-groups 14).
func (s *State) apply(r *Record) {
	s.updates++
	s.LeaderEpoch = max(s.LeaderEpoch, r.LeaderEpoch)
	switch {
	case r.StartOffset > s.StartOffset:
		s.DeliveryCompleteCount = r.DeliveryCompleteCount
		s.StartOffset = r.StartOffset
	case r.StartOffset == s.StartOffset: // below it, the count is that of a start offset which is stored no more
		s.DeliveryCompleteCount = max(s.DeliveryCompleteCount, r.DeliveryCompleteCount)
	}
	for _, b := range r.Batches {
		if b.LastOffset >= b.FirstOffset {
			s.Batches = merge(s.Batches, b)
		}
	}
	s.Batches = clip(s.Batches, s.StartOffset)
}

// merge puts a batch into batches that are in order and do not overlap. Where batches overlap, the one with the higher
// delivery count wins, then the one with the higher state. Neighbours that are alike are joined.
func merge(batches []window.Batch, b window.Batch) []window.Batch {
	from := sort.Search(len(batches), func(i int) bool { return batches[i].LastOffset >= b.FirstOffset })
	to := from
	var merged []window.Batch
	add := func(first, last int64, like window.Batch) {
		if first > last {
			return
		}
		like.FirstOffset, like.LastOffset = first, last
		if n := len(merged); n > 0 && joins(merged[n-1], like) {
			merged[n-1].LastOffset = last
			return
		}
		merged = append(merged, like)
	}
	if from > 0 && batches[from-1].LastOffset == b.FirstOffset-1 { // perhaps it joins the one before
		from--
		add(batches[from].FirstOffset, batches[from].LastOffset, batches[from])
	}
	next := b.FirstOffset // of b, not placed yet
	for ; to < len(batches) && batches[to].FirstOffset <= b.LastOffset; to++ {
		old := batches[to]
		add(old.FirstOffset, b.FirstOffset-1, old)
		add(next, old.FirstOffset-1, b)
		winner := old
		if b.DeliveryCount > old.DeliveryCount || b.DeliveryCount == old.DeliveryCount && b.State > old.State {
			winner = b
		}
		add(max(old.FirstOffset, b.FirstOffset), min(old.LastOffset, b.LastOffset), winner)
		add(b.LastOffset+1, old.LastOffset, old)
		next = old.LastOffset + 1
	}
	add(next, b.LastOffset, b)
	if to < len(batches) && batches[to].FirstOffset == b.LastOffset+1 { // or the one behind
		add(batches[to].FirstOffset, batches[to].LastOffset, batches[to])
		to++
	}
	return slices.Replace(batches, from, to, merged...)
}

func joins(a, b window.Batch) bool {
	return a.LastOffset+1 == b.FirstOffset && a.State == b.State && a.DeliveryCount == b.DeliveryCount
}

// clip removes what lies below the start offset.
func clip(batches []window.Batch, start int64) []window.Batch {
	n := sort.Search(len(batches), func(i int) bool { return batches[i].LastOffset >= start })
	batches = slices.Delete(batches, 0, n)
	if len(batches) > 0 {
		batches[0].FirstOffset = max(batches[0].FirstOffset, start)
	}
	return batches
}
