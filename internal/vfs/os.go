package vfs

import (
	"errors"
	"io"
	"os"
	"slices"
	"sort"
	"syscall"
	"time"
)

// OS is the real file system.
var OS FS = osFS{}

type osFS struct{}

type osFile struct{ f *os.File }

// fullError is an error that is ErrNoSpace, too.
type fullError struct{ error }

func (e fullError) Unwrap() error        { return e.error }
func (e fullError) Is(target error) bool { return target == ErrNoSpace }

// noSpace marks what the machine says when nothing more can be written.
func noSpace(err error) error {
	for _, errno := range fullErrnos {
		if errors.Is(err, errno) {
			return fullError{err}
		}
	}
	return err
}

// NoSpaceErrnos returns the errors by which this system says that a file system is full, or a quota used up.
func NoSpaceErrnos() []syscall.Errno { return slices.Clone(fullErrnos) }

// BootID names this run of the operating system, "" where it has no name. What was last written under another one may
// have lost what was not synced.
func BootID() string { return bootID() }

// LockFile takes a lock on an open file that ends with it: exclusive, or shared with others that share it. It never
// waits: a lock held elsewhere is ErrLocked.
func LockFile(f *os.File, shared bool) error { return lockFile(f, shared) }

// UnlockFile ends the lock of LockFile. It is not left to the close of the file: a process that another goroutine
// starts has the open file, and with it the lock, until it runs its program.
func UnlockFile(f *os.File) error { return unlockFile(f) }

// fileLock is a lock on a file that is open for nothing else.
type fileLock struct{ *os.File }

func (l fileLock) Close() error { return errors.Join(unlockFile(l.File), l.File.Close()) }

// lockOpen returns the lock of a file that has just been opened.
func lockOpen(f *os.File, err error) (io.Closer, error) {
	if err != nil {
		return nil, err
	}
	if err := lockFile(f, false); err != nil {
		f.Close()
		return nil, err
	}
	return fileLock{f}, nil
}

func opened(f *os.File, err error) (File, error) {
	if err != nil {
		return nil, noSpace(err)
	}
	return &osFile{f}, nil
}

func (osFS) Create(name string) (File, error) {
	return opened(openFile(native(name), os.O_RDWR|os.O_CREATE|os.O_EXCL))
}

func (osFS) OpenRead(name string) (File, error) { return opened(openFile(native(name), os.O_RDONLY)) }

func (osFS) OpenReadWrite(name string) (File, error) {
	return opened(openFile(native(name), os.O_RDWR))
}

func (osFS) Rename(oldName, newName string) error {
	return noSpace(rename(native(oldName), native(newName)))
}

func (osFS) Link(oldName, newName string) error {
	return noSpace(os.Link(native(oldName), native(newName)))
}

func (osFS) LinkCount(name string) (int, error) { return linkCount(native(name)) }

func (osFS) Remove(name string) error    { return remove(native(name)) }
func (osFS) RemoveAll(name string) error { return removeAll(native(name)) }

// Modes of new files and directories, less the process's umask.
const fileMode, dirMode = 0o666, 0o777

func (osFS) MkdirAll(dir string) error { return noSpace(os.MkdirAll(native(dir), dirMode)) }

func (osFS) List(dir string) ([]string, error) {
	d, err := os.Open(native(dir))
	if err != nil {
		return nil, err
	}
	defer d.Close()
	names, err := d.Readdirnames(-1)
	if err != nil {
		return nil, err
	}
	sort.Strings(names)
	return names, nil
}

func (osFS) Stat(name string) (Info, error) {
	i, err := os.Stat(native(name))
	if err != nil {
		return Info{}, err
	}
	return Info{SizeBytes: i.Size(), IsDir: i.IsDir(), ModTime: i.ModTime()}, nil
}

func (osFS) SyncDir(dir string) error { return syncDir(native(dir)) }

func (osFS) OpenFileSystem(dir string) (FileSystem, error) { return openFileSystem(native(dir)) }

func (osFS) FreeBytes(dir string) (int64, error) { return freeBytes(native(dir)) }

func (osFS) Lock(name string) (io.Closer, error) {
	return lockOpen(openFile(native(name), os.O_RDWR|os.O_CREATE))
}

func (o *osFile) ReadAt(p []byte, off int64) (int, error) { return o.f.ReadAt(p, off) }
func (o *osFile) Close() error                            { return o.f.Close() }
func (o *osFile) Truncate(sizeBytes int64) error          { return noSpace(o.f.Truncate(sizeBytes)) }
func (o *osFile) Sync() error                             { return noSpace(syncData(o.f)) }
func (o *osFile) Descriptor() (uintptr, bool)             { return o.f.Fd(), true }

func (o *osFile) ModTime() (time.Time, error) {
	i, err := o.f.Stat()
	if err != nil {
		return time.Time{}, err
	}
	return i.ModTime(), nil
}

func (o *osFile) Size() (int64, error) {
	i, err := o.f.Stat()
	if err != nil {
		return 0, err
	}
	return i.Size(), nil
}

func (o *osFile) WriteAt(p []byte, off int64) (int, error) {
	n, err := o.f.WriteAt(p, off)
	return n, noSpace(err)
}

// TotalBytes is the size of the file system that holds dir, 0 where it is not known. Only OS has it.
func (osFS) TotalBytes(dir string) (int64, error) { return totalBytes(native(dir)) }
