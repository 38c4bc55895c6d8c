package vfs

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

func TestReadOnlyChangesNothing(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "there")
	if err := os.WriteFile(name, []byte("as it was"), 0o600); err != nil {
		t.Fatal(err)
	}
	r := ReadOnly(OS)
	_, create := r.Create(filepath.Join(dir, "new"))
	_, open := r.OpenReadWrite(name)
	_, whole := r.OpenFileSystem(dir)
	f, err := r.OpenRead(name)
	if err != nil {
		t.Fatal(err)
	}
	_, write := f.WriteAt([]byte("x"), 0)
	for what, err := range map[string]error{
		"create": create, "open": open, "write": write, "truncate": f.Truncate(0), "sync": f.Sync(),
		"rename": r.Rename(name, name+"2"),
		"link":   r.Link(name, name+"2"), "remove": r.Remove(name), "remove all": r.RemoveAll(dir),
		"mkdir": r.MkdirAll(filepath.Join(dir, "a")), "sync dir": r.SyncDir(dir), "sync fs": whole,
	} {
		if !errors.Is(err, ErrReadOnly) {
			t.Errorf("%s: %v", what, err)
		}
	}
	b := make([]byte, 9)
	if _, err := f.ReadAt(b, 0); err != nil || string(b) != "as it was" {
		t.Errorf("%q, %v", b, err)
	}
	if err := f.Close(); err != nil {
		t.Error(err)
	}
	if names, err := r.List(dir); err != nil || len(names) != 1 {
		t.Errorf("%v, %v", names, err)
	}
}

// A lock excludes a broker, but a lock file that does not exist is not made.
func TestReadOnlyLocksAnExistingFile(t *testing.T) {
	for kind, under := range map[string]FS{"disk": OS, "memory": NewMem()} {
		dir := filepath.ToSlash(t.TempDir())
		if err := under.MkdirAll(dir); err != nil {
			t.Fatal(err)
		}
		name := dir + "/.lock"
		free, err := ReadOnly(under).Lock(name)
		if err != nil {
			t.Fatalf("%s: %v", kind, err)
		}
		if _, err := under.Stat(name); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: the lock file was made: %v", kind, err)
		}
		free.Close()
		held, err := under.Lock(name)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ReadOnly(under).Lock(name); !errors.Is(err, ErrLocked) {
			t.Errorf("%s: beside a broker: %v", kind, err)
		}
		held.Close()
		mine, err := ReadOnly(under).Lock(name)
		if err != nil {
			t.Fatalf("%s: %v", kind, err)
		}
		if _, err := under.Lock(name); !errors.Is(err, ErrLocked) {
			t.Errorf("%s: a broker beside it: %v", kind, err)
		}
		mine.Close()
	}
}
