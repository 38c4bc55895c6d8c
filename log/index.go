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

// offsetEntry says where in the file a batch starts: the one whose last offset is base+offset (spec:
// log 5.2).
type offsetEntry struct {
	offset   uint32 // relative to the segment's base offset
	position uint32
}

// timeEntry is the largest timestamp of the segment so far and the last offset of the batch that has it (spec: log
// 5.3).
type timeEntry struct {
	timestampMs int64
	offset      uint32 // relative to the segment's base offset
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

func encodeOffsets(entries []offsetEntry) []byte {
	b := make([]byte, 0, len(entries)*offsetEntryBytes)
	for _, e := range entries {
		b = binary.BigEndian.AppendUint32(b, e.offset)
		b = binary.BigEndian.AppendUint32(b, e.position)
	}
	return b
}

// decodeOffsets returns the entries before the first one that is impossible in a segment of this size and range.
func decodeOffsets(b []byte, sizeBytes, offsets int64) []offsetEntry {
	entries := make([]offsetEntry, 0, len(b)/offsetEntryBytes)
	for ; len(b) >= offsetEntryBytes; b = b[offsetEntryBytes:] {
		e := offsetEntry{binary.BigEndian.Uint32(b), binary.BigEndian.Uint32(b[4:])}
		if int64(e.position) >= sizeBytes || int64(e.offset) >= offsets {
			break
		}
		if n := len(entries); n > 0 && (e.offset <= entries[n-1].offset || e.position <= entries[n-1].position) {
			break
		}
		entries = append(entries, e)
	}
	return entries
}

func encodeTimes(entries []timeEntry) []byte {
	b := make([]byte, 0, len(entries)*timeEntryBytes)
	for _, e := range entries {
		b = binary.BigEndian.AppendUint64(b, uint64(e.timestampMs))
		b = binary.BigEndian.AppendUint32(b, e.offset)
	}
	return b
}

// decodeTimes is like decodeOffsets, for the time index.
func decodeTimes(b []byte, offsets int64) []timeEntry {
	entries := make([]timeEntry, 0, len(b)/timeEntryBytes)
	for ; len(b) >= timeEntryBytes; b = b[timeEntryBytes:] {
		e := timeEntry{int64(binary.BigEndian.Uint64(b)), binary.BigEndian.Uint32(b[8:])}
		if int64(e.offset) >= offsets || e.timestampMs < 0 {
			break
		}
		if n := len(entries); n > 0 && (e.timestampMs <= entries[n-1].timestampMs || e.offset <= entries[n-1].offset) {
			break
		}
		entries = append(entries, e)
	}
	return entries
}

// atOrBefore returns how many entries have an offset of at most relative.
func atOrBefore(entries []offsetEntry, relative int64) int {
	return sort.Search(len(entries), func(i int) bool { return int64(entries[i].offset) > relative })
}

// withinPosition returns how many entries start at or before the position.
func withinPosition(entries []offsetEntry, position int64) int {
	return sort.Search(len(entries), func(i int) bool { return int64(entries[i].position) > position })
}
