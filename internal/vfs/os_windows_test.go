package vfs

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"
)

// What a topic may be called on other systems, it may be called on Windows: names of devices, and long ones.
func TestAnyTopicsDirectoryCanBeMade(t *testing.T) {
	root := t.TempDir()
	for _, topic := range []string{"aux", "con.orders", "NUL.x", "com1.y", "x.", strings.Repeat("n", 240)} {
		dir := filepath.ToSlash(root) + "/" + topic + "-0"
		if err := OS.MkdirAll(dir); err != nil {
			t.Fatal(err)
		}
		write(t, OS, dir+"/00000000000000000000.log.tmp", topic).Close()
		is(t, "rename", OS.Rename(dir+"/00000000000000000000.log.tmp", dir+"/00000000000000000000.log"), nil)
		if got := read(t, OS, dir+"/00000000000000000000.log"); got != topic {
			t.Errorf("%s: holds %q", topic, got)
		}
		names, err := OS.List(root)
		if err != nil || len(names) != 1 || names[0] != topic+"-0" {
			t.Errorf("%s: %q, %v", topic, names, err)
		}
		is(t, "remove", OS.RemoveAll(dir), nil)
	}
	if FoldsCase(OS, root) {
		t.Error("an empty directory")
	}
	write(t, OS, root+"/meta.db", "").Close()
	if !FoldsCase(OS, root) {
		t.Error("META.DB is another file than meta.db")
	}
}

// A name is free as soon as it was removed or given to something else, whoever has the file open.
func TestOpenFilesCanBeMoved(t *testing.T) {
	root := filepath.ToSlash(t.TempDir())
	open := write(t, OS, root+"/a", "first")
	is(t, "rename", OS.Rename(root+"/a", root+"/b"), nil)
	write(t, OS, root+"/a", "second").Close()
	is(t, "remove", OS.Remove(root+"/a"), nil)
	write(t, OS, root+"/a", "third").Close()
	if got := read(t, OS, root+"/b"); got != "first" {
		t.Errorf("renamed: %q", got)
	}
	if err := OS.Rename(root+"/a", root+"/b"); err != nil && !errors.Is(err, ErrInUse) {
		t.Errorf("rename over an open file: %v", err)
	}
	is(t, "close", open.Close(), nil)
}

func TestNative(t *testing.T) {
	for name, want := range map[string]string{
		"C:/data/orders-0": `\\?\C:\data\orders-0`, `C:\data/./aux.x-0`: `\\?\C:\data\aux.x-0`, `\\?\C:\data`: `\\?\C:\data`,
		`\\host\share/data`: `\\?\UNC\host\share\data`,
	} {
		if got := native(name); got != want {
			t.Errorf("%s: %s", name, got)
		}
	}
	if got := native("data"); !strings.HasPrefix(got, `\\?\`) || !strings.HasSuffix(got, `\data`) {
		t.Error(got)
	}
}

func TestBootID(t *testing.T) {
	if id := BootID(); id == "" || id == "0" || id != BootID() {
		t.Errorf("got %q, then %q", id, BootID())
	}
}
