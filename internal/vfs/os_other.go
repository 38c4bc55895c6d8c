//go:build !linux

package vfs

import (
	"errors"
	"math"
	"os"
	"path/filepath"
	"sync"
)

func openFile(name string, flags int) (*os.File, error) { return os.OpenFile(name, flags, 0o644) }

// syncData is the portable way: everything about the file.
func syncData(f *os.File) error { return f.Sync() }

// openFileSystem has nothing to open: there is no portable call for the whole.
func openFileSystem(string) (FileSystem, error) { return nil, errors.ErrUnsupported }

// freeBytes does not know here; it never says that the disk is full.
func freeBytes(string) (int64, error) { return math.MaxInt64, nil }

func totalBytes(string) (int64, error) { return 0, nil }

// heldHere knows the locks of this process only.
var heldHere sync.Map

func lockFile(f *os.File) error {
	name, err := filepath.Abs(f.Name())
	if err != nil {
		return err
	}
	if other, held := heldHere.LoadOrStore(name, f); held && other.(*os.File).Fd() != ^uintptr(0) {
		return ErrLocked
	}
	heldHere.Store(name, f)
	return nil
}
