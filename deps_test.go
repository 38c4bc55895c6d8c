// Package once holds nothing but tests of the repository as a whole: who may import whom, that every package says what
// it is for, and that what comments and documents cite is there.
package once

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"
)

// importMap is the map of the packages. One line is one layer, the top one first. A package may import
// what stands on lower lines: never up, and never beside it.
const importMap = `
cmd/broker
tools
broker/brokertest repair
broker
lab
cluster
inspect/inspecttest
admin handlers inspect seed
faults findings requestlog
wire txncoordinator groupcoordinator sharepartition
groupcoordinator/consumergroup groupcoordinator/sharegroup groupcoordinator/streamsgroup
groupcoordinator/group/grouptest
groupcoordinator/assignment groupcoordinator/group
topics configs credentials quotas telemetry log/salvage
partition log/logtest sharecoordinator
log/directory
internal/kafkatest log lso pidmanager durability/durabilitytest
durability
log/batch sharepartition/window
meta settings
internal/files
internal/memnet internal/script internal/vfs
internal/apiname internal/clock internal/crashtest internal/fault internal/fields internal/invariant internal/shrink
`

// forbidden imports, though they would point down: package, what it must not import, why.
var forbidden = []struct{ from, to, reason string }{
	{"tools", "broker broker/brokertest repair cluster inspect admin handlers wire txncoordinator groupcoordinator topics configs partition log lso pidmanager durability log/batch meta settings", "the tools are a client: they know a broker by its port"},
	{"wire", "topics partition log lso pidmanager durability log/batch meta settings",
		"wire owns the sockets: it knows bytes and no topics"},
	{"txncoordinator", "topics partition log meta settings",
		"a coordinator declares the journal that it needs; the test's one is a fake"},
	{"groupcoordinator", "topics partition log meta settings",
		"a coordinator declares the journal that it needs; the test's one is a fake"},
	{"sharecoordinator", "topics partition log meta settings",
		"a coordinator declares the journal that it needs; the test's one is a fake"},
	{"sharepartition/window", "os sync net", "the window is pure: no lock, no clock, no I/O"},
	{"lso", "os sync time net", "lso is pure: no lock, no clock, no I/O"},
	{"log/salvage", "os io/ioutil syscall",
		"files are reached through internal/vfs, so that tests can fail and crash them"},
	{"durability", "os io/ioutil syscall",
		"files are reached through internal/vfs, so that tests can fail and crash them"},
	{"log", "os io/ioutil syscall", "files are reached through internal/vfs, so that tests can fail and crash them"},
	{"log/batch", "os io/ioutil syscall", "a batch is bytes; nothing here reads files"},
	{"partition", "os io/ioutil syscall", "files are reached through internal/vfs, so that tests can fail and crash them"},
}

// reserved imports: only these packages may use them, and why.
var reserved = []struct{ module, users, reason string }{
	{"go.etcd.io/bbolt", "meta", "what no log can give back has one home"},
	{"github.com/spf13/cobra", "cmd/broker tools", "a library has no command line"},
	{"github.com/twmb/franz-go/pkg/kgo", "tools", "a broker has no client in it"},
	{"github.com/twmb/franz-go/pkg/kadm", "tools", "a broker has no client in it"},
	{"net/http", "admin lab cmd/broker", "HTTP is for operators; it must not creep into the broker"},
}

// A rule that nobody can break proves nothing: each of these trees breaks one.
func TestImportRulesCanFail(t *testing.T) {
	for want, files := range map[string]map[string]string{
		"log imports partition, which stands above it":                    {"log/a.go": `package log; import _ "once/partition"`},
		"txncoordinator imports groupcoordinator, which stands beside it": {"txncoordinator/a.go": `package txncoordinator; import _ "once/groupcoordinator"`},
		"topics imports handlers, which stands above it":                  {"topics/a_test.go": `package topics; import _ "once/handlers"`},
		"pidmanager imports util, which is not in the map":                {"pidmanager/a.go": `package pidmanager; import _ "once/util"`},
		"helpers is not in the map":                                       {"helpers/a.go": `package helpers`},
		"wire imports settings: wire owns the sockets":                    {"wire/a.go": `package wire; import _ "once/settings"`},
		"groupcoordinator imports partition: a coordinator":               {"groupcoordinator/a.go": `package groupcoordinator; import _ "once/partition"`},
		"lso imports sync: lso is pure":                                   {"lso/a.go": `package lso; import _ "sync"`},
		"partition imports os: files are reached through internal/vfs":    {"partition/a.go": `package partition; import _ "os"`},
		"log/batch imports os: a batch is bytes":                          {"log/batch/a.go": `package batch; import _ "os"`},
		"topics imports go.etcd.io/bbolt: what no log can give back":      {"topics/a.go": `package topics; import _ "go.etcd.io/bbolt"`},
		"handlers imports net/http/pprof: HTTP is for operators":          {"handlers/a.go": `package handlers; import _ "net/http/pprof"`},
		"broker imports broker/brokertest, which stands above it":         {"broker/a.go": `package broker; import _ "once/broker/brokertest"`},
		"tools imports settings: the tools are a client":                  {"tools/a.go": `package tools; import _ "once/settings"`},
		"wire imports github.com/twmb/franz-go/pkg/kgo: a broker has no":  {"wire/a.go": `package wire; import _ "github.com/twmb/franz-go/pkg/kgo"`},
		"internal/clock imports internal/fault, which stands beside it":   {"internal/clock/a.go": `package clock; import _ "once/internal/fault"`},
		"admin imports github.com/spf13/cobra: a library has no command":  {"admin/a.go": `package admin; import _ "github.com/spf13/cobra"`},
	} {
		expect(t, want, importProblems(fake(t, files)))
	}
	fine := fake(t, map[string]string{
		"broker/a_test.go":      `package broker_test; import _ "once/broker/brokertest"`,
		"partition/a_test.go":   `package partition; import _ "os"`,
		"partition/a.go":        `package partition; import (_ "once/log"; _ "once/internal/vfs")`,
		"log/testdata/a.go":     `package x; import _ "once/broker"`,
		"compat/go/go.mod":      `module compat`,
		"compat/go/a.go":        `package compat; import _ "once/util"`,
		"compat/go/deep/b.go":   `package deep; import _ "once/util"`,
		".hidden/a.go":          `package hidden; import _ "once/util"`,
		"internal/script/ok.go": `package script; import _ "once/internal/clock"`,
	})
	if problems := importProblems(fine); len(problems) > 0 {
		t.Errorf("a good tree has problems: %q", problems)
	}
}

func TestImportsGoDown(t *testing.T) {
	tree := load(t, os.DirFS("."))
	for _, p := range importProblems(tree) {
		t.Error(p)
	}
	for _, name := range strings.Fields(importMap) {
		if !slices.ContainsFunc(tree, func(f file) bool { return f.dir == name }) {
			t.Errorf("%s is in the map and does not exist", name)
		}
	}
}

// The picture in the tour is the map.
func TestArchitectureShowsTheMap(t *testing.T) {
	page, err := os.ReadFile("docs/architecture.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, _ := strings.Cut(string(page), "## Who imports whom\n")
	_, shown, _ := strings.Cut(section, "```\n")
	shown, _, _ = strings.Cut(shown, "```")
	if want := strings.ReplaceAll(strings.TrimSpace(importMap), " ", " · "); strings.TrimSpace(shown) != want {
		t.Errorf("docs/architecture.md shows\n%s\nthe map is\n%s", shown, want)
	}
}

func TestSleepRuleCanFail(t *testing.T) {
	for _, body := range []string{`time.Sleep(1)`, `go func() { time.Sleep(1) }()`, `synctest.Wait(); time.Sleep(1)`} {
		expect(t, "time.Sleep",
			sleepProblems(fake(t, map[string]string{"log/a_test.go": `package log; func TestX(t *testing.T) { ` + body + ` }`})))
	}
	bubble := `package log; func TestX(t *testing.T) { synctest.Test(t, func(t *testing.T) { time.Sleep(1) }) }`
	if problems := sleepProblems(fake(t, map[string]string{"log/a_test.go": bubble,
		"log/b.go": `package log; func f() { time.Sleep(1) }`})); len(problems) > 0 {
		t.Errorf("a good tree has problems: %q", problems)
	}
}

// A test that sleeps is slow on a fast machine and wrong on a slow one. A bubble of testing/synctest has a
// clock of its own: there a sleep takes no time and is exact.
func TestNoTestSleeps(t *testing.T) {
	for _, p := range sleepProblems(load(t, os.DirFS("."))) {
		t.Error(p)
	}
}

// file is one parsed Go file of this module.
type file struct {
	dir, name string // slash-separated, from the root of the repository; "." is the root
	fset      *token.FileSet
	*ast.File
}

func (f file) isTest() bool { return strings.HasSuffix(f.name, "_test.go") }

// load parses every Go file of the module; nested modules, testdata and hidden directories are not part of it.
func load(t *testing.T, tree fs.FS) (files []file) {
	t.Helper()
	err := fs.WalkDir(tree, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() {
			_, nested := fs.Stat(tree, path.Join(name, "go.mod"))
			if name != "." && (nested == nil || strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata") {
				return fs.SkipDir
			}
			return nil
		}
		if !strings.HasSuffix(name, ".go") {
			return nil
		}
		text, err := fs.ReadFile(tree, name)
		if err != nil {
			return err
		}
		parsed, fset, err := parse(name, string(text))
		files = append(files, file{path.Dir(name), name, fset, parsed})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// source is a Go file's name and text.
type source struct{ name, text string }

type parsedSource struct {
	fset *token.FileSet
	file *ast.File
}

// parsedSources has what parse has parsed: most tests look at all files of the repository.
var parsedSources = map[source]parsedSource{}

// parse parses a Go file once. Nobody may change what it returns.
func parse(name, text string) (*ast.File, *token.FileSet, error) {
	if p, ok := parsedSources[source{name, text}]; ok {
		return p.file, p.fset, nil
	}
	p := parsedSource{fset: token.NewFileSet()}
	var err error
	p.file, err = parser.ParseFile(p.fset, name, text, parser.ParseComments|parser.SkipObjectResolution)
	if err == nil {
		parsedSources[source{name, text}] = p
	}
	return p.file, p.fset, err
}

func fake(t *testing.T, texts map[string]string) []file {
	t.Helper()
	tree := fstest.MapFS{}
	for name, text := range texts {
		tree[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return load(t, tree)
}

func expect(t *testing.T, want string, problems []string) {
	t.Helper()
	if !slices.ContainsFunc(problems, func(p string) bool { return strings.Contains(p, want) }) {
		t.Errorf("problems %q, want %q", problems, want)
	}
}

func importProblems(files []file) (problems []string) {
	layer := map[string]int{}
	for i, line := range strings.Split(strings.TrimSpace(importMap), "\n") {
		for _, name := range strings.Fields(line) {
			layer[name] = i
		}
	}
	for _, f := range files {
		if _, known := layer[f.dir]; !known {
			if f.dir != "." {
				problems = append(problems, fmt.Sprintf("%s: package %s is not in the map", f.name, f.dir))
			}
			continue
		}
		if strings.HasSuffix(f.Name.Name, "_test") {
			continue // from outside, as a user: it may see all
		}
		for _, spec := range f.Imports {
			name, _ := strconv.Unquote(spec.Path.Value)
			if reason := layerProblem(layer, f.dir, name) + ruleProblem(f, name); reason != "" {
				problems = append(problems, fmt.Sprintf("%s: %s imports %s%s", f.name, f.dir, strings.TrimPrefix(name, "once/"),
					reason))
			}
		}
	}
	return problems
}

func layerProblem(layer map[string]int, from, imported string) string {
	to, ours := strings.CutPrefix(imported, "once/")
	if !ours || to == from {
		return ""
	}
	switch at, known := layer[to]; {
	case !known:
		return ", which is not in the map"
	case at < layer[from]:
		return ", which stands above it"
	case at == layer[from]:
		return ", which stands beside it"
	}
	return ""
}

// ruleProblem applies forbidden and reserved to what is not a test: a test may well read a file.
func ruleProblem(f file, imported string) string {
	if f.isTest() {
		return ""
	}
	for _, r := range forbidden {
		if r.from == f.dir && slices.Contains(strings.Fields(r.to), strings.TrimPrefix(imported, "once/")) {
			return ": " + r.reason
		}
	}
	for _, r := range reserved {
		uses := imported == r.module || strings.HasPrefix(imported, r.module+"/")
		if uses && !slices.Contains(strings.Fields(r.users), f.dir) {
			return ": " + r.reason
		}
	}
	return ""
}

func sleepProblems(files []file) (problems []string) {
	for _, f := range files {
		if !f.isTest() {
			continue
		}
		ast.Inspect(f.File, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok {
				return true
			}
			if calls(call, "synctest", "Test") {
				return false
			}
			if calls(call, "time", "Sleep") {
				problems = append(problems, fmt.Sprintf("%s: time.Sleep in a test; wait for what the test needs",
					f.fset.Position(call.Pos())))
			}
			return true
		})
	}
	return problems
}

func calls(call *ast.CallExpr, pkg, function string) bool {
	selector, ok := call.Fun.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	x, ok := selector.X.(*ast.Ident)
	return ok && x.Name == pkg && selector.Sel.Name == function
}
