package log

import (
	"errors"
	"fmt"
	"sync"

	"once/internal/files"
	"once/internal/vfs"
	"once/log/batch"
)

var walkBuffers = sync.Pool{New: func() any { b := make([]byte, walkBytes); return &b }}

// walker walks from batch header to batch header without reading the records. It starts at a batch boundary. close must
// be called; when next returns false before the end, err says why.
type walker struct {
	segment *segment
	file    vfs.File
	end     int64 // position; a batch beyond it is damage
	buf     *[]byte
	bufAt   int64
	bufLen  int
	nextAt  int64
	order   order

	at     int64 // position of header's batch
	header batch.Header
	err    error
}

func newWalker(s *segment, f vfs.File, from, end int64) walker {
	return walker{segment: s, file: f, end: end, nextAt: from, order: newOrder(s, from), buf: walkBuffers.Get().(*[]byte)}
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
		want := w.segment.sizes.WalkBytes
		if w.bufLen > 0 && at-w.at > int64(want) {
			want = w.segment.sizes.PeekBytes
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
		err = w.segment.damaged(at, err)
	case at+int64(h.SizeBytes()) > w.end:
		err = w.segment.damaged(at, fmt.Errorf("batch of %d bytes reaches beyond the end", h.SizeBytes()))
	default:
		err = w.order.next(at, h)
	}
	if err != nil {
		w.err = w.damageOf(err)
		return false
	}
	w.at, w.header, w.nextAt = at, h, at+int64(h.SizeBytes())
	return true
}

// follows checks that the batch begins at *due, the end of the segment walked before, and sets *due to the batch's end;
// -1 is any.
func (w *walker) follows(due *int64) error {
	expected := *due
	*due = w.header.NextOffset()
	if expected >= 0 && w.header.BaseOffset > expected && !w.segment.gaps.Load() {
		return w.segment.missing(w.at, expected, w.header.BaseOffset)
	}
	return nil
}

// damageOf returns the error for a batch that does not continue the one before. If the CRC of the one before is wrong,
// its length or last offset may be, and that one is the damaged batch.
func (w *walker) damageOf(err error) error {
	if before := w.header.SizeBytes(); w.header.LengthBytes > 0 && before < w.segment.sizes.PredecessorBytes {
		if err := w.segment.readBatch(w.file, make([]byte, before), w.at); errors.Is(err, files.ErrDamaged) {
			return err
		}
	}
	return err
}
