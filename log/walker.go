package log

import (
	"fmt"
	"sync"

	"once/internal/vfs"
	"once/log/batch"
)

const (
	walkBytes = 8 << 10 // one read of a walk over small batches
	peekBytes = 256     // one read of a walk over batches larger than walkBytes
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

	at     int64 // position of header's batch
	header batch.Header
	err    error
}

func newWalker(s *segment, f vfs.File, from, end int64) walker {
	return walker{segment: s, file: f, end: end, nextAt: from, least: s.base, buf: walkBuffers.Get().(*[]byte)}
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
		w.err = w.segment.damaged(at, err)
	case at+int64(h.SizeBytes()) > w.end:
		w.err = w.segment.damaged(at, fmt.Errorf("batch of %d bytes reaches beyond the end", h.SizeBytes()))
	case h.BaseOffset < w.least || h.BaseOffset > maxOffset || h.LastOffsetDelta < 0 || h.LastOffset()-w.segment.base >= maxSegmentOffsets:
		w.err = w.segment.damaged(at, fmt.Errorf("batch of offsets %d to %d where %d was due", h.BaseOffset, h.LastOffset(), w.least))
	default:
		w.at, w.header = at, h
		w.nextAt, w.least = at+int64(h.SizeBytes()), h.NextOffset()
		return true
	}
	return false
}
