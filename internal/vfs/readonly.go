package vfs

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
)

// ErrReadOnly is the error of every change of a file system made by ReadOnly.
var ErrReadOnly = errors.New("vfs: opened for reading only")

// ReadOnly returns a view of a file system that can change neither bytes nor names. Lock takes the lock without
// creating its file; a missing file is not locked.
func ReadOnly(under FS) FS { return readOnlyFS{under} }

type readOnlyFS struct{ FS }

func refused(op, name string) error { return fmt.Errorf("%s %s: %w", op, name, ErrReadOnly) }

func (r readOnlyFS) OpenRead(name string) (File, error) {
	f, err := r.FS.OpenRead(name)
	if err != nil {
		return nil, err
	}
	return readOnlyFile{f}, nil
}

func (r readOnlyFS) Create(name string) (File, error)        { return nil, refused("create", name) }
func (r readOnlyFS) OpenReadWrite(name string) (File, error) { return nil, refused("open", name) }
func (r readOnlyFS) Rename(oldName, _ string) error          { return refused("rename", oldName) }
func (r readOnlyFS) Link(_, newName string) error            { return refused("link", newName) }
func (r readOnlyFS) Remove(name string) error                { return refused("remove", name) }
func (r readOnlyFS) RemoveAll(name string) error             { return refused("remove", name) }
func (r readOnlyFS) MkdirAll(dir string) error               { return refused("mkdir", dir) }
func (r readOnlyFS) SyncDir(dir string) error                { return refused("sync", dir) }

func (r readOnlyFS) OpenFileSystem(dir string) (FileSystem, error) {
	return nil, refused("open file system", dir)
}

func (r readOnlyFS) Lock(name string) (io.Closer, error) {
	if _, err := r.FS.Stat(name); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			return unlocked{}, nil
		}
		return nil, err
	}
	if _, onDisk := r.FS.(osFS); !onDisk {
		return r.FS.Lock(name) // exists, so nothing is made
	}
	return lockOpen(openFile(native(name), os.O_RDONLY))
}

type unlocked struct{}

func (unlocked) Close() error { return nil }

type readOnlyFile struct{ File }

func (readOnlyFile) WriteAt([]byte, int64) (int, error) { return 0, ErrReadOnly }
func (readOnlyFile) Truncate(int64) error               { return ErrReadOnly }
func (readOnlyFile) Sync() error                        { return ErrReadOnly }
