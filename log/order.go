package log

import (
	"fmt"
	"math"

	"once/log/batch"
)

// order checks that the batches of a segment follow each other: their offsets ascend and stay within the segment, and
// no offset is missing if the log was never compacted. No checksum covers a batch's base offset; this check finds
// a damaged one.
type order struct {
	segment *segment
	least   int64 // the next batch must not begin below this offset
	due     int64 // and has to begin at this one, unless it is -1
	end     int64 // no batch reaches beyond
}

// newOrder returns the order of batches that begin at a position.
func newOrder(s *segment, position int64) order {
	o := order{segment: s, least: s.base, due: -1, end: s.endLimit()}
	if position == 0 && !s.gaps.Load() {
		o.due = s.base
	}
	return o
}

// endLimit is the offset at which the segment ends, or maxOffset while recovery is still looking for it.
func (s *segment) endLimit() int64 {
	end, sizeBytes := s.bounds()
	if end == s.base && sizeBytes > 0 {
		return math.MaxInt64
	}
	return end
}

// next checks the next batch and returns the error if it does not follow the one before.
func (o *order) next(at int64, h batch.Header) error {
	switch {
	case h.BaseOffset < o.least || h.BaseOffset > maxOffset || h.LastOffsetDelta < 0 ||
		h.LastOffset()-o.segment.base >= MaxSegmentOffsets:
		return o.segment.damaged(at, fmt.Errorf("batch of offsets %d to %d where %d was due", h.BaseOffset, h.LastOffset(),
			o.least))
	case h.NextOffset() > o.end:
		return o.segment.damaged(at, fmt.Errorf("batch of offsets %d to %d in a segment that ends at offset %d", h.BaseOffset,
			h.LastOffset(), o.end))
	case o.due >= 0 && h.BaseOffset != o.due && !o.segment.gaps.Load():
		return o.segment.missing(at, o.due, h.BaseOffset)
	}
	o.least, o.due = h.NextOffset(), h.NextOffset()
	return nil
}
