//go:build linux || darwin

package vfs

import (
	"testing"

	"golang.org/x/sys/unix"
)

// A process that another goroutine starts has all files of this one until it runs its program. A lock that is given up
// meanwhile is free at once. A second descriptor of the open file stands for such a process.
func TestLockEndsWhileAStartingProcessHasTheFile(t *testing.T) {
	name := t.TempDir() + "/lock"
	for _, f := range []FS{OS, ReadOnly(OS)} {
		lock, err := f.Lock(name)
		if err != nil {
			t.Fatal(err)
		}
		child, err := unix.Dup(int(lock.(fileLock).Fd()))
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(child)
		is(t, "second lock", second(f, name), ErrLocked)
		is(t, "unlock", lock.Close(), nil)
		is(t, "lock again", second(f, name), nil)
	}
}

// second takes a lock and gives it up again.
func second(f FS, name string) error {
	lock, err := f.Lock(name)
	if err == nil {
		err = lock.Close()
	}
	return err
}
