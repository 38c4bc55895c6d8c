//go:build linux || darwin || dragonfly || freebsd || netbsd || openbsd

package meta

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// lock takes the lock on an open file that bbolt takes, too: shared by those who read. It is gone with the file.
func lock(f *os.File, shared bool) error {
	how := syscall.LOCK_EX
	if shared {
		how = syscall.LOCK_SH
	}
	err := syscall.Flock(int(f.Fd()), how|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return fmt.Errorf("%w: %s", ErrLocked, f.Name())
	}
	if err != nil {
		return &os.PathError{Op: "flock", Path: f.Name(), Err: err}
	}
	return nil
}
