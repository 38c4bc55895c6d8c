package vfs

import (
	"errors"
	"fmt"
	"sync"
)

// ErrFenced is the error of every change through a closed Fence.
var ErrFenced = errors.New("vfs: closed to those who used it")

// Fence is another FS until it is closed. From then on it refuses every change and every opening of a file; open files
// can still be read and closed. So late goroutines of a closed engine cannot change the files of the next one in the
// same directory.
type Fence struct {
	FS
	mu     sync.RWMutex // held for reading during each change
	closed bool
}

// NewFence returns an open fence around a file system.
func NewFence(under FS) *Fence { return &Fence{FS: under} }

// Close waits for running changes; later ones fail with ErrFenced.
func (f *Fence) Close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
}

// enter begins a change; without an error, the caller ends it with f.mu.RUnlock.
func (f *Fence) enter(op, name string) error {
	f.mu.RLock()
	if f.closed {
		f.mu.RUnlock()
		return fmt.Errorf("%s %s: %w", op, name, ErrFenced)
	}
	return nil
}

func (f *Fence) change(op, name string, do func() error) error {
	if err := f.enter(op, name); err != nil {
		return err
	}
	defer f.mu.RUnlock()
	return do()
}

func (f *Fence) open(op, name string, do func(string) (File, error)) (File, error) {
	if err := f.enter(op, name); err != nil {
		return nil, err
	}
	defer f.mu.RUnlock()
	file, err := do(name)
	if err != nil {
		return nil, err
	}
	return &fencedFile{File: file, fence: f, name: name}, nil
}

// Create implements FS.
func (f *Fence) Create(name string) (File, error) { return f.open("create", name, f.FS.Create) }

// OpenRead implements FS.
func (f *Fence) OpenRead(name string) (File, error) { return f.open("open", name, f.FS.OpenRead) }

// OpenReadWrite implements FS.
func (f *Fence) OpenReadWrite(name string) (File, error) {
	return f.open("open", name, f.FS.OpenReadWrite)
}

// Rename implements FS.
func (f *Fence) Rename(oldName, newName string) error {
	return f.change("rename", oldName, func() error { return f.FS.Rename(oldName, newName) })
}

// Link implements FS.
func (f *Fence) Link(oldName, newName string) error {
	return f.change("link", newName, func() error { return f.FS.Link(oldName, newName) })
}

// Remove implements FS.
func (f *Fence) Remove(name string) error {
	return f.change("remove", name, func() error { return f.FS.Remove(name) })
}

// RemoveAll implements FS.
func (f *Fence) RemoveAll(name string) error {
	return f.change("remove", name, func() error { return f.FS.RemoveAll(name) })
}

// MkdirAll implements FS.
func (f *Fence) MkdirAll(dir string) error {
	return f.change("mkdir", dir, func() error { return f.FS.MkdirAll(dir) })
}

// SyncDir implements FS.
func (f *Fence) SyncDir(dir string) error {
	return f.change("sync", dir, func() error { return f.FS.SyncDir(dir) })
}

// OpenFileSystem implements FS.
func (f *Fence) OpenFileSystem(dir string) (FileSystem, error) {
	whole, err := f.FS.OpenFileSystem(dir)
	if err != nil {
		return nil, err
	}
	return &fencedFileSystem{whole, f, dir}, nil
}

type fencedFileSystem struct {
	FileSystem
	fence *Fence
	dir   string
}

func (f *fencedFileSystem) Sync() error { return f.fence.change("sync", f.dir, f.FileSystem.Sync) }

type fencedFile struct {
	File
	fence *Fence
	name  string
}

func (f *fencedFile) WriteAt(b []byte, at int64) (n int, err error) {
	if err := f.fence.enter("write", f.name); err != nil {
		return 0, err
	}
	defer f.fence.mu.RUnlock()
	return f.File.WriteAt(b, at)
}

func (f *fencedFile) Truncate(sizeBytes int64) error {
	return f.fence.change("truncate", f.name, func() error { return f.File.Truncate(sizeBytes) })
}

func (f *fencedFile) Sync() error { return f.fence.change("sync", f.name, f.File.Sync) }
