package vfs

import (
	"path"
	"slices"
	"strings"
)

// FoldsCase says whether two names in a directory that differ in nothing but upper and lower case are the same name, as
// usual on Windows and macOS. It looks for a file of the directory under another such name, so one without a file
// distinguishes them.
func FoldsCase(f FS, dir string) bool {
	names, err := f.List(dir)
	if err != nil {
		return false
	}
	for _, name := range names {
		for _, other := range []string{strings.ToUpper(name), strings.ToLower(name)} {
			if slices.Contains(names, other) {
				continue
			}
			_, err := f.Stat(path.Join(dir, other))
			return err == nil
		}
	}
	return false
}
