// Package vfs is the file system of the broker's storage, as an interface, so that tests can replace it.
//
// OS is the real one. NewMem and NewCrashable are in memory. A crashable one can be cloned as it is at an instant (the
// process died) or as after a power cut (unsynced bytes are lost, kept or torn, by a seeded random source). FailAt
// makes one chosen operation fail. A failed sync of a crashable one drops the dirty bytes, as in Linux: the next sync
// succeeds without them.
//
// Names are slash separated paths. The bytes of a file and its name become durable separately: the bytes by File.Sync,
// the name by SyncDir of its directory; FileSystem.Sync does both for all files. Errors satisfy errors.Is with
// fs.ErrNotExist, fs.ErrExist and the like. All methods may be called from any goroutine. log and partition store
// everything through this package; nothing else in them uses package os.
package vfs

import (
	"errors"
	"io"
	"time"
)

// ErrNoSpace says that the file system is full, or that a quota is used up. Errors of OS satisfy errors.Is with it if
// the machine reports that.
var ErrNoSpace = errors.New("vfs: no space left")

// ErrLocked says that another holder, in this process or another one, has the lock.
var ErrLocked = errors.New("vfs: locked by another process")

// ErrInUse says that a name cannot be changed while a file is open. Windows does not rename a directory with an open
// file in it, and file systems other than NTFS do not replace an open file.
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
	// Link gives a file a second name; one that exists is fs.ErrExist. It fails where the platform has no such links,
	// or where the names are on two file systems.
	Link(oldName, newName string) error
	// LinkCount returns how many names a file has.
	LinkCount(name string) (int, error)
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
	// OpenFileSystem returns a handle to the whole file system that holds dir, errors.ErrUnsupported where the platform
	// has no reliable one.
	OpenFileSystem(dir string) (FileSystem, error)
	// FreeBytes returns the number of bytes that an unprivileged process may still write.
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
	// Sync makes everything on it durable, bytes and names. It reports writes that failed since the handle was opened,
	// by any process; after an error the same holds as for File.Sync.
	Sync() error
}

// File is an open file.
type File interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	Truncate(sizeBytes int64) error
	// Sync makes the bytes and the size durable; the file must have been opened for writing. After an error the content
	// on disk is unknown, and a second Sync that succeeds proves nothing.
	Sync() error
	Size() (int64, error)
	// ModTime is the time of the last change of bytes or size, by any process.
	ModTime() (time.Time, error)
	// Descriptor returns the file descriptor for system calls that need one, such as sendfile; false
	// when there is none. It is valid until Close.
	Descriptor() (uintptr, bool)
}
