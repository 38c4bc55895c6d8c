package main

import (
	"embed"
	"fmt"
	"io"
	"io/fs"
)

// licenses holds the licences and notices of everything that is linked into the program, by module. `make licenses`
// writes them, and a test fails when they are not those of the modules that are linked. MODULES.txt lists the modules.
//
//go:embed licenses
var licenses embed.FS

// printLicenses prints the modules, and all licences and notices.
func printLicenses(w io.Writer) error {
	return fs.WalkDir(licenses, "licenses", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := licenses.ReadFile(name)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(w, "== %s\n\n%s\n", name, text)
		return err
	})
}
