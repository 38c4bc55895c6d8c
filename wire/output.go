package wire

import (
	"encoding/binary"
	"errors"
	"net"
	"os"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// output collects a connection's answers and writes them. It belongs to the reader goroutine while the
// pipeline is idle, and to the pipeline's goroutine otherwise.
type output struct {
	conn    net.Conn
	limits  *Limits
	metrics *metrics

	buf      []byte // not yet written; nil while idle, so that idle connections keep no buffer
	lastSize int    // of the last answer: a hint for the next buffer
	deadline time.Time
	failed   closeReason // open, or why nothing more can be written
}

// respond encodes an answer and adds it to the collected ones. The header is v1, with an empty tag buffer, if
// taggedHeader is set (spec: wire 2).
func (o *output) respond(r kmsg.Response, correlationID int32, taggedHeader bool) closeReason {
	if o.failed != open {
		return o.failed
	}
	if s, ok := r.(Streamed); ok {
		return o.stream(s, correlationID, taggedHeader)
	}
	start := o.begin(correlationID, taggedHeader)
	o.buf = r.AppendTo(o.buf)
	if !o.setLength(start, 0) {
		return badResponse
	}
	o.lastSize = len(o.buf) - start
	if len(o.buf) >= o.limits.FlushBytes {
		return o.flush()
	}
	return open
}

// begin appends an answer's length, still zero, and header. It returns where they begin.
func (o *output) begin(correlationID int32, taggedHeader bool) int {
	if o.buf == nil {
		o.buf = getBuffer(max(o.lastSize, o.limits.ReadBufferBytes))
	}
	start := len(o.buf)
	o.buf = append(o.buf, 0, 0, 0, 0)
	o.buf = binary.BigEndian.AppendUint32(o.buf, uint32(correlationID))
	if taggedHeader {
		o.buf = append(o.buf, 0)
	}
	return start
}

// setLength writes the length of the answer that begins at start, including toCome bytes that follow later. An answer
// too long for a frame is dropped.
func (o *output) setLength(start, toCome int) bool {
	n := len(o.buf) - start - prefixBytes + toCome
	if n > maxResponseBytes {
		o.buf = o.buf[:start]
		return false
	}
	binary.BigEndian.PutUint32(o.buf[start:], uint32(n))
	return true
}

// flush writes the collected answers and puts the buffer back into the pool.
func (o *output) flush() closeReason {
	if o.buf == nil {
		return o.failed
	}
	o.write(o.buf)
	putBuffer(o.buf)
	o.buf = nil
	return o.failed
}

// write sends b without the buffer, which must be empty or b itself.
func (o *output) write(b []byte) {
	for len(b) > 0 && o.failed == open {
		o.arm()
		n, err := o.conn.Write(b[:min(len(b), o.limits.WriteChunkBytes)])
		o.metrics.bytesOut.Add(float64(n))
		b = b[n:]
		o.note(err, n > 0)
	}
}

// note records a failed write. A timeout is no failure as long as some bytes are taken.
func (o *output) note(err error, progress bool) {
	switch {
	case err == nil:
	case !errors.Is(err, os.ErrDeadlineExceeded):
		o.failed = writeFailed
	case !progress:
		o.failed = writeTimeout
	default:
		o.deadline = time.Time{}
	}
}

// arm keeps the write deadline between one and one and a quarter timeouts away, so that it is set rarely.
func (o *output) arm() {
	now := time.Now()
	if timeout := o.limits.WriteTimeout; o.deadline.Sub(now) < timeout {
		o.deadline = now.Add(timeout + timeout/4)
		o.conn.SetWriteDeadline(o.deadline)
	}
}
