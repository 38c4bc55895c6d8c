package vfs

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"golang.org/x/sys/unix"
)

// openFile opens a regular file without offering it to the runtime's poller, which has no use for it:
// os.OpenFile makes six further system calls for each file, and a start opens thousands.
func openFile(name string, flags int) (*os.File, error) {
	for {
		fd, err := unix.Open(name, flags|unix.O_CLOEXEC, fileMode)
		switch {
		case err == nil:
			return os.NewFile(uintptr(fd), name), nil
		case !errors.Is(err, unix.EINTR):
			return nil, pathError("open", name, err)
		}
	}
}

// syncData is fdatasync: the size of a file is written with its bytes, its times are not.
func syncData(f *os.File) error {
	for {
		err := unix.Fdatasync(int(f.Fd()))
		if !errors.Is(err, unix.EINTR) {
			return pathError("fdatasync", f.Name(), err)
		}
	}
}

// fileSystem is a directory that is kept open: syncfs reports the failed writes since its handle was opened.
type fileSystem struct{ dir *os.File }

// openFileSystem asks for Linux 5.8: before, syncfs reports success whatever happened.
func openFileSystem(dir string) (FileSystem, error) {
	if !kernelIsAtLeast(5, 8) {
		return nil, fmt.Errorf("syncfs of this kernel does not report errors: %w", errors.ErrUnsupported)
	}
	d, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	return fileSystem{d}, nil
}

func (f fileSystem) Close() error { return f.dir.Close() }

func (f fileSystem) Sync() error {
	return pathError("syncfs", f.dir.Name(), unix.Syncfs(int(f.dir.Fd())))
}

func kernelIsAtLeast(major, minor int) bool {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return false
	}
	var haveMajor, haveMinor int
	_, err := fmt.Sscanf(unix.ByteSliceToString(u.Release[:]), "%d.%d", &haveMajor, &haveMinor)
	return err == nil && (haveMajor > major || haveMajor == major && haveMinor >= minor)
}

func bootID() string {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(id))
}
