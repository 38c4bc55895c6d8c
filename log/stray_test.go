package log

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"once/durability"
	"once/internal/vfs"
)

// The directory of a topic whose name is as long as any is removed, and set aside, like every other.
func TestDirectoryWithALongNameIsRenamed(t *testing.T) {
	dir := filepath.ToSlash(t.TempDir())
	topic := strings.Repeat("x", 249)
	open := func(index string) *Log {
		l, _, err := Open(Options{FS: vfs.OS, Dir: dir + "/" + topic + index}, durability.Recovery{})
		if err != nil {
			t.Fatal(err)
		}
		mustAdd(t, l, 1, 1)
		return l
	}
	first, second, stray := open("-0"), open("-10000"), open("-2")
	for _, l := range []*Log{first, second} {
		if err := l.Remove(); err != nil {
			t.Error(err)
		}
	}
	if err := stray.Close(); err != nil {
		t.Fatal(err)
	}
	for n := range 2 {
		to, err := SetAside(vfs.OS, dir, Directory{Name: topic + "-2"})
		if err != nil || len(to) > maxNameBytes || !strings.Contains(to, "-2.") {
			t.Errorf("set aside as %q, %v", to, err)
		}
		if n == 0 {
			if err := os.Mkdir(dir+"/"+topic+"-2", 0o755); err != nil {
				t.Fatal(err)
			}
		}
	}
	if names, err := vfs.OS.List(dir); err != nil || len(names) != 2 {
		t.Errorf("left are %q, %v", names, err)
	}
}
