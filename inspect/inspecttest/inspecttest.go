// Package inspecttest lets a test end with a check of its data directory.
package inspecttest

import (
	"strings"
	"testing"

	"once/inspect"
	"once/internal/vfs"
)

// RequireClean fails the test unless the data directory of a stopped broker, or a copy of that of a running one, is
// free of damage and of warnings. Findings that contain one of the expected texts are allowed.
func RequireClean(t testing.TB, dir string, expected ...string) {
	t.Helper()
	RequireCleanOn(t, vfs.OS, dir, inspect.Options{}, expected...)
}

// RequireCleanOn is like RequireClean, for another file system and other options, such as the boot ID of the next
// start.
func RequireCleanOn(t testing.TB, fs vfs.FS, dir string, o inspect.Options, expected ...string) {
	t.Helper()
	report, err := inspect.Check(fs, dir, o)
	if err != nil {
		t.Errorf("checking %s: %v", dir, err)
		return
	}
	for _, f := range report.Findings {
		if f.Severity != inspect.Note && !isExpected(f, expected) {
			t.Errorf("%s: %v", dir, f)
		}
	}
}

func isExpected(f inspect.Finding, expected []string) bool {
	for _, text := range expected {
		if strings.Contains(f.String(), text) {
			return true
		}
	}
	return false
}
