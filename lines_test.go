package once

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"
)

// The package log, without the log cleaner, stays small enough to be read in one afternoon.
func TestLogStaysReadable(t *testing.T) {
	const most, least = 4500, 2000 // fewer would mean that files are not found
	files, err := filepath.Glob("log/*.go")
	if err != nil {
		t.Fatal(err)
	}
	lines := 0
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") || strings.HasPrefix(file, "log/clean") {
			continue
		}
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		lines += bytes.Count(b, []byte("\n"))
	}
	if lines < least || lines > most {
		t.Errorf("package log has %d lines without the cleaner, want %d to %d", lines, least, most)
	}
}

// No line of the program, but for its tests, goes past column 120.
func TestLinesEndByColumn120(t *testing.T) {
	const most, least = 120, 300 // fewer files would mean that they are not found
	tree, found := os.DirFS("."), 0
	for _, name := range textFiles(t, tree) {
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			continue
		}
		found++
		for i, line := range strings.Split(readText(t, tree, name), "\n") {
			if n := utf8.RuneCountInString(line); n > most {
				t.Errorf("%s:%d has %d characters, want at most %d", name, i+1, n, most)
			}
		}
	}
	if found < least {
		t.Errorf("found %d files, want at least %d", found, least)
	}
}
