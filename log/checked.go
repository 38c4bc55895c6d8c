package log

import (
	"math"
	"sync"
	"sync/atomic"
	"time"

	"once/internal/vfs"
	"once/log/batch"
)

// checked remembers which bytes of a segment may be sent without a look at them. Bytes written by this process count
// as verified. All others are verified when they are first read after a start, so that nothing is served that is
// not what was written (spec: reliability P8); and once more when the file's time tells that somebody else has written
// to it.
type checked struct {
	// changedNs is when this process last changed the file, or noticed that another one did, by the clock that
	// gives files their times; writing while it is at it.
	changedNs atomic.Int64
	mu        struct {
		sync.Mutex
		ownFrom int64      // bytes from this position on were written by this process
		known   byteRanges // verified
	}
}

const writing = math.MaxInt64

// wrote notes a change of the file by this process, just now.
func (c *checked) wrote() { c.changedNs.Store(time.Now().UnixNano()) }

// owns says that bytes from a position on were written by this process, and no others.
func (c *checked) owns(from int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.ownFrom, c.mu.known = from, nil
	c.wrote()
}

// forgetIfChanged makes everything unknown if the file was changed by somebody else.
func (c *checked) forgetIfChanged(f vfs.File, sizeBytes int64) error {
	at, err := f.ModTime()
	if err != nil || at.UnixNano() <= c.changedNs.Load() {
		return err
	}
	c.owns(sizeBytes)
	c.changedNs.Store(at.UnixNano()) // which may lie ahead of the clock, and is noticed once
	return nil
}

// unknown returns the parts of a range that have to be checked.
func (c *checked) unknown(from, to int64) []byteRange {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.mu.known.without(from, min(to, c.mu.ownFrom))
}

// add notes that a range has been checked.
func (c *checked) add(from, to int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if from < c.mu.ownFrom {
		c.mu.known.add(from, to)
		c.mu.known.forgetBeyond() // which is checked once more
	}
}

// check makes sure that the batches in a range, which begins and ends with one, are what was written.
func (s *segment) check(f vfs.File, from, to int64) error {
	_, size := s.bounds()
	if err := s.checked.forgetIfChanged(f, size); err != nil {
		return err
	}
	for _, r := range s.checked.unknown(from, to) {
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
	return s.eachVerified(f, from, to, &piece, false, func(at int64, h batch.Header, _ []byte) error { return o.next(at, h) })
}
