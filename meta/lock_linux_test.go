package meta

import (
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// A process that another goroutine starts has the file until it runs its program, and must not keep it locked. A second
// descriptor of the open file stands for such a process.
func TestClosedFileIsFreeWhileAStartingProcessHasIt(t *testing.T) {
	path := filepath.Join(t.TempDir(), "meta.db")
	for _, open := range []func() (*File, error){
		func() (*File, error) { return Open(path, Options{}) },
		func() (*File, error) { return OpenReadOnly(path) },
		func() (*File, error) { return Open(path, Options{}) },
	} {
		s, err := open()
		if err != nil {
			t.Fatal(err)
		}
		child, err := unix.Dup(int(s.file.Fd()))
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(child)
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
