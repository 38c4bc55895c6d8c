// Package files is shared by log and durability: small files that are read and replaced as a whole, and the errors for
// damaged data. It knows no format. Only those two packages write with it.
package files

import (
	"errors"
	"fmt"
	"io"
	"io/fs"

	"once/internal/vfs"
)

// TmpSuffix ends the name of a file that is being written and gets its final name when it is complete.
const TmpSuffix = ".tmp"

// maxSmallBytes bounds files that are read as a whole: checkpoints, indexes, snapshots, barrier records, the journal.
const maxSmallBytes = 1 << 28

// ReadSmall reads a whole file. A file above maxSmallBytes is refused.
func ReadSmall(f vfs.FS, name string) ([]byte, error) {
	file, err := f.OpenRead(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	size, err := file.Size()
	if err != nil {
		return nil, err
	}
	if size > maxSmallBytes {
		return nil, fmt.Errorf("%s has %d bytes, more than any such file can have", name, size)
	}
	b := make([]byte, size)
	n, err := file.ReadAt(b, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return b[:n], nil
}

// Replace gives name the content b, completely or not at all when the process dies. After a power cut the content can
// be anything unless it was synced meanwhile, so readers must be able to recognise damage.
func Replace(f vfs.FS, name string, b []byte) error {
	tmp := name + TmpSuffix
	file, err := CreateAnew(f, tmp)
	if err != nil {
		return err
	}
	_, err = file.WriteAt(b, 0)
	if cerr := file.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return err
	}
	return f.Rename(tmp, name)
}

// CreateAnew is like Create, but replaces a file of an earlier try.
func CreateAnew(f vfs.FS, name string) (vfs.File, error) {
	file, err := f.Create(name)
	if !errors.Is(err, fs.ErrExist) {
		return file, err
	}
	if err := f.Remove(name); err != nil {
		return nil, err
	}
	return f.Create(name)
}

// OpenOrCreate opens name for writing, making it when missing.
func OpenOrCreate(f vfs.FS, name string) (vfs.File, error) {
	file, err := f.OpenReadWrite(name)
	if errors.Is(err, fs.ErrNotExist) {
		return f.Create(name)
	}
	return file, err
}

// RemoveIfThere removes a file; a missing one is no error.
func RemoveIfThere(f vfs.FS, name string) error {
	if err := f.Remove(name); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
