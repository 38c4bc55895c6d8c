package log

import (
	"fmt"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"once/internal/vfs"
	"once/log/batch"
)

// maxCheckedRanges bounds what a segment remembers of what was checked. Readers go forward, so that there
// are few; the one beyond is forgotten and checked again.
const maxCheckedRanges = 64

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
		ownFrom int64       // bytes from this position on were written by this process
		ranges  []byteRange // ascending, apart from each other
	}
}

type byteRange struct{ from, to int64 }

const writing = math.MaxInt64

// wrote notes a change of the file by this process, just now.
func (c *checked) wrote() { c.changedNs.Store(time.Now().UnixNano()) }

// owns says that bytes from a position on were written by this process, and no others.
func (c *checked) owns(from int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.mu.ownFrom, c.mu.ranges = from, nil
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
	to = min(to, c.mu.ownFrom)
	var parts []byteRange
	for _, r := range c.mu.ranges {
		if r.to <= from {
			continue
		}
		if r.from >= to {
			break
		}
		if from < r.from {
			parts = append(parts, byteRange{from, r.from})
		}
		from = r.to
	}
	if from < to {
		parts = append(parts, byteRange{from, to})
	}
	return parts
}

// add notes that a range has been checked.
func (c *checked) add(from, to int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if from >= c.mu.ownFrom {
		return
	}
	// Those that touch the new one become part of it.
	i := 0
	for i < len(c.mu.ranges) && c.mu.ranges[i].to < from {
		i++
	}
	j := i
	for j < len(c.mu.ranges) && c.mu.ranges[j].from <= to {
		from, to = min(from, c.mu.ranges[j].from), max(to, c.mu.ranges[j].to)
		j++
	}
	c.mu.ranges = slices.Replace(c.mu.ranges, i, j, byteRange{from, to})
	if len(c.mu.ranges) > maxCheckedRanges {
		c.mu.ranges = c.mu.ranges[1:]
	}
}

// check makes sure that the batches in a range, which begins and ends with one, are what was written.
func (s *segment) check(f vfs.File, from, to int64) error {
	_, size := s.bounds()
	if err := s.checked.forgetIfChanged(f, size); err != nil {
		return err
	}
	parts := []byteRange{{from, to}}
	if f.InMemory(from, to-from) {
		parts = s.checked.unknown(from, to)
	}
	for _, r := range parts {
		if err := s.verify(f, r.from, r.to); err != nil {
			return err
		}
		s.checked.add(r.from, r.to)
	}
	return nil
}

func (s *segment) verify(f vfs.File, from, to int64) error {
	buf := scanBuffers.Get().(*[]byte)
	defer putScanBuffer(buf)
	due := int64(-1)
	return s.eachVerified(f, from, to, buf, func(at int64, h batch.Header, _ []byte) error {
		switch {
		case h.BaseOffset < max(due, s.base):
			return s.damaged(at, fmt.Errorf("batch of offsets %d to %d where %d was due", h.BaseOffset, h.LastOffset(), due))
		case due >= 0 && h.BaseOffset > due && !s.gaps.Load():
			return s.missing(at, due, h.BaseOffset)
		}
		due = h.NextOffset()
		return nil
	})
}
