package log

import (
	"errors"
	"fmt"
	"slices"
	"sync"

	"once/internal/vfs"
	"once/log/batch"
)

// errStop ends a scan early.
var errStop = errors.New("stop")

var scanBuffers = sync.Pool{New: func() any { b := make([]byte, 0, scanBytes); return &b }}

// putScanBuffer puts a buffer back into the pool, unless it has grown for a larger batch.
func putScanBuffer(buf *[]byte) {
	if cap(*buf) <= scanBytes {
		scanBuffers.Put(buf)
	}
}

// eachVerified calls fn with each batch between two positions, after a check of its CRC, until one is damaged
// (*files.DamagedError) or fn returns an error. raw is valid during the call. One read fills buf. For a larger batch
// buf grows if whole is set; else the batch is read in pieces and raw is nil.
func (s *segment) eachVerified(f vfs.File, from, to int64, buf *[]byte, whole bool,
	fn func(at int64, h batch.Header, raw []byte) error) error {
	chunk := (*buf)[:0]
	for at := from; at < to; {
		need := int64(batch.HeaderSizeBytes)
		h, err := batch.ParseHeader(chunk)
		if err == nil {
			need = int64(h.SizeBytes())
		} else if len(chunk) >= batch.HeaderSizeBytes {
			return s.damaged(at, err)
		}
		if at+need > to {
			return s.damaged(at, fmt.Errorf("batch of %d bytes reaches beyond byte %d", need, to))
		}
		if !whole && err == nil && need > int64(cap(*buf)) {
			if err := s.verifyInPieces(f, at, h, chunk, (*buf)[:cap(*buf)]); err != nil {
				return err
			}
			if err := fn(at, h, nil); err != nil {
				return err
			}
			at, chunk = at+need, nil
			continue
		}
		if int64(len(chunk)) < need {
			n := int(min(max(int64(cap(*buf)), need), to-at))
			*buf = slices.Grow((*buf)[:0], n)[:n]
			if err := s.readFull(f, *buf, at); err != nil {
				return err
			}
			chunk = *buf
			continue
		}
		if h, err = batch.Verify(chunk[:need]); err != nil {
			return s.damaged(at, err)
		}
		if err := fn(at, h, chunk[:need:need]); err != nil {
			return err
		}
		at, chunk = at+need, chunk[need:]
	}
	return nil
}

// EachVerified is for the file of a segment that no log has open: it calls fn with each batch between two positions,
// until one is damaged (*files.DamagedError) or fn returns an error. raw is valid during the call, and nil for a large
// batch unless whole is set.
func EachVerified(f vfs.File, dir string, base, from, to int64, whole bool,
	fn func(at int64, h batch.Header, raw []byte) error) error {
	buf := scanBuffers.Get().(*[]byte)
	defer putScanBuffer(buf)
	return (&segment{dir: dir, base: base}).eachVerified(f, from, to, buf, whole, fn)
}

// verifyInPieces checks the CRC of the batch at a position, of which read is the beginning. read may lie in buf, which
// then holds each piece.
func (s *segment) verifyInPieces(f vfs.File, at int64, h batch.Header, read, buf []byte) error {
	var sum batch.Checksum
	sum.Add(read)
	for done := len(read); done < h.SizeBytes(); {
		piece := buf[:min(len(buf), h.SizeBytes()-done)]
		if err := s.readFull(f, piece, at+int64(done)); err != nil {
			return err
		}
		sum.Add(piece)
		done += len(piece)
	}
	if err := sum.Verify(h); err != nil {
		return s.damaged(at, err)
	}
	return nil
}

// Scan calls fn for each batch that holds offsets from from up to, not including, to, in order, across
// segments. raw is valid during the call. It starts at StartOffset if from is below.
func (l *Log) Scan(from, to int64, fn func(h batch.Header, raw []byte) error) error {
	buf := scanBuffers.Get().(*[]byte)
	defer scanBuffers.Put(buf)
	due := int64(-1)
	return l.eachSegment(from, to, func(s *segment, f vfs.File, start, end int64) error {
		chunk := (*buf)[:0]
		chunkAt := start
		w := newWalker(s, f, start, end)
		defer w.close()
		for w.next() {
			size := int64(w.header.SizeBytes())
			if err := w.follows(&due); err != nil {
				return err
			}
			if w.header.BaseOffset >= to {
				return nil
			}
			if w.at < chunkAt || w.at+size > chunkAt+int64(len(chunk)) {
				n := int(min(max(int64(l.sizes.ScanBytes), size), end-w.at))
				chunk = slices.Grow(chunk[:0], n)[:n]
				if err := s.readFull(f, chunk, w.at); err != nil {
					return err
				}
				chunkAt = w.at
				if n <= scanBytes {
					*buf = chunk
				}
			}
			if w.header.LastOffset() < from {
				continue
			}
			at := w.at - chunkAt
			raw := chunk[at : at+size : at+size]
			if _, err := batch.Verify(raw); err != nil {
				return s.damaged(w.at, err)
			}
			if err := fn(w.header, raw); err != nil {
				return err
			}
		}
		return w.err
	})
}

// scanHeaders is like Scan, but reads a batch's records only when raw is called. The next call of raw reuses its
// memory.
func (l *Log) scanHeaders(from, to int64, fn func(h batch.Header, raw func() ([]byte, error)) error) error {
	return l.ReplayHeaders(max(from, l.start.Load()), to, fn)
}

// ReplayHeaders is like scanHeaders, but includes batches still stored below StartOffset: it starts at ReplayOffset if
// from is below that.
func (l *Log) ReplayHeaders(from, to int64, fn func(h batch.Header, raw func() ([]byte, error)) error) error {
	var body []byte
	due := int64(-1)
	return l.eachStored(from, to, func(s *segment, f vfs.File, start, end int64) error {
		w := newWalker(s, f, start, end)
		defer w.close()
		raw := func() ([]byte, error) {
			size := w.header.SizeBytes()
			body = slices.Grow(body[:0], size)[:size]
			return body, s.readBatch(f, body, w.at)
		}
		for w.next() {
			if err := w.follows(&due); err != nil {
				return err
			}
			if w.header.BaseOffset >= to {
				return nil
			}
			if w.header.LastOffset() < from {
				continue
			}
			if err := fn(w.header, raw); err != nil {
				return err
			}
		}
		return w.err
	})
}

// eachSegment calls fn for each segment that overlaps the range, with the positions of the range as published at the
// time of the call.
func (l *Log) eachSegment(from, to int64, fn func(s *segment, f vfs.File, start, end int64) error) error {
	return l.eachStored(max(from, l.start.Load()), to, fn)
}

// eachStored is like eachSegment, but ignores StartOffset.
func (l *Log) eachStored(from, to int64, fn func(s *segment, f vfs.File, start, end int64) error) error {
	from, to = max(from, l.ReplayOffset()), min(to, l.end.Load())
	for from < to {
		s := l.acquireAt(from)
		if s == nil {
			return nil
		}
		endOffset, size := s.bounds()
		err := s.within(from, size, fn)
		s.release()
		if err != nil {
			return err
		}
		from = max(endOffset, from+1)
	}
	return nil
}

func (s *segment) within(from, size int64, fn func(s *segment, f vfs.File, start, end int64) error) error {
	f, err := s.handle()
	if err != nil {
		return err
	}
	entries, err := s.index()
	if err != nil {
		return err
	}
	start, _, err := s.findBatch(f, entries, from, size)
	if err == errGap {
		return nil
	}
	if err != nil {
		return err
	}
	return fn(s, f, start, size)
}
