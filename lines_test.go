package once

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
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
