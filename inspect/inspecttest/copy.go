package inspecttest

import (
	"bytes"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// Copy is a copy of a data directory that a test damages in one way after the other. A new copy for each of them would
// be slow: to create a file takes longer than to check one.
type Copy struct {
	t        testing.TB
	original map[string][]byte // by name; nil is a directory
	dir      string
}

// NewCopy returns a copy of a data directory in which no broker is at work, as it is now. Restore makes its files.
func NewCopy(t testing.TB, of string) *Copy {
	t.Helper()
	c := &Copy{t: t, original: map[string][]byte{}, dir: t.TempDir()}
	err := filepath.WalkDir(of, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == of {
			return err
		}
		name, err := filepath.Rel(of, path)
		if err != nil || d.IsDir() {
			c.original[name] = nil
			return err
		}
		content, err := os.ReadFile(path)
		c.original[name] = append([]byte{}, content...)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// Restore makes each file of the copy what it is in the original, whatever has been done to it, and returns the
// directory.
func (c *Copy) Restore() (dir string) {
	c.t.Helper()
	right := map[string]bool{}
	err := filepath.WalkDir(c.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == c.dir {
			return err
		}
		name, err := filepath.Rel(c.dir, path)
		if err != nil {
			return err
		}
		want, known := c.original[name]
		switch {
		case known && d.IsDir() && want == nil:
			right[name] = true
			return nil
		case known && d.Type().IsRegular() && want != nil:
			content, err := os.ReadFile(path)
			right[name] = bytes.Equal(content, want)
			return err
		}
		if err := os.RemoveAll(path); err != nil {
			return err
		}
		if d.IsDir() {
			return fs.SkipDir
		}
		return nil
	})
	if err != nil {
		c.t.Fatal(err)
	}
	for _, name := range slices.Sorted(maps.Keys(c.original)) { // a directory comes before its files
		if right[name] {
			continue
		}
		path, content := filepath.Join(c.dir, name), c.original[name]
		if content == nil {
			err = os.Mkdir(path, 0o755)
		} else {
			err = os.WriteFile(path, content, 0o644)
		}
		if err != nil {
			c.t.Fatal(err)
		}
	}
	return c.dir
}
