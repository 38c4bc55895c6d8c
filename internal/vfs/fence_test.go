package vfs

import (
	"errors"
	"testing"
)

// Behind a closed fence nothing changes, though files that were open can still be read.
func TestFence(t *testing.T) {
	mem := NewMem()
	fence := NewFence(mem)
	if err := fence.MkdirAll("d"); err != nil {
		t.Fatal(err)
	}
	file, err := fence.Create("d/a")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := file.WriteAt([]byte("before"), 0); err != nil {
		t.Fatal(err)
	}
	whole, err := fence.OpenFileSystem("d")
	if err != nil {
		t.Fatal(err)
	}
	var ops map[string]func() error
	open := func(f File, err error) error {
		if err == nil {
			f.Close()
		}
		return err
	}
	ops = map[string]func() error{
		"write":       func() error { _, err := file.WriteAt([]byte("after!"), 0); return err },
		"truncate":    func() error { return file.Truncate(0) },
		"sync":        file.Sync,
		"create":      func() error { return open(fence.Create("d/b")) },
		"open":        func() error { return open(fence.OpenRead("d/a")) },
		"open write":  func() error { return open(fence.OpenReadWrite("d/a")) },
		"rename":      func() error { return fence.Rename("d/a", "d/c") },
		"link":        func() error { return fence.Link("d/a", "d/c") },
		"remove":      func() error { return fence.Remove("d/a") },
		"remove all":  func() error { return fence.RemoveAll("d") },
		"mkdir":       func() error { return fence.MkdirAll("e") },
		"sync dir":    func() error { return fence.SyncDir("d") },
		"file system": whole.Sync,
	}
	for _, op := range []string{"sync", "open", "open write", "sync dir", "file system"} {
		if err := ops[op](); err != nil {
			t.Errorf("%s before the fence is closed: %v", op, err)
		}
	}
	fence.Close()
	for name, op := range ops {
		if err := op(); !errors.Is(err, ErrFenced) {
			t.Errorf("%s behind the closed fence: %v", name, err)
		}
	}
	b := make([]byte, 6)
	if _, err := file.ReadAt(b, 0); err != nil || string(b) != "before" {
		t.Errorf("read %q, %v", b, err)
	}
	if err := errors.Join(file.Close(), whole.Close()); err != nil {
		t.Error(err)
	}
	if names, err := mem.List("d"); err != nil || len(names) != 1 || names[0] != "a" {
		t.Errorf("the directory holds %q, %v", names, err)
	}
}
