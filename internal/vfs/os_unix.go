//go:build linux || darwin

package vfs

import (
	"errors"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// fullErrnos are the errors of a file system that is full, and of a quota that is used up.
var fullErrnos = []syscall.Errno{syscall.ENOSPC, syscall.EDQUOT}

// native returns a name in the form that the system takes.
func native(name string) string { return name }

func rename(oldName, newName string) error { return os.Rename(oldName, newName) }
func remove(name string) error             { return os.Remove(name) }
func removeAll(name string) error          { return os.RemoveAll(name) }

func linkCount(name string) (int, error) {
	var s unix.Stat_t
	err := unix.Stat(name, &s)
	return int(s.Nlink), pathError("stat", name, err)
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

func freeBytes(dir string) (int64, error) {
	s, err := statfs(dir)
	return int64(s.Bavail) * int64(s.Bsize), err
}

func totalBytes(dir string) (int64, error) {
	s, err := statfs(dir)
	return int64(s.Blocks) * int64(s.Bsize), err
}

func statfs(dir string) (s unix.Statfs_t, err error) {
	return s, pathError("statfs", dir, unix.Statfs(dir, &s))
}

// lockFile takes a lock that belongs to the open file and ends with it.
func lockFile(f *os.File, shared bool) error {
	how := unix.LOCK_EX
	if shared {
		how = unix.LOCK_SH
	}
	err := unix.Flock(int(f.Fd()), how|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return ErrLocked
	}
	return pathError("flock", f.Name(), err)
}

func unlockFile(f *os.File) error {
	return pathError("unlock", f.Name(), unix.Flock(int(f.Fd()), unix.LOCK_UN))
}

func pathError(op, name string, err error) error {
	if err == nil {
		return nil
	}
	return &os.PathError{Op: op, Path: name, Err: noSpace(err)}
}
