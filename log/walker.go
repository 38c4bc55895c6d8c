package log

import (
	"errors"
	"fmt"
	"sync"

	"once/internal/vfs"
	"once/log/batch"
)

const (
	walkBytes = 8 << 10 // one read of a walk over small batches
	peekBytes = 256     // one read of a walk over batches larger than walkBytes
	// maxBlamedBytes bounds what is read to find out which of two batches is the damaged one.
	maxBlamedBytes = 256 << 20
)

var walkBuffers = sync.Pool{New: func() any { b := make([]byte, walkBytes); return &b }}

// walker goes from batch header to batch header without touching the records between them. It starts
// at a batch boundary. close must be called; err is set when next returned false for another reason
// than the end.
type walker struct {
	segment *segment
	file    vfs.File
	end     int64 // position; a batch beyond it is damage
	buf     *[]byte
	bufAt   int64
	bufLen  int
	nextAt  int64
	least   int64 // the next batch must not begin below this offset
	due     int64 // and has to begin at this one, unless it is -1

	at     int64 // position of header's batch
	header batch.Header
	err    error
}

func newWalker(s *segment, f vfs.File, from, end int64) walker {
	w := walker{segment: s, file: f, end: end, nextAt: from, least: s.base, due: -1, buf: walkBuffers.Get().(*[]byte)}
	if from == 0 && !s.gaps.Load() {
		w.due = s.base
	}
	return w
}

func (w *walker) close() {
	if w.buf != nil {
		walkBuffers.Put(w.buf)
		w.buf = nil
	}
}

func (w *walker) next() bool {
	if w.err != nil || w.nextAt >= w.end {
		return false
	}
	at := w.nextAt
	if at < w.bufAt || at+batch.HeaderSizeBytes > w.bufAt+int64(w.bufLen) {
		want := walkBytes
		if w.bufLen > 0 && at-w.at > walkBytes {
			want = peekBytes
		}
		n := int(min(int64(want), w.end-at))
		if w.err = w.segment.readFull(w.file, (*w.buf)[:n], at); w.err != nil {
			return false
		}
		w.bufAt, w.bufLen = at, n
	}
	h, err := batch.ParseHeader((*w.buf)[at-w.bufAt : w.bufLen])
	switch {
	case err != nil:
		w.err = w.blame(w.segment.damaged(at, err))
	case at+int64(h.SizeBytes()) > w.end:
		w.err = w.blame(w.segment.damaged(at, fmt.Errorf("batch of %d bytes reaches beyond the end", h.SizeBytes())))
	case h.BaseOffset < w.least || h.BaseOffset > maxOffset || h.LastOffsetDelta < 0 || h.LastOffset()-w.segment.base >= maxSegmentOffsets:
		w.err = w.blame(w.segment.damaged(at, fmt.Errorf("batch of offsets %d to %d where %d was due", h.BaseOffset, h.LastOffset(), w.least)))
	case w.due >= 0 && h.BaseOffset != w.due && !w.segment.gaps.Load():
		w.err = w.blame(w.segment.missing(at, w.due, h.BaseOffset))
	default:
		w.at, w.header = at, h
		w.nextAt, w.least, w.due = at+int64(h.SizeBytes()), h.NextOffset(), h.NextOffset()
		return true
	}
	return false
}

// follows checks that the batch is the one due where the walk over the segment before ended, and notes which
// one is due next; -1 is any.
func (w *walker) follows(due *int64) error {
	was := *due
	*due = w.header.NextOffset()
	if was >= 0 && w.header.BaseOffset > was && !w.segment.gaps.Load() {
		return w.segment.missing(w.at, was, w.header.BaseOffset)
	}
	return nil
}

// blame says what is wrong where a batch does not continue the one before: that one, when its length or its
// last offset is the lie.
func (w *walker) blame(found error) error {
	if before := w.header.SizeBytes(); w.header.LengthBytes > 0 && before < maxBlamedBytes {
		if err := w.segment.readBatch(w.file, make([]byte, before), w.at); errors.Is(err, ErrDamaged) {
			return err
		}
	}
	return found
}
