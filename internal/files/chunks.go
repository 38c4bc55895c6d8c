package files

import (
	"bytes"
	"errors"
	"fmt"

	"once/internal/vfs"
)

// zeroStepBytes is the size of one read of AllZero.
const zeroStepBytes = 1 << 20

// EachChunk calls fn with the bytes of a range, step bytes at a time, in order.
func EachChunk(f vfs.File, from, to int64, step int, fn func(b []byte, at int64) error) error {
	buf := make([]byte, min(to-from, int64(step)))
	for from < to {
		b := buf[:min(int64(len(buf)), to-from)]
		if n, err := f.ReadAt(b, from); n < len(b) {
			return fmt.Errorf("read at byte %d: %w", from, err)
		}
		if err := fn(b, from); err != nil {
			return err
		}
		from += int64(len(b))
	}
	return nil
}

var errNotZero = errors.New("not zero")

// AllZero says whether a range holds only zeros.
func AllZero(f vfs.File, from, to int64) (bool, error) {
	err := EachChunk(f, from, to, zeroStepBytes, func(b []byte, _ int64) error {
		if len(bytes.TrimLeft(b, "\x00")) > 0 {
			return errNotZero
		}
		return nil
	})
	if errors.Is(err, errNotZero) {
		return false, nil
	}
	return err == nil, err
}
