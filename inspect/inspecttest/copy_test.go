package inspecttest

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
)

// Whatever was done to a copy, it is as the original again, and the original never changes.
func TestCopyIsRestored(t *testing.T) {
	of := t.TempDir()
	at := func(dir, name string) string { return filepath.Join(dir, filepath.FromSlash(name)) }
	write := func(dir, name, content string) error { return os.WriteFile(at(dir, name), []byte(content), 0o644) }
	err := errors.Join(os.Mkdir(at(of, "x-0"), 0o755), os.Mkdir(at(of, "y-0"), 0o755), os.Mkdir(at(of, "z-0"), 0o755),
		write(of, "meta.db", "meta"), write(of, "x-0/0.log", "zero"), write(of, "x-0/1.log", ""),
		write(of, "y-0/0.log", "one"))
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{"meta.db": "meta", "x-0/0.log": "zero", "x-0/1.log": "", "y-0/0.log": "one"}
	c := NewCopy(t, of)
	for what, spoil := range map[string]func(dir string) error{
		"nothing":           func(string) error { return nil },
		"altered":           func(dir string) error { return write(dir, "x-0/0.log", "Zero") },
		"longer":            func(dir string) error { return write(dir, "x-0/1.log", "more") },
		"cut":               func(dir string) error { return os.Truncate(at(dir, "y-0/0.log"), 1) },
		"removed":           func(dir string) error { return os.Remove(at(dir, "meta.db")) },
		"directory removed": func(dir string) error { return os.RemoveAll(at(dir, "x-0")) },
		"empty one removed": func(dir string) error { return os.Remove(at(dir, "z-0")) },
		"renamed":           func(dir string) error { return os.Rename(at(dir, "x-0"), at(dir, "x-1")) },
		"new files": func(dir string) error {
			return errors.Join(write(dir, "x-0/2.log", "new"), os.MkdirAll(at(dir, "w-0/deep"), 0o755),
				write(dir, "w-0/0.log", "new"))
		},
		"a file for a directory": func(dir string) error {
			return errors.Join(os.RemoveAll(at(dir, "x-0")),
				write(dir, "x-0", "file"))
		},
		"a directory for a file": func(dir string) error {
			return errors.Join(os.Remove(at(dir, "meta.db")), os.Mkdir(at(dir, "meta.db"), 0o755))
		},
	} {
		if err := spoil(c.Restore()); err != nil {
			t.Fatal(what, err)
		}
		for _, dir := range []string{of, c.Restore()} {
			n := 0
			_ = filepath.Walk(dir, func(path string, _ os.FileInfo, _ error) error { n++; return nil })
			if n != 1+3+len(files) {
				t.Errorf("%s: there are %d names", what, n)
			}
			for name, want := range files {
				if got, err := os.ReadFile(at(dir, name)); err != nil || string(got) != want {
					t.Errorf("%s: %s is %q, %v", what, name, got, err)
				}
			}
		}
	}
}
