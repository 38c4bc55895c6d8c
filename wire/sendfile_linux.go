package wire

import (
	"errors"
	"io"
	"syscall"
)

// sendFile moves n bytes of the file behind fd to the socket by sendfile(2), without copying them into
// this process. It returns how many were sent; errors.ErrUnsupported asks the caller to copy the rest.
func (o *output) sendFile(fd uintptr, pos, n int64) (sent int64, err error) {
	sc, ok := o.conn.(syscall.Conn)
	if !ok {
		return 0, errors.ErrUnsupported // net.Pipe, TLS
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return 0, errors.ErrUnsupported
	}
	for sent < n && err == nil {
		var moved int
		o.arm()
		// A slow reader gets its deadline renewed with each chunk, as in write.
		chunk := int(min(n-sent, int64(o.limits.WriteChunkBytes)))
		offset := pos + sent
		var sysErr error
		waitErr := raw.Write(func(socket uintptr) bool {
			for {
				moved, sysErr = syscall.Sendfile(int(socket), int(fd), &offset, chunk)
				if sysErr != syscall.EINTR {
					return sysErr != syscall.EAGAIN
				}
			}
		})
		if moved > 0 {
			sent += int64(moved)
			o.metrics.bytesOut.Add(float64(moved))
		}
		err = o.sendFileResult(moved, sysErr, waitErr)
	}
	return sent, err
}

// sendFileResult returns the error of one call.
func (o *output) sendFileResult(moved int, sysErr, waitErr error) error {
	switch {
	case waitErr != nil:
		o.note(waitErr, false)
		return errWrite
	case sysErr == syscall.EINVAL || sysErr == syscall.ENOSYS:
		return errors.ErrUnsupported // a file system that cannot
	case sysErr == syscall.EIO:
		return sysErr // of the file
	case sysErr != nil:
		o.note(sysErr, false)
		return errWrite
	case moved == 0:
		return io.ErrUnexpectedEOF
	}
	return nil
}
