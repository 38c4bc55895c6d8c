package wire

import (
	"errors"
	"fmt"
	"io"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// Streamed is a response that is written in pieces instead of being built in memory, such as a Fetch
// whose records go from the file to the socket.
type Streamed interface {
	kmsg.Response
	// SizeBytes is the exact length of the body that WriteBody writes, at the version that was set.
	SizeBytes() int
	// WriteBody writes the body. An error, or a body of another size, closes the connection: the length
	// has been sent already.
	WriteBody(w *BodyWriter) error
	// Release ends the use of files and buffers. It is called once, also when the response is not sent,
	// possibly from another goroutine than the one that made it.
	Release()
}

// File is what BodyWriter sends ranges of. An open vfs.File is one.
type File interface {
	io.ReaderAt
	// Descriptor is the operating system's descriptor, if there is one; it stays open until Release.
	Descriptor() (uintptr, bool)
}

// BodyWriter writes the body of a Streamed response. It is valid during WriteBody only.
type BodyWriter struct {
	out  *output
	left int
}

// ErrBodySize means that a Streamed response wrote more or less than its SizeBytes.
var ErrBodySize = errors.New("wire: streamed body differs from its size")

// errWrite says that the connection is broken; output.failed knows why.
var errWrite = errors.New("wire: the connection is broken")

// Write implements io.Writer. The bytes may be changed once it has returned.
func (w *BodyWriter) Write(p []byte) (int, error) {
	if w.left -= len(p); w.left < 0 {
		return 0, ErrBodySize
	}
	o := w.out
	if len(p) >= o.limits.FlushBytes {
		o.flush()
		o.write(p)
	} else {
		o.buf = append(o.buf, p...)
		if len(o.buf) >= o.limits.FlushBytes {
			o.flush()
		}
	}
	if o.failed != open {
		return 0, errWrite
	}
	return len(p), nil
}

// SendFile writes n bytes of f from pos. On Linux they do not pass through this process when the
// connection is plain TCP. A file that ends before is io.ErrUnexpectedEOF.
func (w *BodyWriter) SendFile(f File, pos, n int64) error {
	if n < 0 || n > int64(w.left) {
		return ErrBodySize
	}
	if fd, ok := f.Descriptor(); ok && n > int64(w.out.limits.CopyBytes) {
		if w.out.flush() != open {
			return errWrite
		}
		sent, err := w.out.sendFile(fd, pos, n)
		w.left -= int(sent)
		if !errors.Is(err, errors.ErrUnsupported) {
			return err
		}
		pos, n = pos+sent, n-sent
	}
	return w.copyFile(f, pos, n)
}

// copyFile reads the range into the buffer, piece by piece.
func (w *BodyWriter) copyFile(f File, pos, n int64) error {
	o := w.out
	for n > 0 {
		piece := int(min(n, int64(o.limits.CopyBytes)))
		if o.buf == nil {
			o.buf = getBuffer(o.limits.FlushBytes)
		}
		start := len(o.buf)
		o.buf = append(o.buf, make([]byte, piece)...)
		got, err := f.ReadAt(o.buf[start:], pos)
		if got < piece {
			o.buf = o.buf[:start+got]
			if err == nil || errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return fmt.Errorf("wire: reading a range to send: %w", err)
		}
		pos, n, w.left = pos+int64(piece), n-int64(piece), w.left-piece
		if len(o.buf) >= o.limits.FlushBytes && o.flush() != open {
			return errWrite
		}
	}
	return nil
}

// stream writes a Streamed answer. The caller releases it.
func (o *output) stream(s Streamed, correlationID int32, taggedHeader bool) closeReason {
	size := s.SizeBytes()
	start := o.begin(correlationID, taggedHeader)
	if size < 0 || !o.setLength(start, size) {
		o.buf = o.buf[:start]
		return badResponse
	}
	w := BodyWriter{out: o, left: size}
	err := s.WriteBody(&w)
	if o.failed == open && (err != nil || w.left != 0) {
		// Part of the frame has been sent, or waits in the buffer: nothing may follow it.
		o.failed = badResponse
	}
	return o.failed
}

// release lets go of a response that will not be used any more.
func release(r kmsg.Response) {
	if s, ok := r.(Streamed); ok {
		s.Release()
	}
}
