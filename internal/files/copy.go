package files

import (
	"bytes"
	"errors"
	"fmt"

	"once/internal/vfs"
)

// ErrNotAsWritten says that a new file was read back and differs from what was written. The file that it was to replace
// stays.
var ErrNotAsWritten = errors.New("files: not what was written")

// CopyRange copies the bytes [from, to) of f, step bytes at a time, to a file that gets its name after it has been read
// back, because it may replace the file that it was copied from.
func CopyRange(under vfs.FS, name, tmp string, f vfs.File, from, to int64, step int) error {
	out, err := CreateAnew(under, tmp)
	if err != nil {
		return err
	}
	err = EachChunk(f, from, to, step, func(b []byte, at int64) error {
		_, err := out.WriteAt(b, at-from)
		return err
	})
	if cerr := out.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = ReadBackRange(under, tmp, f, from, to, step)
	}
	if err != nil {
		return err
	}
	return under.Rename(tmp, name)
}

// ReadBackRange compares a file with the bytes [from, to) of f that were copied to it. A difference is
// ErrNotAsWritten.
func ReadBackRange(under vfs.FS, name string, f vfs.File, from, to int64, step int) error {
	out, err := under.OpenRead(name)
	if err != nil {
		return err
	}
	defer out.Close()
	size, err := out.Size()
	if err == nil && size != to-from {
		err = fmt.Errorf("%w: %s has %d bytes instead of %d", ErrNotAsWritten, name, size, to-from)
	}
	if err != nil {
		return err
	}
	there := make([]byte, min(to-from, int64(step)))
	return EachChunk(f, from, to, step, func(b []byte, at int64) error {
		if n, err := out.ReadAt(there[:len(b)], at-from); n < len(b) {
			return err
		}
		if !bytes.Equal(there[:len(b)], b) {
			return fmt.Errorf("%w: %s differs from its source within %d bytes of byte %d", ErrNotAsWritten, name, len(b),
				at-from)
		}
		return nil
	})
}
