package log

import (
	"slices"
	"sort"

	"once/internal/files"
	"once/internal/vfs"
	"once/log/batch"
)

// Slice is a run of whole batches inside one segment. It keeps the file open until Release. The zero
// Slice is empty.
type Slice struct {
	segment    *segment
	file       vfs.File
	position   int64
	sizeBytes  int
	nextOffset int64
}

// SizeBytes is the size of the batches.
func (s Slice) SizeBytes() int { return s.sizeBytes }

// NextOffset is the offset after the last batch; for an empty slice the offset asked for.
func (s Slice) NextOffset() int64 { return s.nextOffset }

// File returns the file with the bytes, for sending them without a copy; nil when the slice is empty.
func (s Slice) File() vfs.File { return s.file }

// Position is the position in File at which the slice begins.
func (s Slice) Position() int64 { return s.position }

// ReadInto appends the bytes to dst.
func (s Slice) ReadInto(dst []byte) ([]byte, error) {
	if s.sizeBytes == 0 {
		return dst, nil
	}
	n := len(dst)
	dst = slices.Grow(dst, s.sizeBytes)[:n+s.sizeBytes]
	if err := s.segment.readFull(s.file, dst[n:], s.position); err != nil {
		return dst[:n], err
	}
	return dst, nil
}

// Release drops the reference to the file; the slice must not be used after.
func (s *Slice) Release() {
	if s.segment != nil {
		s.segment.release()
		*s = Slice{nextOffset: s.nextOffset}
	}
}

// Budget limits the result of Locate.
type Budget struct {
	MaxBytes   int
	AtLeastOne bool // the first batch even when it alone is larger
}

// Locate finds the batches for a fetch: whole batches from the one that holds offset on, below limit, inside one
// segment, within the budget. At limit, and at EndOffset, the slice is empty. Errors: ErrOutOfRange below StartOffset
// or above EndOffset; *files.DamagedError for damaged batches. The caller releases the slice.
func (l *Log) Locate(offset, limit int64, b Budget) (Slice, error) {
	end := l.end.Load()
	if offset < l.start.Load() || offset > end {
		return Slice{}, ErrOutOfRange
	}
	limit = min(limit, end)
	for offset < limit {
		s := l.acquireAt(offset)
		if s == nil {
			if l.closed.Load() {
				return Slice{}, ErrClosed
			}
			break
		}
		slice, err := s.locate(offset, limit, b.MaxBytes, b.AtLeastOne)
		if err == nil && slice.sizeBytes > 0 {
			err = s.check(slice.file, slice.position, slice.position+int64(slice.sizeBytes))
		}
		if err != nil || slice.sizeBytes == 0 {
			s.release()
			slice = Slice{nextOffset: offset}
		}
		if err != errGap {
			return slice, err
		}
		next, size := s.bounds()
		if !l.gaps.Load() {
			return slice, s.missing(size, offset, next)
		}
		offset = next // compaction removed everything up to the segment's end
	}
	return Slice{nextOffset: offset}, nil
}

// acquireAt returns the segment that covers the offset, or the next one, with a reference taken; nil when there is
// none.
func (l *Log) acquireAt(offset int64) *segment {
	for {
		segments := l.list()
		i := sort.Search(len(segments), func(i int) bool { return segments[i].base > offset })
		i = max(i-1, 0)
		if i+1 < len(segments) {
			if end, _ := segments[i].bounds(); end <= offset {
				i++
			}
		}
		if i >= len(segments) {
			return nil
		}
		if segments[i].acquire() {
			return segments[i]
		}
		if l.closed.Load() {
			return nil
		}
	}
}

// errGap: the segment has no batch at or after the offset.
var errGap = &files.DamagedError{}

func (s *segment) locate(offset, limit int64, maxBytes int, atLeastOne bool) (Slice, error) {
	endOffset, size := s.bounds()
	f, err := s.handle()
	if err != nil {
		return Slice{}, err
	}
	entries, err := s.index()
	if err != nil {
		return Slice{}, err
	}
	start, first, err := s.findBatch(f, entries, offset, size)
	if err != nil {
		return Slice{}, err
	}
	slice := Slice{segment: s, file: f, position: start, nextOffset: offset}
	if limit >= endOffset && size-start <= int64(maxBytes) {
		slice.sizeBytes, slice.nextOffset = int(size-start), endOffset
		return slice, nil
	}
	if at, ok := s.recall(limit); ok && at > start && at-start <= int64(maxBytes) {
		slice.sizeBytes, slice.nextOffset = int(at-start), limit
		return slice, nil
	}
	if first.LengthBytes == 0 { // recall reads no header
		if first, err = s.headerAt(f, start); err != nil {
			return Slice{}, err
		}
	}
	if first.NextOffset() > limit { // impossible for a valid batch
		return slice, s.check(f, start, min(start+int64(first.SizeBytes()), size))
	}
	if first.SizeBytes() > maxBytes && !atLeastOne {
		return slice, nil
	}
	end, next, err := s.extend(f, entries, start, first, limit, int64(maxBytes), size)
	slice.sizeBytes, slice.nextOffset = int(end-start), next
	return slice, err
}

// findBatch returns the position of the batch that holds offset or, if compaction removed it, of the next one. The
// header is zero when it was not read.
func (s *segment) findBatch(f vfs.File, entries []OffsetIndexEntry, offset, size int64) (int64, batch.Header, error) {
	if at, ok := s.recall(offset); ok && at < size {
		return at, batch.Header{}, nil
	}
	for try := 0; ; try++ {
		i := atOrBefore(entries, offset-s.base)
		from := int64(0)
		if i > 0 {
			from = int64(entries[i-1].Position)
		}
		at, h, err := s.scanFor(f, from, offset, size)
		trusted := i == 0 || err == nil && s.entryHolds(f, entries[i-1], at, h)
		if trusted || try > 0 {
			return at, h, err
		}
		if s.recent.Load() != nil { // the active segment's index cannot be made anew
			return s.scanFor(f, 0, offset, size)
		}
		if err := s.dropIndexes(); err != nil {
			return 0, h, err
		}
		entries = s.offsets.view()
	}
}

// entryHolds checks the index entry at which a search began. It reads nothing when the batch found is the entry's own.
func (s *segment) entryHolds(f vfs.File, e OffsetIndexEntry, at int64, h batch.Header) bool {
	if at != int64(e.Position) {
		var err error
		if h, err = s.headerAt(f, int64(e.Position)); err != nil {
			return false
		}
	}
	return h.LastOffset() == s.base+int64(e.RelativeOffset)
}

func (s *segment) scanFor(f vfs.File, from, offset, size int64) (int64, batch.Header, error) {
	w := newWalker(s, f, from, size)
	defer w.close()
	for w.next() {
		if w.header.LastOffset() >= offset {
			return w.at, w.header, nil
		}
	}
	if w.err != nil {
		return 0, batch.Header{}, w.err
	}
	return 0, batch.Header{}, errGap
}

func (s *segment) headerAt(f vfs.File, position int64) (batch.Header, error) {
	buf := walkBuffers.Get().(*[]byte)
	defer walkBuffers.Put(buf)
	head := (*buf)[:batch.HeaderSizeBytes]
	if err := s.readFull(f, head, position); err != nil {
		return batch.Header{}, err
	}
	h, err := batch.ParseHeader(head)
	if err != nil {
		return h, s.damaged(position, err)
	}
	return h, nil
}

// extend returns the end of the longest run of batches that begins with first at start and keeps to the limits; first
// itself always counts. The index gives a position close to it, the rest is a walk.
func (s *segment) extend(f vfs.File, entries []OffsetIndexEntry, start int64, first batch.Header, limit, maxBytes,
	size int64) (int64, int64, error) {
	endLimit := start + maxBytes
	i := min(withinPosition(entries, endLimit), atOrBefore(entries, limit-s.base-1))
	if i > 0 && int64(entries[i-1].Position) >= start+int64(first.SizeBytes()) {
		e := entries[i-1] // a boundary within the limits, if the entry is right
		if h, err := s.headerAt(f, int64(e.Position)); err == nil && h.LastOffset() == s.base+int64(e.RelativeOffset) {
			start, first = int64(e.Position), h
			if start+int64(h.SizeBytes()) > endLimit {
				return start, h.BaseOffset, nil
			}
		}
	}
	// The walk goes on behind the batch at start, as far as the limits allow.
	end, next := start+int64(first.SizeBytes()), first.NextOffset()
	w := newWalker(s, f, end, size)
	defer w.close()
	w.at, w.header = start, first
	for w.next() && w.header.NextOffset() <= limit && w.nextAt <= endLimit {
		end, next = w.nextAt, w.header.NextOffset()
	}
	return end, next, w.err
}
