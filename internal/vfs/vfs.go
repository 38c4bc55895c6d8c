// Package vfs is the file system as the storage of the broker sees it, so that a test can put another
// one in its place.
//
// OS is the real one. NewMem and NewCrashable live in memory; a crashable one can be cloned as it was
// at this instant (the process died) or as a power cut would have left it (what was not synced is
// lost, kept or torn, by a seeded dice). FailAt makes one chosen operation fail; a sync of a crashable
// one that fails so loses what it was to write, as in Linux: the next sync succeeds without it.
//
// Names are slash separated paths. Two things become durable apart from each other: the bytes of a
// file by File.Sync, its name by SyncDir of the directory that holds it; FileSystem.Sync does both for all.
// Errors satisfy errors.Is with fs.ErrNotExist, fs.ErrExist and the like. All methods may be called
// from any goroutine. Everything that log and partition store goes through here; nothing else in them
// touches package os.
package vfs

import (
	"errors"
	"io"
	"time"
)

// ErrNoSpace says that the file system is full, or that a quota is used up. Errors of OS satisfy
// errors.Is with it where the machine says so.
var ErrNoSpace = errors.New("vfs: no space left")

// ErrLocked says that another holder, in this process or another one, has the lock.
var ErrLocked = errors.New("vfs: locked by another process")

// ErrInUse says that a name cannot be changed as long as something is open. Windows does not rename a directory as long
// as a file in it is open, and file systems other than NTFS do not replace an open file.
var ErrInUse = errors.New("vfs: something is open")

// Info describes a file or directory.
type Info struct {
	SizeBytes int64
	IsDir     bool
	ModTime   time.Time
}

// FS is a file system.
type FS interface {
	// Create makes a new file for reading and writing; one that exists is fs.ErrExist.
	Create(name string) (File, error)
	// OpenRead opens an existing file for reading.
	OpenRead(name string) (File, error)
	// OpenReadWrite opens an existing file for reading and writing.
	OpenReadWrite(name string) (File, error)
	// Rename moves a file or directory, replacing a file of the new name.
	Rename(oldName, newName string) error
	// Link gives a file a second name; one that exists is fs.ErrExist. It fails where the platform has no such links, or
	// where the names are on two file systems.
	Link(oldName, newName string) error
	// Remove deletes a file or an empty directory.
	Remove(name string) error
	// RemoveAll deletes a file or a directory with everything in it; a missing name is no error.
	RemoveAll(name string) error
	// List returns the base names in a directory, sorted.
	List(dir string) ([]string, error)
	// MkdirAll makes a directory and those above it; one that exists is no error.
	MkdirAll(dir string) error
	Stat(name string) (Info, error)
	// SyncDir makes the names in dir durable.
	SyncDir(dir string) error
	// OpenFileSystem returns a handle to the whole file system that holds dir, errors.ErrUnsupported where
	// the platform has none that could be trusted.
	OpenFileSystem(dir string) (FileSystem, error)
	// FreeBytes says how much an unprivileged process may still write.
	FreeBytes(dir string) (int64, error)
	// Lock takes an exclusive lock on the file name, made when missing, until the result is closed or
	// the process ends. It never waits: a lock held elsewhere is ErrLocked.
	Lock(name string) (io.Closer, error)
}

// FileByFile is a file system that cannot be synced as a whole.
func FileByFile(under FS) FS { return fileByFile{under} }

type fileByFile struct{ FS }

func (fileByFile) OpenFileSystem(string) (FileSystem, error) { return nil, errors.ErrUnsupported }

// FileSystem is an open handle to a whole file system.
type FileSystem interface {
	io.Closer
	// Sync makes everything on it durable, bytes and names. It reports writes that failed since the handle
	// was opened, whoever wrote; of an error the same holds as for File.Sync.
	Sync() error
}

// File is an open file.
type File interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	Truncate(sizeBytes int64) error
	// Sync makes the bytes and the size durable; the file must have been opened for writing. After an error nothing is known about what is on
	// disk, and a second Sync that succeeds proves nothing.
	Sync() error
	Size() (int64, error)
	// ModTime is when bytes or size were last changed, by whomever.
	ModTime() (time.Time, error)
	// Descriptor returns the file descriptor for system calls that need one, such as sendfile; false
	// when there is none. It is valid until Close.
	Descriptor() (uintptr, bool)
}
