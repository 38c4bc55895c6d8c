package log_test

import (
	"path/filepath"
	"strings"
	"testing"

	"once/durability"
	"once/internal/vfs"
	"once/log"
	"once/log/logtest"
)

// The directory of a topic whose name is as long as any is removed like every other.
func TestDirectoryWithALongNameIsRemoved(t *testing.T) {
	dir := filepath.ToSlash(t.TempDir())
	topic := strings.Repeat("x", 249)
	open := func(index string) *log.Log {
		l, _, err := log.Open(log.Options{FS: vfs.OS, Dir: dir + "/" + topic + index}, durability.Recovery{})
		if err != nil {
			t.Fatal(err)
		}
		logtest.MustAdd(t, l, 1, 1)
		return l
	}
	for _, l := range []*log.Log{open("-0"), open("-10000")} {
		if err := l.Remove(); err != nil {
			t.Error(err)
		}
	}
	if names, err := vfs.OS.List(dir); err != nil || len(names) != 0 {
		t.Errorf("left are %q, %v", names, err)
	}
}
