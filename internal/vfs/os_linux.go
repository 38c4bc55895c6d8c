package vfs

import (
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// openFile opens a regular file without offering it to the runtime's poller, which has no use for it:
// os.OpenFile makes six further system calls for each file, and a start opens thousands.
func openFile(name string, flags int) (*os.File, error) {
	for {
		fd, err := unix.Open(name, flags|unix.O_CLOEXEC, 0o644)
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

// syncFS reports failed writes since Linux 5.8; before, it reports success whatever happened.
func syncFS(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return pathError("syncfs", dir, unix.Syncfs(int(d.Fd())))
}

func freeBytes(dir string) (int64, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return 0, pathError("statfs", dir, err)
	}
	return int64(s.Bavail) * s.Bsize, nil
}

func totalBytes(dir string) (int64, error) {
	var s unix.Statfs_t
	if err := unix.Statfs(dir, &s); err != nil {
		return 0, pathError("statfs", dir, err)
	}
	return int64(s.Blocks) * s.Bsize, nil
}

func lockFile(f *os.File) error {
	err := unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return ErrLocked
	}
	return pathError("flock", f.Name(), err)
}

func pathError(op, name string, err error) error {
	if err == nil {
		return nil
	}
	return &os.PathError{Op: op, Path: name, Err: noSpace(err)}
}
