package log

import (
	"bytes"
	"errors"

	"once/internal/vfs"
	"once/log/batch"
)

// cleanBufferBytes is how much a pass reads and writes at once; more only for a larger batch.
const cleanBufferBytes = 1 << 20

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
		if n := len(all) - 1; n >= 0 && bytes+size <= limit && next-all[n][0].base <= maxSegmentOffsets {
			all[n] = append(all[n], s)
			bytes += size
			continue
		}
		all = append(all, []*segment{s})
		bytes = size
	}
	return all
}

// eachBatch calls fn with each batch of a sealed segment, its CRC checked, until stopped. buf is reused.
func (s *segment) eachBatch(buf *[]byte, stopped func() bool, fn func(h batch.Header, raw []byte) error) error {
	f, err := s.handle()
	if err != nil {
		return err
	}
	_, size := s.bounds()
	return s.eachVerified(f, 0, size, buf, true, func(_ int64, h batch.Header, raw []byte) error {
		if stopped() {
			return errStopped
		}
		return fn(h, raw)
	})
}

// cleanedSegment is the segment that takes the place of a group. As long as what is left equals the
// group's first segment nothing is written.
type cleanedSegment struct {
	log     *Log
	source  *segment
	segment *segment
	file    vfs.File
	same    bool
	size    int64
	written int64  // bytes that are in the file
	buf     []byte // bytes from written to size
}

func (l *Log) newCleaned(source *segment, buf []byte) *cleanedSegment {
	return &cleanedSegment{log: l, source: source, segment: newSegment(l, source.base), same: true, buf: buf[:0]}
}

// begin gives the segment a file, with what it has in common with its source.
func (c *cleanedSegment) begin() error {
	var err error
	if c.file, err = createAnew(c.log.fs, c.segment.file(suffixCleaned)); err != nil {
		return err
	}
	c.same = false
	f, err := c.source.handle()
	if err != nil {
		return err
	}
	err = eachChunk(f, 0, c.size, func(b []byte, at int64) error {
		_, err := c.file.WriteAt(b, at)
		return err
	})
	c.written = c.size
	return err
}

// add takes what is left of a batch; nil is nothing.
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
	if c.size+int64(len(left)) > maxSegmentBytes {
		return errTooLarge
	}
	if !c.same && len(c.buf)+len(left) > cleanBufferBytes {
		if err := c.flush(); err != nil {
			return err
		}
	}
	c.log.note(c.segment, h, c.size)
	c.size += int64(len(left))
	if !c.same {
		c.buf = append(c.buf, left...)
	}
	return nil
}

func (c *cleanedSegment) flush() error {
	_, err := c.file.WriteAt(c.buf, c.written)
	c.written += int64(len(c.buf))
	c.buf = c.buf[:0]
	return err
}

// finish writes and syncs the rest. After it the segment can be read.
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
	s.offsets.reset(thin(s.offsets.view()))
	s.times.reset(thin(s.times.view()))
	s.createdMs = c.source.createdMs
	s.checked.wrote()
	s.mu.file, s.mu.offsetsReady, s.mu.timesReady = c.file, true, true
	return nil
}

// discard removes what was written.
func (c *cleanedSegment) discard() {
	if c.file != nil {
		c.file.Close()
		_ = c.log.fs.Remove(c.segment.file(suffixCleaned)) // the next start removes it, too
	}
}
