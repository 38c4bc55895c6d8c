package log

import (
	"path/filepath"
	"strings"
	"testing"

	"once/durability"
	"once/internal/vfs"
)

// The directory of a topic whose name is as long as any is removed like every other.
func TestDirectoryWithALongNameIsRemoved(t *testing.T) {
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
	for _, l := range []*Log{open("-0"), open("-10000")} {
		if err := l.Remove(); err != nil {
			t.Error(err)
		}
	}
	if names, err := vfs.OS.List(dir); err != nil || len(names) != 0 {
		t.Errorf("left are %q, %v", names, err)
	}
}
