package log

import (
	"bytes"
	"errors"
	"fmt"
	"hash/crc32"

	"once/internal/files"
	"once/internal/vfs"
	"once/log/batch"
)

var (
	errStopped  = errors.New("log: compaction was stopped")
	errTooLarge = errors.New("log: compacted segment would be larger than any segment can be")
)

// groups divides segments into runs that fit one segment each (spec: log 10): by their present size,
// their index and the range of their offsets. end is where the last one ends.
func (l *Log) groups(segments []*segment, end int64) [][]*segment {
	c := l.config.Load()
	indexable := int64(c.SegmentIndexBytes/offsetEntryBytes) * int64(max(c.IndexIntervalBytes, batch.HeaderSizeBytes))
	limit := min(int64(c.SegmentBytes), indexable)
	var all [][]*segment
	var bytes int64
	for i, s := range segments {
		_, size := s.bounds()
		next := end
		if i+1 < len(segments) {
			next = segments[i+1].base
		}
		if n := len(all) - 1; n >= 0 && bytes+size <= limit && next-all[n][0].base <= MaxSegmentOffsets {
			all[n] = append(all[n], s)
			bytes += size
			continue
		}
		all = append(all, []*segment{s})
		bytes = size
	}
	return all
}

// eachBatch calls fn with each batch of a sealed segment until stopped. It checks CRC and order of the batches, as for
// readers. buf is reused.
func (s *segment) eachBatch(buf *[]byte, stopped func() bool, fn func(h batch.Header, raw []byte) error) error {
	f, err := s.handle()
	if err != nil {
		return err
	}
	_, size := s.bounds()
	o := newOrder(s, 0)
	return s.eachVerified(f, 0, size, buf, true, func(at int64, h batch.Header, raw []byte) error {
		if stopped() {
			return errStopped
		}
		if err := o.next(at, h); err != nil {
			return err
		}
		return fn(h, raw)
	})
}

// cleanedSegment is the segment that replaces a group. Nothing is written as long as the result equals the group's
// first segment.
type cleanedSegment struct {
	log      *Log
	source   *segment
	segment  *segment
	file     vfs.File
	maxBytes int64
	same     bool
	size     int64
	written  int64  // bytes that are in the file
	buf      []byte // bytes from written to size
	sum      contentSum
}

// contentSum describes the content of a segment, to compare what was written with what is read back.
type contentSum struct {
	batches, records int64
	lastOffset       int64  // of the last batch; -1 without one
	crc              uint32 // CRC-32C of all bytes
}

func (c *contentSum) add(h batch.Header, raw []byte) {
	c.batches++
	c.records += int64(h.RecordCount)
	c.lastOffset = h.LastOffset()
	c.crc = crc32.Update(c.crc, castagnoli, raw)
}

func (l *Log) newCleaned(source *segment, maxBytes int64) *cleanedSegment {
	return &cleanedSegment{log: l, source: source, segment: newSegment(l, source.base), maxBytes: maxBytes, same: true,
		sum: contentSum{lastOffset: -1}}
}

// begin creates the file of the segment and copies the part that equals its source.
func (c *cleanedSegment) begin() error {
	var err error
	if c.file, err = files.CreateAnew(c.log.fs, c.segment.file(CleanedSuffix)); err != nil {
		return err
	}
	c.same = false
	f, err := c.source.handle()
	if err != nil {
		return err
	}
	err = files.EachChunk(f, 0, c.size, c.log.sizes.CopyBytes, func(b []byte, at int64) error {
		_, err := c.file.WriteAt(b, at)
		return err
	})
	c.written = c.size
	return err
}

// add appends the rest of a batch; nil is nothing.
func (c *cleanedSegment) add(raw, left []byte) error {
	if c.same && !bytes.Equal(raw, left) {
		if err := c.begin(); err != nil {
			return err
		}
	}
	if left == nil {
		return nil
	}
	h, err := batch.ParseHeader(left)
	if err != nil {
		return err
	}
	if c.size+int64(len(left)) > c.maxBytes {
		return errTooLarge
	}
	if !c.same && len(c.buf)+len(left) > c.log.sizes.CleanBufferBytes {
		if err := c.flush(); err != nil {
			return err
		}
	}
	c.log.noteInIndexes(c.segment, h, c.size)
	c.sum.add(h, left)
	c.size += int64(len(left))
	if !c.same {
		c.buf = append(c.buf, left...)
	}
	return nil
}

func (c *cleanedSegment) flush() error {
	if len(c.buf) == 0 {
		return nil
	}
	_, err := c.file.WriteAt(c.buf, c.written)
	c.written += int64(len(c.buf))
	c.buf = c.buf[:0]
	return err
}

// finish writes and syncs the buffered bytes, and reads the whole file back. After it the segment can be read.
func (c *cleanedSegment) finish(end int64) error {
	if err := c.flush(); err != nil {
		return err
	}
	if err := c.file.Sync(); err != nil {
		return err
	}
	s := c.segment
	s.publish(end, c.size)
	s.synced.Store(c.size)
	s.closeTimes()
	s.thinIndexes()
	s.createdMs = c.source.createdMs
	s.checked.noteWrite()
	if err := c.readBack(); err != nil {
		return err
	}
	s.mu.file, s.mu.offsetsReady, s.mu.timesReady = c.file, true, true
	return nil
}

// readBack opens the file as a reader does and compares its content with what was written, because it is about to
// replace the only copy.
func (c *cleanedSegment) readBack() error {
	name := c.segment.file(CleanedSuffix)
	f, err := c.log.fs.OpenRead(name)
	if err != nil {
		return err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return err
	}
	there := contentSum{lastOffset: -1}
	o := newOrder(c.segment, 0)
	err = c.segment.eachVerified(f, 0, size, &c.buf, true, func(at int64, h batch.Header, raw []byte) error {
		there.add(h, raw)
		return o.next(at, h)
	})
	switch {
	case errors.Is(err, files.ErrDamaged): // the log's own segments are unchanged
		return fmt.Errorf("%w: %v", files.ErrNotAsWritten, err)
	case err == nil && there != c.sum:
		return fmt.Errorf("%w: %s: %+v was to be written, %+v is there", files.ErrNotAsWritten, name, c.sum, there)
	default:
		return err
	}
}

// discard removes what was written.
func (c *cleanedSegment) discard() {
	if c.file != nil {
		c.file.Close()
		_ = c.log.fs.Remove(c.segment.file(CleanedSuffix)) // the next start removes it, too
	}
}
