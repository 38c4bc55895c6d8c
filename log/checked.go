package log

import (
	"math"
	"sync"
	"sync/atomic"
	"time"

	"once/internal/vfs"
	"once/log/batch"
)

// checked remembers which bytes of a segment may be sent without a look at them. Bytes come to be so by being
// written by this process, or by a check of their batches; a restart makes all of them unknown again. So each
// byte is checked once, when it is first read, and nothing is served that is not what was written (spec:
// reliability P8). What comes from the disk and not from the page cache is checked each time, and so is all,
// once more, when the file's time tells that somebody else has written to it.
type checked struct {
	// changedNs is when this process last changed the file, or noticed that another one did, by the clock that
	// gives files their times; writing while it is at it.
	changedNs atomic.Int64
	mu        struct {
		sync.Mutex
		ownFrom  int64      // bytes from this position on were written by this process
		known    byteRanges // checked
		cold     byteRanges // not in memory when looked at, and not read since
		lookedTo int64      // up to where was looked ahead
	}
}

// lookAheadBytes is how far ahead of a reader a look is taken at what is in memory, in pieces of lookBytes; at
// least half of it always, which is twice what Linux reads ahead where it reads most (8 MiB a window, two
// windows). Bytes that were read ahead come from the disk although they are in memory when their turn comes.
const lookAheadBytes, lookBytes = 64 << 20, 256 << 10

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

// look notes what is not in memory from a position on. It comes before anything is read there.
func (c *checked) look(f vfs.File, from, sizeBytes int64) {
	c.mu.Lock()
	if c.mu.lookedTo < from || c.mu.lookedTo > from+lookAheadBytes {
		c.mu.lookedTo = from
	}
	at, end := c.mu.lookedTo, min(from+lookAheadBytes, sizeBytes)
	c.mu.Unlock()
	if at > from && (end-at < lookAheadBytes/2 && end < sizeBytes || at >= end) {
		return
	}
	var cold byteRanges
	for ; at < end; at += lookBytes {
		if n := min(lookBytes, end-at); !f.InMemory(at, n) {
			cold.add(at, at+n)
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, r := range cold {
		c.mu.cold.add(r.from, r.to)
	}
	c.mu.cold.joinBeyond() // checking more than is needed does no harm
	c.mu.lookedTo = max(c.mu.lookedTo, end)
}

// isCold says whether some of a range comes from the disk when it is read now, or has come from there ahead of
// its reader.
func (c *checked) isCold(f vfs.File, from, to int64) bool {
	c.mu.Lock()
	ahead := c.mu.cold.overlaps(from, to)
	c.mu.Unlock()
	return ahead || !f.InMemory(from, to-from)
}

// warmed notes that a range has been read.
func (c *checked) warmed(from, to int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.cold.remove(from, to)
}

// check makes sure that the batches in a range, which begins and ends with one, are what was written. cold says
// that some of it was not in memory; pace is called as Budget.ColdPace is.
func (s *segment) check(f vfs.File, from, to int64, pace func(sizeBytes int)) (cold bool, err error) {
	_, size := s.bounds()
	if err := s.checked.forgetIfChanged(f, size); err != nil {
		return false, err
	}
	parts := []byteRange{{from, to}}
	if cold = s.checked.isCold(f, from, to); cold {
		s.checked.warmed(from, to)
		if pace != nil {
			f = pacedFile{f, pace}
		}
	} else {
		parts = s.checked.unknown(from, to)
	}
	for _, r := range parts {
		if err := s.verify(f, r.from, r.to); err != nil {
			return cold, err
		}
		s.checked.add(r.from, r.to)
	}
	return cold, nil
}

// coldReadBytes is how much is read at once of what comes from the disk: while it is read, and its CRC is
// computed, others may have to wait.
const coldReadBytes = 64 << 10

// pacedFile asks before each read.
type pacedFile struct {
	vfs.File
	pace func(sizeBytes int)
}

func (p pacedFile) ReadAt(b []byte, at int64) (int, error) {
	p.pace(len(b))
	return p.File.ReadAt(b, at)
}

func (s *segment) verify(f vfs.File, from, to int64) error {
	buf := scanBuffers.Get().(*[]byte)
	defer putScanBuffer(buf)
	piece := (*buf)[:0:min(coldReadBytes, s.sizes.ScanBytes)]
	o := newOrder(s, from)
	return s.eachVerified(f, from, to, &piece, false, func(at int64, h batch.Header, _ []byte) error { return o.next(at, h) })
}
