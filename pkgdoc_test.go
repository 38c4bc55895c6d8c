package once

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"
)

func TestPackageCommentRuleCanFail(t *testing.T) {
	for want, files := range map[string]map[string]string{
		"log has no package comment": {"log/a.go": "package log",
			"log/a_test.go": "// Package log is tested.\npackage log"},
		"log has 2 package comments": {"log/a.go": "// Package log is here.\npackage log",
			"log/b.go": "// Package log is there.\npackage log"},
		"log/a.go: the comment must":   {"log/a.go": "// Here are logs.\npackage log"},
		"cmd/x/a.go: the comment must": {"cmd/x/a.go": "// Package main runs.\npackage main"},
	} {
		expect(t, want, commentProblems(fake(t, files)))
	}
	fine := fake(t, map[string]string{
		"log/a.go":      "// Package log keeps records.\npackage log",
		"log/b.go":      "// This is about the license.\n\npackage log",
		"log/x_test.go": "// Package log_test is elsewhere.\npackage log_test",
		"cmd/x/a.go":    "// Command x runs.\npackage main",
	})
	if problems := commentProblems(fine); len(problems) > 0 {
		t.Errorf("a good tree has problems: %q", problems)
	}
}

// Every package says in one place what it is for, what holds in it and who may call it.
func TestEveryPackageHasOneComment(t *testing.T) {
	for _, p := range commentProblems(load(t, os.DirFS("."))) {
		t.Error(p)
	}
}

func commentProblems(files []file) (problems []string) {
	comments := map[string][]file{} // of each package; a package without any has an empty entry
	for _, f := range files {
		if f.isTest() {
			continue
		}
		with := comments[f.dir]
		if f.Doc != nil {
			with = append(with, f)
		}
		comments[f.dir] = with
	}
	for _, dir := range slices.Sorted(maps.Keys(comments)) {
		with := comments[dir]
		switch len(with) {
		case 0:
			problems = append(problems, dir+" has no package comment")
		case 1:
			f := with[0]
			start := "Package " + f.Name.Name + " "
			if f.Name.Name == "main" {
				start = "Command " + dir[strings.LastIndex(dir, "/")+1:] + " "
			}
			if !strings.HasPrefix(f.Doc.Text(), start) {
				problems = append(problems, fmt.Sprintf("%s: the comment must begin with %q", f.name, start))
			}
		default:
			problems = append(problems, fmt.Sprintf("%s has %d package comments: %s and %s", dir, len(with), with[0].name,
				with[1].name))
		}
	}
	return problems
}
