package log

import (
	"encoding/binary"
	"sort"
	"sync/atomic"
)

const (
	offsetEntryBytes = 8
	timeEntryBytes   = 12
	firstListItems   = 16
)

// OffsetIndexEntry is the last offset of a batch, relative to the segment's base offset, and the position of that batch
// (spec: log 5.2).
type OffsetIndexEntry struct{ RelativeOffset, Position uint32 }

// TimeIndexEntry is the largest timestamp of the segment so far, and the last offset of the batch that has it, relative
// to the segment's base offset (spec: log 5.3).
type TimeIndexEntry struct {
	TimestampMs    int64
	RelativeOffset uint32
}

// growing is a list that one goroutine appends to while others read it without a lock: a result of view never
// changes.
type growing[T any] struct {
	items atomic.Pointer[[]T] // its length is its capacity; only the first n items are set
	n     atomic.Int64        // loaded before items, stored after
}

func (g *growing[T]) view() []T {
	n := g.n.Load()
	if n == 0 {
		return nil
	}
	items := *g.items.Load()
	n = min(n, int64(len(items))) // a reset may have come between the two loads
	return items[:n:n]
}

func (g *growing[T]) add(v T) {
	n := int(g.n.Load())
	var items []T
	if p := g.items.Load(); p != nil {
		items = *p
	}
	if n == len(items) {
		bigger := make([]T, max(firstListItems, 2*n))
		copy(bigger, items)
		items = bigger
		g.items.Store(&bigger)
	}
	items[n] = v
	g.n.Store(int64(n + 1))
}

// reset replaces the whole list; not beside add.
func (g *growing[T]) reset(items []T) {
	items = items[:len(items):len(items)]
	g.n.Store(0)
	g.items.Store(&items)
	g.n.Store(int64(len(items)))
}

// thinIndexes drops entries of a sealed segment's indexes that are too many to keep in memory.
func (s *segment) thinIndexes() {
	s.offsets.reset(thin(s.offsets.view(), s.sizes.SealedIndexEntries))
	s.times.reset(thin(s.times.view(), s.sizes.SealedIndexEntries))
}

// thin drops entries evenly, so that at most most+1 remain; the last one stays.
func thin[T any](items []T, most int) []T {
	if len(items) <= most {
		return items
	}
	step := (len(items) + most - 1) / most
	kept := make([]T, 0, most+1)
	for i := 0; i < len(items)-1; i += step {
		kept = append(kept, items[i])
	}
	return append(kept, items[len(items)-1])
}

func encodeOffsets(entries []OffsetIndexEntry) []byte {
	b := make([]byte, 0, len(entries)*offsetEntryBytes)
	for _, e := range entries {
		b = binary.BigEndian.AppendUint32(b, e.RelativeOffset)
		b = binary.BigEndian.AppendUint32(b, e.Position)
	}
	return b
}

// DecodeOffsetIndex reads an .index file; whole is false if bytes are left over.
func DecodeOffsetIndex(b []byte) (entries []OffsetIndexEntry, whole bool) {
	entries = make([]OffsetIndexEntry, 0, len(b)/offsetEntryBytes)
	for ; len(b) >= offsetEntryBytes; b = b[offsetEntryBytes:] {
		entries = append(entries, OffsetIndexEntry{binary.BigEndian.Uint32(b), binary.BigEndian.Uint32(b[4:])})
	}
	return entries, len(b) == 0
}

// decodeOffsets returns the entries before the first one that is impossible in a segment of this size and range.
func decodeOffsets(b []byte, sizeBytes, offsets int64) []OffsetIndexEntry {
	entries, _ := DecodeOffsetIndex(b)
	for i, e := range entries {
		rises := i == 0 || e.RelativeOffset > entries[i-1].RelativeOffset && e.Position > entries[i-1].Position
		if !rises || int64(e.Position) >= sizeBytes || int64(e.RelativeOffset) >= offsets {
			return entries[:i]
		}
	}
	return entries
}

func encodeTimes(entries []TimeIndexEntry) []byte {
	b := make([]byte, 0, len(entries)*timeEntryBytes)
	for _, e := range entries {
		b = binary.BigEndian.AppendUint64(b, uint64(e.TimestampMs))
		b = binary.BigEndian.AppendUint32(b, e.RelativeOffset)
	}
	return b
}

// DecodeTimeIndex reads a .timeindex file; whole is false if bytes are left over.
func DecodeTimeIndex(b []byte) (entries []TimeIndexEntry, whole bool) {
	entries = make([]TimeIndexEntry, 0, len(b)/timeEntryBytes)
	for ; len(b) >= timeEntryBytes; b = b[timeEntryBytes:] {
		entries = append(entries, TimeIndexEntry{int64(binary.BigEndian.Uint64(b)), binary.BigEndian.Uint32(b[8:])})
	}
	return entries, len(b) == 0
}

// decodeTimes is like decodeOffsets, for the time index.
func decodeTimes(b []byte, offsets int64) []TimeIndexEntry {
	entries, _ := DecodeTimeIndex(b)
	for i, e := range entries {
		rises := i == 0 || e.TimestampMs > entries[i-1].TimestampMs && e.RelativeOffset > entries[i-1].RelativeOffset
		if !rises || int64(e.RelativeOffset) >= offsets || e.TimestampMs < 0 {
			return entries[:i]
		}
	}
	return entries
}

// atOrBefore returns how many entries have an offset of at most relative.
func atOrBefore(entries []OffsetIndexEntry, relative int64) int {
	return sort.Search(len(entries), func(i int) bool { return int64(entries[i].RelativeOffset) > relative })
}

// withinPosition returns how many entries start at or before the position.
func withinPosition(entries []OffsetIndexEntry, position int64) int {
	return sort.Search(len(entries), func(i int) bool { return int64(entries[i].Position) > position })
}
