package log

import (
	"math"
	"sync"
	"sync/atomic"
	"time"

	"once/internal/vfs"
	"once/log/batch"
)

// checked remembers which bytes of a segment are verified. Bytes written by this process count as verified. All
// others are verified when first read after a start, so that no damaged batch is served (spec: reliability P8),
// and again after the file's time shows that another process has written to it.
type checked struct {
	// changedNs is the time at which this process last changed the file, or noticed that another process did, by
	// the clock of the file system. It is the constant writing during a write.
	changedNs atomic.Int64
	mu        struct {
		sync.Mutex
		ownFrom int64      // bytes from this position on were written by this process
		known   byteRanges // verified
	}
}

const writing = math.MaxInt64

// noteWrite notes a change of the file by this process, just now.
func (c *checked) noteWrite() { c.changedNs.Store(time.Now().UnixNano()) }

// setOwnFrom says that this process, and no other, wrote the bytes from a position on.
func (c *checked) setOwnFrom(from int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.ownFrom, c.mu.known = from, nil
	c.noteWrite()
}

// forgetIfChanged makes all bytes unverified if another process has changed the file.
func (c *checked) forgetIfChanged(f vfs.File, sizeBytes int64) error {
	at, err := f.ModTime()
	if err != nil || at.UnixNano() <= c.changedNs.Load() {
		return err
	}
	c.setOwnFrom(sizeBytes)
	c.changedNs.Store(at.UnixNano()) // it may lie ahead of the clock, and is then noticed once
	return nil
}

// unverified returns the unverified parts of a range.
func (c *checked) unverified(from, to int64) []byteRange {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.mu.known.without(from, min(to, c.mu.ownFrom))
}

// add marks a range as verified.
func (c *checked) add(from, to int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if from < c.mu.ownFrom {
		c.mu.known.add(from, to)
		c.mu.known.forgetBeyond() // those are verified once more
	}
}

// check verifies the batches in a range that begins and ends at a batch boundary, where they are not verified yet.
func (s *segment) check(f vfs.File, from, to int64) error {
	_, size := s.bounds()
	if err := s.checked.forgetIfChanged(f, size); err != nil {
		return err
	}
	for _, r := range s.checked.unverified(from, to) {
		if err := s.verify(f, r.from, r.to); err != nil {
			return err
		}
		s.checked.add(r.from, r.to)
	}
	return nil
}

// verify checks the CRC and the order of the batches in a range.
func (s *segment) verify(f vfs.File, from, to int64) error {
	buf := scanBuffers.Get().(*[]byte)
	defer putScanBuffer(buf)
	piece := (*buf)[:0:s.sizes.ScanBytes]
	o := newOrder(s, from)
	return s.eachVerified(f, from, to, &piece, false,
		func(at int64, h batch.Header, _ []byte) error { return o.next(at, h) })
}
