package main

import (
	"flag"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"
)

var rewriteLicenses = flag.Bool("rewrite-licenses", false,
	"write the licences of the linked modules into the directory licenses")

// licenseFile is the name of a file that has to be passed on with a program.
var licenseFile = regexp.MustCompile(`(?i)^(licen[cs]e|copying|notice|patents)([-.].*)?$`)

// linkedLicenses returns the files that licenses must hold, by name, for the program on all systems.
func linkedLicenses(t *testing.T) map[string]string {
	t.Helper()
	files, modules := map[string]string{}, map[string]bool{"Go " + runtime.Version(): true}
	add := func(from, to string) {
		entries, err := os.ReadDir(from)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if e.IsDir() || !licenseFile.MatchString(e.Name()) || strings.HasSuffix(e.Name(), ".go") {
				continue
			}
			text, err := os.ReadFile(filepath.Join(from, e.Name()))
			if err != nil {
				t.Fatal(err)
			}
			files[to+"/"+e.Name()] = string(text)
		}
	}
	add(goRoot(t), "go")
	for _, system := range []string{"linux", "darwin", "windows"} {
		c := exec.Command("go", "list", "-deps", "-f",
			"{{with .Module}}{{if not .Main}}{{.Path}}\t{{.Version}}\t{{.Dir}}\t{{$.Dir}}{{end}}{{end}}", ".")
		c.Env = append(os.Environ(), "GOOS="+system, "CGO_ENABLED=0")
		list, err := c.Output()
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(list)) {
			f := strings.Split(strings.TrimSpace(line), "\t")
			if len(f) < 4 { // a package of Go's, or of this module
				continue
			}
			module, version, root := f[0], f[1], f[2]
			modules[module+" "+version] = true
			for dir := f[3]; ; dir = filepath.Dir(dir) { // a directory may have a licence of its own
				below, err := filepath.Rel(root, dir)
				if err != nil || strings.HasPrefix(below, "..") {
					break
				}
				add(dir, strings.TrimSuffix(module+"/"+filepath.ToSlash(below), "/."))
			}
		}
	}
	for module := range modules {
		name, _, _ := strings.Cut(strings.ToLower(module), " ")
		has := func(file string) bool { return strings.HasPrefix(strings.ToLower(file), name+"/") }
		if !slices.ContainsFunc(slices.Collect(maps.Keys(files)), has) {
			t.Errorf("%s has no licence", module)
		}
	}
	delete(modules, "Go "+runtime.Version()) // the toolchain of whoever builds
	files["MODULES.txt"] = strings.Join(slices.Sorted(maps.Keys(modules)), "\n") + "\n"
	return files
}

// The licences in the program are those of the modules that are linked into it. After a change of go.mod, `make
// licenses` writes them again.
func TestLicensesAreThoseOfTheLinkedModules(t *testing.T) {
	want := linkedLicenses(t)
	if *rewriteLicenses {
		if err := os.RemoveAll("licenses"); err != nil {
			t.Fatal(err)
		}
		for name, text := range want {
			path := filepath.Join("licenses", filepath.FromSlash(name))
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		return
	}
	var out strings.Builder
	if err := printLicenses(&out); err != nil {
		t.Fatal(err)
	}
	printed := strings.Count("\n"+out.String(), "\n== licenses/")
	if printed != len(want) {
		t.Errorf("%d files are in the program, and %d belong there: run make licenses", printed, len(want))
	}
	for name, text := range want {
		if name != "go/PATENTS" && name != "go/LICENSE" && !strings.Contains(out.String(), fmt.Sprintf("== licenses/%s\n\n%s\n", name, text)) {
			t.Errorf("%s is missing or has changed: run make licenses", name)
		}
	}
}

// goRoot is where the toolchain is that builds the program.
func goRoot(t *testing.T) string {
	t.Helper()
	root, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(root))
}
