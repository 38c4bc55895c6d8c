package vfs

import (
	"errors"
	"fmt"
	"io"
	"sync/atomic"
)

// ErrInjected is what the failing operation of a Failing returns.
var ErrInjected = errors.New("vfs: injected failure")

// Failing is another FS in which one mutating operation fails. Create, write, truncate, sync, rename, remove, mkdir and
// lock are mutating; open for writing is not.
type Failing struct {
	FS
	at     atomic.Int64
	sticky bool
	cause  error
	count  atomic.Int64
	fired  atomic.Bool
}

// FailAt makes the n-th mutating operation, counted from 0, fail with ErrInjected; a write that fails
// has written the first half of its bytes, like a disk that fills up. Later operations work.
func FailAt(n int, under FS) *Failing { return newFailing(n, under, false) }

// DieAt is like FailAt, but all later operations fail, too: the file system below then has the files of a process that
// died in the middle of operation n.
func DieAt(n int, under FS) *Failing { return newFailing(n, under, true) }

func newFailing(n int, under FS, sticky bool) *Failing {
	f := &Failing{FS: under, sticky: sticky, cause: ErrInjected}
	f.at.Store(int64(n))
	return f
}

// Arm makes the n-th operation from now on fail, instead of the one chosen before.
func (f *Failing) Arm(n int) { f.at.Store(f.count.Load() + int64(n)) }

// With replaces the error of the failing operation, which is ErrInjected otherwise. It must be called before the first
// operation.
func (f *Failing) With(cause error) *Failing {
	f.cause = cause
	return f
}

// Fired says whether the operation was reached. When it was not, the test has seen every failure.
func (f *Failing) Fired() bool { return f.fired.Load() }

// Operations returns the number of mutating operations so far.
func (f *Failing) Operations() int { return int(f.count.Load()) }

func (f *Failing) hit(op, name string) error {
	i := f.count.Add(1) - 1
	if at := f.at.Load(); i == at || f.sticky && i > at {
		f.fired.Store(true)
		return fmt.Errorf("%s %s, operation %d: %w", op, name, i, f.cause)
	}
	return nil
}

// Create implements FS.
func (f *Failing) Create(name string) (File, error) {
	if err := f.hit("create", name); err != nil {
		return nil, err
	}
	return f.wrap(name)(f.FS.Create(name))
}

// OpenRead implements FS.
func (f *Failing) OpenRead(name string) (File, error) { return f.wrap(name)(f.FS.OpenRead(name)) }

// OpenReadWrite implements FS.
func (f *Failing) OpenReadWrite(name string) (File, error) {
	return f.wrap(name)(f.FS.OpenReadWrite(name))
}

// Rename implements FS.
func (f *Failing) Rename(oldName, newName string) error {
	if err := f.hit("rename", oldName); err != nil {
		return err
	}
	return f.FS.Rename(oldName, newName)
}

// Link implements FS.
func (f *Failing) Link(oldName, newName string) error {
	if err := f.hit("link", newName); err != nil {
		return err
	}
	return f.FS.Link(oldName, newName)
}

// Remove implements FS.
func (f *Failing) Remove(name string) error {
	if err := f.hit("remove", name); err != nil {
		return err
	}
	return f.FS.Remove(name)
}

// RemoveAll implements FS.
func (f *Failing) RemoveAll(name string) error {
	if err := f.hit("removeall", name); err != nil {
		return err
	}
	return f.FS.RemoveAll(name)
}

// MkdirAll implements FS.
func (f *Failing) MkdirAll(dir string) error {
	if err := f.hit("mkdir", dir); err != nil {
		return err
	}
	return f.FS.MkdirAll(dir)
}

// SyncDir implements FS.
func (f *Failing) SyncDir(dir string) error {
	if err := f.hit("syncdir", dir); err != nil {
		return err
	}
	return f.FS.SyncDir(dir)
}

// OpenFileSystem implements FS.
func (f *Failing) OpenFileSystem(dir string) (FileSystem, error) {
	under, err := f.FS.OpenFileSystem(dir)
	if err != nil {
		return nil, err
	}
	return &failingFileSystem{under, f, dir}, nil
}

type failingFileSystem struct {
	FileSystem
	fs  *Failing
	dir string
}

func (f *failingFileSystem) Sync() error {
	if err := f.fs.hit("syncfs", f.dir); err != nil {
		if m, ok := f.fs.FS.(*Mem); ok && !f.fs.sticky {
			m.loseAll()
		}
		return err
	}
	return f.FileSystem.Sync()
}

// Lock implements FS.
func (f *Failing) Lock(name string) (io.Closer, error) {
	if err := f.hit("lock", name); err != nil {
		return nil, err
	}
	return f.FS.Lock(name)
}

func (f *Failing) wrap(name string) func(File, error) (File, error) {
	return func(file File, err error) (File, error) {
		if err != nil {
			return nil, err
		}
		return &failingFile{File: file, fs: f, name: name}, nil
	}
}

type failingFile struct {
	File
	fs   *Failing
	name string
}

func (f *failingFile) WriteAt(p []byte, off int64) (int, error) {
	if err := f.fs.hit("write", f.name); err != nil {
		n, _ := f.File.WriteAt(p[:len(p)/2], off)
		return n, err
	}
	return f.File.WriteAt(p, off)
}

func (f *failingFile) Truncate(sizeBytes int64) error {
	if err := f.fs.hit("truncate", f.name); err != nil {
		return err
	}
	return f.File.Truncate(sizeBytes)
}

func (f *failingFile) Sync() error {
	if err := f.fs.hit("sync", f.name); err != nil {
		if m, ok := f.File.(*memFile); ok && !f.fs.sticky {
			m.lose()
		}
		return err
	}
	return f.File.Sync()
}
