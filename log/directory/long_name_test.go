package directory

import (
	"path/filepath"
	"strings"
	"testing"

	"once/internal/vfs"
)

// The directory of a topic whose name is as long as any is set aside like every other, again and again.
func TestDirectoryWithALongNameIsSetAside(t *testing.T) {
	dir := filepath.ToSlash(t.TempDir())
	name := strings.Repeat("x", 249) + "-2"
	seen := map[string]bool{}
	for range 3 {
		if err := vfs.OS.MkdirAll(dir + "/" + name); err != nil {
			t.Fatal(err)
		}
		to, err := SetAside(vfs.OS, dir, Directory{Name: name})
		if err != nil || seen[to] || !strings.Contains(to, "-2.") {
			t.Errorf("set aside as %q, %v", to, err)
		}
		seen[to] = true
	}
	if names, err := vfs.OS.List(dir); err != nil || len(names) != len(seen) {
		t.Errorf("left are %q, %v", names, err)
	}
}
