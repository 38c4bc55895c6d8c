package once

import (
	"io/fs"
	"os"
	"path"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"
)

// A test of links that nobody can break proves nothing: each of these files names what the tree does not have.
func TestLinksCanFail(t *testing.T) {
	for want, files := range map[string]map[string]string{
		"docs/a.md:3: link to b.md":              {"docs/a.md": "# A\n\n[b](b.md)\n"},
		"docs/a.md:1: link to ../c/b.md":         {"docs/a.md": "[b](../c/b.md#more)\n"},
		"docs/a.md:1: link to here.md#nothing":   {"docs/a.md": "[b](here.md#nothing)\n"},
		"docs/a.md:1: document gone.md":          {"docs/a.md": "as `gone.md` says\n"},
		"a.go:2: document docs/gone.md":          {"a.go": "package a\n// see docs/gone.md\n"},
		"a.go:1: outside of the tree: ../shared": {"a.go": "package a // in ../shared/x\n"},
		"a.txt:1: the specification":             {"a.txt": "# as the specification has it\n"},
		"a.go:3: the specification":              {"a.go": "package a\n\n// what the\n// specification says\n"},
	} {
		expect(t, want, linkProblems(t, linked(files)))
	}
	fine := linked(map[string]string{
		"docs/a.md": "[b](here.md), [b](here.md#more-of-it), [c](https://example.org/x.md), [d](#up)\n\n" +
			"# Up\n`docs/here.md` and here.md\n```\n[x](y.md)\n```\n",
		"a.go":  "package a // docs/here.md has it; the gzip specification\nvar s = \"gone.md\"\n",
		"a.txt": "log of=gone.md\n",
	})
	if problems := linkProblems(t, fine); len(problems) > 0 {
		t.Errorf("a good tree has problems: %q", problems)
	}
}

func linked(files map[string]string) fstest.MapFS {
	tree := fstest.MapFS{"docs/here.md": {Data: []byte("# Here\n\n## More of it\n")}}
	for name, text := range files {
		tree[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return tree
}

// Nothing cites what is not in the tree.
func TestLinksResolve(t *testing.T) {
	for _, p := range linkProblems(t, os.DirFS(".")) {
		t.Error(p)
	}
}

// A document that names a test names one that there is, or the beginning of a name, as an expression for -run does.
func TestTestsNamedInDocumentsExist(t *testing.T) {
	tests, tree := testNames(t), os.DirFS(".")
	for _, file := range textFiles(t, tree) {
		if path.Ext(file) != ".md" {
			continue
		}
		for _, name := range unknownTests(withoutFences(readText(t, tree, file)), tests) {
			t.Errorf("%s: test %s", file, name)
		}
	}
	for text, want := range map[string]string{
		"as TestThere shows":        "",
		"`-run 'TestThe|TestGone'`": "TestGone",
		"TestThereIsMore, FuzzGone": "TestThereIsMore FuzzGone",
	} {
		if got := strings.Join(unknownTests(text, map[string]bool{"TestThere": true}), " "); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
}

func unknownTests(text string, tests map[string]bool) (unknown []string) {
	for _, name := range testName.FindAllString(text, -1) {
		isBeginning := false
		for test := range tests {
			isBeginning = isBeginning || strings.HasPrefix(test, name)
		}
		if !isBeginning {
			unknown = append(unknown, name)
		}
	}
	return unknown
}

var (
	testName     = regexp.MustCompile(`\b(?:Test|Fuzz)[A-Z]\w*`)
	markdownLink = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	documentName = regexp.MustCompile(`[\w./-]*\w\.md\b`)
	outsideTree  = regexp.MustCompile(`\.\./shared|(?i)\b(?:the|this|our)\s+spec(?:ification)?s?\b`)
	notInAnchors = regexp.MustCompile(`[^\p{L}\p{N} _-]`)
)

func linkProblems(t *testing.T, tree fs.FS) []string {
	t.Helper()
	c := &citations{}
	for _, file := range textFiles(t, tree) {
		text := readText(t, tree, file)
		var passages []*passage
		switch path.Ext(file) {
		case ".go":
			passages, _, _ = goComments(file, text)
		case ".txt":
			passages = scriptComments(file, text)
		case ".md":
			c.links(t, tree, file, text)
			passages = []*passage{{file: file, line: 1, text: []byte(withoutFences(text))}}
		}
		for _, p := range passages {
			c.outside(tree, p)
		}
	}
	return c.problems
}

// links follows the links of a document to other files, and to headings.
func (c *citations) links(t *testing.T, tree fs.FS, file, text string) {
	p := &passage{file: file, line: 1, text: []byte(withoutCode(text))}
	for _, m := range markdownLink.FindAllSubmatchIndex(p.text, -1) {
		link := string(p.text[m[2]:m[3]])
		if strings.Contains(link, "://") || strings.HasPrefix(link, "mailto:") {
			continue
		}
		target, anchor, _ := strings.Cut(link, "#")
		to := file
		if target != "" {
			to = path.Join(path.Dir(file), target)
		}
		if _, err := fs.Stat(tree, to); err != nil {
			c.problem(p, m[0], "link to %s", target)
		} else if anchor != "" && !hasAnchor(readText(t, tree, to), anchor) {
			c.problem(p, m[0], "link to %s", link)
		}
	}
}

// hasAnchor says whether a document has a heading of that name, as links write it.
func hasAnchor(text, anchor string) bool {
	for _, line := range strings.Split(withoutFences(text), "\n") {
		if heading := strings.TrimLeft(line, "#"); heading != line {
			heading = notInAnchors.ReplaceAllString(strings.ToLower(strings.TrimSpace(heading)), "")
			if strings.ReplaceAll(heading, " ", "-") == anchor {
				return true
			}
		}
	}
	return false
}

// outside finds documents that do not exist, and what has no name.
func (c *citations) outside(tree fs.FS, p *passage) {
	for _, m := range outsideTree.FindAllIndex(p.text, -1) {
		if what := string(p.text[m[0]:m[1]]); strings.HasPrefix(what, "..") {
			c.problem(p, m[0], "outside of the tree: %s", what)
		} else {
			c.problem(p, m[0], "%s: which? Cite a page of %s", strings.Join(strings.Fields(what), " "), protocolDir)
		}
	}
	for _, m := range documentName.FindAllIndex(p.text, -1) {
		name := string(p.text[m[0]:m[1]])
		if m[0] > 0 && strings.ContainsAny(string(p.text[m[0]-1:m[0]]), ":(<*") {
			continue // a link, which has been followed, or an address
		}
		found := false
		for _, dir := range []string{path.Dir(p.file), ".", "docs", protocolDir} {
			_, err := fs.Stat(tree, path.Join(dir, name))
			found = found || err == nil
		}
		if !found {
			c.problem(p, m[0], "document %s", name)
		}
	}
}
