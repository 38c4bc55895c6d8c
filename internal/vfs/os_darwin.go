package vfs

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

func openFile(name string, flags int) (*os.File, error) { return os.OpenFile(name, flags, fileMode) }

// syncData is F_FULLFSYNC: on this system fsync leaves the bytes in the drive's cache.
func syncData(f *os.File) error { return f.Sync() }

// openFileSystem has nothing to open: sync(2) reports no errors and does not wait for the drive.
func openFileSystem(string) (FileSystem, error) { return nil, errors.ErrUnsupported }

func bootID() string {
	id, err := unix.Sysctl("kern.bootsessionuuid")
	if err != nil {
		return ""
	}
	return id
}
