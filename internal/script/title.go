package script

import (
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
)

// A title is a sentence, or several. Behind it may stand, in parentheses, the scenarios that it shows, by page and
// number; docs/protocol/README.md says how they are cited.
var (
	sentence  = regexp.MustCompile(`^["A-Z].*[.?]$`)
	scenarios = regexp.MustCompile(` \((?:spec: )?(` + page + `(?:; ` + page + `)*)\)$`)
)

const page = `(?:[a-z]+(?:-[a-z0-9.]+)? (?:[A-Z]+[0-9]*-|[A-Z])?[0-9][^;()]*|KIP-[0-9]+)`

// number is how a title begins that has its scenario in front, number only one that says nothing else.
var number = regexp.MustCompile(`^[A-Z]?[0-9]+\b`)

// CheckTitles fails the test for each comment of a script that is no title, and for each command `new` without one: the
// titles alone say what a script shows.
func CheckTitles(t testing.TB, path string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, problem := range titleProblems(path, string(text)) {
		t.Error(problem)
	}
}

func titleProblems(path, text string) (problems []string) {
	var title []string
	lines := strings.Split(text+"\n", "\n")
	for i, line := range lines {
		if comment, ok := strings.CutPrefix(line, "#"); ok {
			title = append(title, strings.TrimSpace(comment))
			continue
		}
		if len(title) > 0 && !isTitle(strings.Join(title, " ")) {
			problems = append(problems, fmt.Sprintf("%s:%d: not a sentence with its scenarios behind it, such as "+
				"\"A retry gets the same answer. (transactions 4)\": %s", path, i, strings.Join(title, " ")))
		}
		if name, _, _ := strings.Cut(line, " "); name == "new" && len(title) == 0 && lines[i+1] == dashes {
			problems = append(problems, fmt.Sprintf("%s:%d: a case that begins anew has no title", path, i+1))
		}
		title = nil
	}
	return problems
}

func isTitle(s string) bool {
	s = scenarios.ReplaceAllString(s, "")
	return sentence.MatchString(s) && !number.MatchString(s)
}
