//go:build !linux

package vfs

import (
	"errors"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"sync"
)

func openFile(name string, flags int) (*os.File, error) { return os.OpenFile(name, flags, 0o644) }

// syncData is the portable way: everything about the file.
func syncData(f *os.File) error { return f.Sync() }

// syncFS syncs file by file below dir, where there is no call for the whole.
func syncFS(dir string) error {
	return filepath.WalkDir(dir, func(name string, _ fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		f, err := os.Open(name)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		err = f.Sync()
		if cerr := f.Close(); err == nil {
			err = cerr
		}
		return err
	})
}

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
