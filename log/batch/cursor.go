package batch

import (
	"fmt"
	"io"
)

// cursor reads the records' bytes, either from a buffer that holds them all or from a stream that is
// being inflated. The first error stays: every later read returns zeros, so callers look at err once a
// record instead of after each field.
type cursor struct {
	buf       []byte // unread bytes are buf[pos:]
	pos       int
	discarded int64              // bytes that were in buf before the present ones
	src       inflater           // nil: buf is all there is
	codec     Codec              // of src
	window    *[windowBytes]byte // where buf started, if there is a src
	limit     int64              // bytes that src may give
	maxRecord int32              // of one record, if there is a src; 0 for any
	err       error
}

var (
	errEnds   = fmt.Errorf("%w: record goes beyond the end of the batch", ErrInvalidRecord)
	errVarint = fmt.Errorf("%w: number is longer than its type", ErrInvalidRecord)
)

// at is the position in the records' bytes.
func (c *cursor) at() int64 { return c.discarded + int64(c.pos) }

func (c *cursor) fail(err error) {
	if c.err == nil {
		c.err = err
	}
	c.pos = len(c.buf)
}

func (c *cursor) byte() byte {
	if c.pos >= len(c.buf) && !c.fill(1) {
		c.fail(errEnds)
		return 0
	}
	v := c.buf[c.pos]
	c.pos++
	return v
}

// varint reads a zig-zag number of at most 32 bits.
func (c *cursor) varint() int32 {
	if c.pos < len(c.buf) && c.buf[c.pos] < 0x80 {
		v := uint32(c.buf[c.pos])
		c.pos++
		return int32(v>>1) ^ -int32(v&1)
	}
	return c.longVarint()
}

func (c *cursor) longVarint() int32 {
	var v uint32
	for shift := 0; shift < 35; shift += 7 {
		b := c.byte()
		v |= uint32(b&0x7f) << shift
		if b < 0x80 {
			return int32(v>>1) ^ -int32(v&1)
		}
	}
	c.fail(errVarint)
	return 0
}

// varlong reads a zig-zag number of at most 64 bits.
func (c *cursor) varlong() int64 {
	var v uint64
	for shift := 0; shift < 70; shift += 7 {
		b := c.byte()
		v |= uint64(b&0x7f) << shift
		if b < 0x80 {
			return int64(v>>1) ^ -int64(v&1)
		}
	}
	c.fail(errVarint)
	return 0
}

// skip passes over n bytes without needing room for them; n < 0, a null, is none.
func (c *cursor) skip(n int32) {
	if n <= 0 {
		return
	}
	left := int(n)
	for left > len(c.buf)-c.pos {
		left -= len(c.buf) - c.pos
		c.pos = len(c.buf)
		if !c.fill(1) {
			c.fail(errEnds)
			return
		}
	}
	c.pos += left
}

// take returns the next n bytes, nil for n < 0. They stay valid until the next fill.
func (c *cursor) take(n int32) []byte {
	if n < 0 || c.err != nil {
		return nil
	}
	if int(n) > len(c.buf)-c.pos {
		c.fail(errEnds)
		return nil
	}
	b := c.buf[c.pos : c.pos+int(n) : c.pos+int(n)]
	c.pos += int(n)
	return b
}

// fill makes n unread bytes available in buf. It is false when the source ends or fails before that;
// a failure is kept in err.
func (c *cursor) fill(n int) bool {
	if c.err != nil || c.src == nil {
		return len(c.buf)-c.pos >= n
	}
	for len(c.buf)-c.pos < n {
		if !c.refill() {
			return false
		}
	}
	return true
}

// refill reads some more bytes. The buffer doubles when unread bytes fill it, so it is never more than
// twice what was really inflated.
func (c *cursor) refill() bool {
	if c.pos > 0 {
		c.discarded += int64(c.pos)
		rest := copy(c.buf, c.buf[c.pos:])
		c.buf, c.pos = c.buf[:rest], 0
	}
	if len(c.buf) == cap(c.buf) {
		grown := make([]byte, len(c.buf), max(2*cap(c.buf), windowBytes))
		copy(grown, c.buf)
		c.buf = grown
	}
	n, err := c.src.Read(c.buf[len(c.buf):cap(c.buf)])
	c.buf = c.buf[:len(c.buf)+n]
	if c.discarded+int64(len(c.buf)) > c.limit {
		c.fail(fmt.Errorf("%w: records inflate to more than %d bytes", ErrTooLarge, c.limit))
		return false
	}
	if n > 0 {
		return true
	}
	if err != nil && err != io.EOF {
		c.fail(inflateError(err))
	}
	return err == nil
}

// ended says whether no byte is left.
func (c *cursor) ended() bool { return !c.fill(1) && c.err == nil }
