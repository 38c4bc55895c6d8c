package wire

import (
	"encoding/binary"
	"errors"
	"io"
	"net"
	"os"
	"time"
)

// frame is one request as received, without its length prefix. Its owner calls release.
type frame struct {
	b       []byte
	charged int64 // bytes taken from the budget
}

// frameReader cuts the bytes of a connection into frames (spec: wire 1):
//
//	length int32, big endian, >= 0 | length bytes
//
// It is used by the connection's reader goroutine only.
type frameReader struct {
	conn    net.Conn
	limits  *Limits
	budget  *byteBudget
	metrics *metrics
	done    <-chan struct{} // the connection's ctx
	parked  func() bool     // answers are still awaited: the connection is not idle
	closing func() bool     // asked after arming a deadline: return at once
	max     int             // frame limit, at most limits.MaxFrameBytes

	buf        []byte // limits.ReadBufferBytes
	r, w       int    // buf[r:w] is unread
	deadline   time.Time
	sinceFrame int // bytes of the frame received since the deadline was set
}

// next returns the next frame. beforeWait is called before each read that may block.
func (f *frameReader) next(beforeWait func() closeReason) (frame, closeReason) {
	for f.w-f.r < prefixBytes {
		if reason := beforeWait(); reason != open {
			return frame{}, reason
		}
		if reason := f.fill(f.w > f.r); reason != open {
			return frame{}, reason
		}
	}
	n := int(int32(binary.BigEndian.Uint32(f.buf[f.r:])))
	if n < 0 || n > f.max {
		return frame{}, badFrameLength
	}
	f.r += prefixBytes
	fr := frame{b: getBuffer(min(n, f.limits.FirstFrameBytes))}
	fr.b = append(fr.b, f.take(n)...)
	for len(fr.b) < n {
		reason := beforeWait()
		if reason == open {
			reason = f.more(&fr, n)
		}
		if reason != open {
			f.release(&fr)
			return frame{}, reason
		}
	}
	if f.sinceFrame >= 0 {
		f.sinceFrame = -1
		f.deadline = time.Time{} // the next wait is an idle one
	}
	return fr, open
}

// take consumes up to n bytes of the buffer.
func (f *frameReader) take(n int) []byte {
	b := f.buf[f.r:min(f.w, f.r+n)]
	f.r += len(b)
	return b
}

// more reads a piece of a frame of n bytes: the rest of a small one through the buffer, which may also receive the next
// frames, a big one without a copy.
func (f *frameReader) more(fr *frame, n int) closeReason {
	rest := n - len(fr.b)
	if rest <= len(f.buf)/2 {
		reason := f.fill(true)
		fr.b = append(fr.b, f.take(rest)...)
		return reason
	}
	if len(fr.b) >= f.room(fr, n) && !f.grow(fr, n) {
		if f.closing() {
			return serverShutdown
		}
		return noMemory
	}
	got, reason := f.read(fr.b[len(fr.b):f.room(fr, n)], true)
	fr.b = fr.b[:len(fr.b)+got]
	return reason
}

// room returns how many of its n bytes a frame may have now. Its buffer may be larger.
func (f *frameReader) room(fr *frame, n int) int {
	return min(n, cap(fr.b), f.limits.FirstFrameBytes+int(fr.charged))
}

// grow makes room: for the whole frame if the pool has a buffer, else in proportion to the bytes received (B3), so that
// no memory is allocated for an announced length only. Bytes beyond the first piece are taken from the budget.
func (f *frameReader) grow(fr *frame, n int) bool {
	b, size := usedBuffer(n), n
	if b == nil {
		size = min(n, frameGrowth*len(fr.b))
	}
	charge := int64(size - f.limits.FirstFrameBytes)
	if charge > fr.charged {
		if !f.budget.acquire(charge-fr.charged, fr.charged, f.limits.FrameTimeout, f.done) {
			putBuffer(b)
			return false
		}
		fr.charged = charge
		f.deadline = time.Time{} // the wait was ours
	}
	if b == nil && size > cap(fr.b) {
		b = getBuffer(size)
	}
	if b != nil {
		b = append(b, fr.b...)
		putBuffer(fr.b)
		fr.b = b
	}
	return true
}

// release frees the frame's memory. Nothing may refer to it any more.
func (f *frameReader) release(fr *frame) {
	if fr.b != nil {
		putBuffer(fr.b)
		f.budget.release(fr.charged)
		*fr = frame{}
	}
}

// fill reads into the buffer, whose unread bytes are fewer than a frame's prefix.
func (f *frameReader) fill(partial bool) closeReason {
	if f.r > 0 {
		f.w = copy(f.buf, f.buf[f.r:f.w])
		f.r = 0
	}
	n, reason := f.read(f.buf[f.w:], partial)
	f.w += n
	return reason
}

// read waits for at least one byte. partial says that a frame has begun.
func (f *frameReader) read(p []byte, partial bool) (int, closeReason) {
	for {
		f.arm(partial)
		if f.closing() {
			return 0, serverShutdown
		}
		n, err := f.conn.Read(p)
		f.metrics.bytesIn.Add(float64(n))
		if partial {
			f.sinceFrame += n
		}
		if n > 0 {
			return n, open
		}
		timeout := errors.Is(err, os.ErrDeadlineExceeded)
		switch {
		case f.closing():
			return 0, serverShutdown
		case timeout && partial:
			return 0, frameTimeout
		case timeout && f.parked():
			f.deadline = time.Time{}
		case timeout:
			return 0, idleTimeout
		case errors.Is(err, io.EOF) && partial:
			return 0, frameCut
		case errors.Is(err, io.EOF):
			return 0, clientClosed
		case err != nil:
			return 0, readFailed
		}
	}
}

// arm sets the deadline of the next read. The idle one is renewed only when a tenth of it has passed, because setting
// one costs as much as a small read.
func (f *frameReader) arm(partial bool) {
	now := time.Now() // deadlines are the socket's time, not the injected clock's
	switch {
	case !partial:
		if f.deadline.Sub(now) > f.limits.IdleTimeout-f.limits.IdleTimeout/10 {
			return
		}
		f.deadline = now.Add(f.limits.IdleTimeout)
		f.sinceFrame = -1
	case f.sinceFrame < 0 || f.sinceFrame >= f.limits.FirstFrameBytes || f.deadline.IsZero():
		f.deadline = now.Add(f.limits.FrameTimeout)
		f.sinceFrame = 0
	default:
		return
	}
	f.conn.SetReadDeadline(f.deadline)
}
