package once

import (
	"fmt"
	"go/ast"
	"go/token"
	"io/fs"
	"os"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"
)

// protocolDir has the pages that comments, scripts and documents cite. Its README.md says how.
const protocolDir = "docs/protocol"

// A test of citations that nobody can break proves nothing: each of these files has one that resolves to nothing.
func TestCitationsCanFail(t *testing.T) {
	for want, files := range map[string]map[string]string{
		"a.go:1: no page named lgo":                 {"a.go": "package a // (spec: lgo 5)"},
		"a.go:1: log has no section 6":              {"a.go": "package a // (spec: log 6)"},
		"a.go:4: log has no section 5.9":            {"a.go": "package a\n\n// Two lines (spec: log\n// 5.9).\n"},
		"a.go:1: log 5 has no row 3":                {"a.go": "package a // (spec: log 5 rows 1 to 3)"},
		"a.go:1: log 5.1 has no row 1":              {"a.go": "package a // log 5.1 row 1 is as nothing"},
		"a.go:1: log has no scenario 13":            {"a.go": "package a // (spec: log 5; 7, scenarios 11, 13)"},
		"a.go:1: log has no P1":                     {"a.go": "package a // (spec: reliability P1, log P1)"},
		"a.go:1: reliability has no P3":             {"a.go": "package a // Reliability P3 says so"},
		"a.go:1: no page has P9":                    {"a.go": "package a // P9: a promise"},
		"a.go:2: no page has B4":                    {"a.go": "package a\nvar s = \"B4 bytes\""},
		"a.go:1: row 2 of no page":                  {"a.go": "package a // this is row 2"},
		"a.go:1: scenario 11 of no page":            {"a.go": "package a // Scenario 11."},
		"a.go:1: section 5 of no page":              {"a.go": "package a // see section 5"},
		"a.go:1: not a citation: ?":                 {"a.go": "package a // (spec: log 5?)"},
		"a.go:1: not a citation: log":               {"a.go": "package a // spec: log 5"},
		"c/a.txt:2: transactions has no scenario 3": {"c/a.txt": "topic x\n# 3: a retry\n"},
		"c/a.txt:1: transactions has no scenario 4": {"c/a.txt": "# 1. A commit. 4. A retry.\n"},
		"c/a.txt:1: log has no scenario 13":         {"c/a.txt": "# A retry. (transactions 1, 2; log 13)\n"},
		"a.md:3: log has no section 8":              {"a.md": "# A\n\nAs log 8 says.\n"},
		"docs/protocol/log.md:13: log has no section 9": {
			protocolDir + "/log.md": fakeLog + "See §9.\n"},
		"names are not unique: L1": {protocolDir + "/wire.md": "# Wire\n\n| L1 | x |\n"},
	} {
		expect(t, want, citationProblems(t, citing(files)))
	}
	fine := citing(map[string]string{
		"a.go": `package a

// A comment (spec: log
// 5.1, 7; 5 rows 1 to 2; 7, scenarios 11 to 12; reliability P1-P2, B1). KIP-5 (spec: reliability, log 5; KIP-4) goes on.
// Log 5 and 7 are sections; rows B1 and B2 have names.
var s = "B1 bytes"

var n = "log 99, row 3"
`,
		"a.txt":                 "# 1, 2: both.\n# once only: 2: again. 1. And again.\n# So. (transactions 1; log 11, L1; KIP-3)\nlog of=x-9\n----\n9 data\n",
		"a.md":                  "`log 99` and\n```\nlog 99, P99\n```\nlog 5.1\n",
		"b.go":                  "package b // the log 12345 times; it is log-99 and x.log 99\n",
		protocolDir + "/log.md": fakeLog + "See §5 row 2, scenario 11, section 7 and reliability P1.\n",
	})
	if problems := citationProblems(t, fine); len(problems) > 0 {
		t.Errorf("a good tree has problems: %q", problems)
	}
}

const fakeLog = `# Log

## 5 Segments

| 1 | x |
| 2 | y |

### 5.1 More
## 7. Scenarios
11. a
12. b
| L1 | c |
`

func citing(files map[string]string) fstest.MapFS {
	tree := fstest.MapFS{
		protocolDir + "/log.md":          {Data: []byte(fakeLog)},
		protocolDir + "/transactions.md": {Data: []byte("# T\n\n## 20 Scenarios\n\n| 1 | x |\n| 2 | y |\n")},
		protocolDir + "/reliability.md": {Data: []byte("# R\n\n**2.1 Promises.**\n\n- **P1** one\n- **P2 +** two\n" +
			"| B1 | x |\n| B2 name | x |\n")},
		protocolDir + "/README.md": {Data: []byte("# Pages\n")},
	}
	for name, text := range files {
		tree[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return tree
}

func TestCitationsResolve(t *testing.T) {
	for _, p := range citationProblems(t, os.DirFS(".")) {
		t.Error(p)
	}
}

// protocolPage is what can be cited of one page.
type protocolPage struct {
	sections, scenarios, names map[string]bool
	rows                       map[string]map[string]bool // by section
}

const (
	placeNumber  = `\d{1,3}(?:\.\d+)*[a-z]?\b`
	placeName    = `(?:[BCFHILP]\d{1,3}b?|K44-\d+|S[GT]-\d+)\b`
	placePattern = `(` + placeNumber + `|` + placeName + `|KIP-\d+)`
)

var (
	headingLine    = regexp.MustCompile(`^#{2,4} (?:(` + placeNumber + `)\.?)?`)
	boldSection    = regexp.MustCompile(`^\*\*(` + placeNumber + `) [A-Z]`)
	numberedLine   = regexp.MustCompile(`^(?:\|\s*|\s*)(\d+)(?: \||\. )`)
	namedLine      = regexp.MustCompile(`^(?:\| ?|[-*] )(?:\*\*)?(` + placeName + `)`)
	codeOfLine     = regexp.MustCompile("`[^`\n]*`")
	specWord       = regexp.MustCompile(`(?i)\bspec:\s*`)
	placeKind      = `(?:§ ?|(?i:(section|row|scenario)s?\s+))?`
	placeItem      = regexp.MustCompile(`^` + placeKind + placePattern + `(?:(?:\s+to\s+|[-–])` + placePattern + `)?`)
	placeSeparator = regexp.MustCompile(`^\s*(?:,\s*(?:and\s+)?|(;)\s*|and\s+)|^\s+`)
	firstWord      = regexp.MustCompile(`^[\w-]+(?:\.\d+)?`)
	withoutPage    = regexp.MustCompile(`(?i)§ ?\d|\b(?:section|row|scenario)s?\s+\d`)
	bareName       = regexp.MustCompile(`\b[BFHILP]\d{1,3}b?\b|\b(?:K44|S[GT])-\d+\b`)
	namedString    = regexp.MustCompile(`^"([BFHILP]\d{1,3}b?|(?:K44|S[GT])-\d+)(?: |"$)`)
	scriptNumbers  = regexp.MustCompile(`^(?:once only: )?(\d+(?:(?:, | to )\d+)*)`)
	bracket        = regexp.MustCompile(`\(`)
	laterNumber    = regexp.MustCompile(`[.:] (\d+)\. [A-Z]`)
)

// readPage finds what has a number or a name in a page.
func readPage(text string) *protocolPage {
	p := &protocolPage{map[string]bool{}, map[string]bool{}, map[string]bool{}, map[string]map[string]bool{}}
	section, scenarios, before := "", false, ""
	for _, line := range strings.Split(text, "\n") {
		if m := headingLine.FindStringSubmatch(line); m != nil && m[1] != "" {
			section, scenarios = m[1], strings.Contains(strings.ToLower(line), "scenario")
			p.sections[section] = true
		} else if m := boldSection.FindStringSubmatch(line); m != nil && before == "" {
			section, scenarios = m[1], false
			p.sections[section] = true
		} else if m := numberedLine.FindStringSubmatch(line); m != nil && scenarios {
			p.scenarios[m[1]] = true
		} else if m != nil {
			if p.rows[section] == nil {
				p.rows[section] = map[string]bool{}
			}
			p.rows[section][m[1]] = true
		} else if m := namedLine.FindStringSubmatch(line); m != nil {
			p.names[m[1]] = true
		}
		before = line
	}
	return p
}

// has says whether a page has one place.
func (p *protocolPage) has(kind, section, place string) bool {
	switch {
	case strings.HasPrefix(place, "KIP-"):
		return true
	case place[0] > '9':
		return p.names[place]
	case kind == "scenario":
		return p.scenarios[place]
	case kind == "row" && section == "":
		for _, rows := range p.rows {
			if rows[place] {
				return true
			}
		}
		return false
	case kind == "row":
		return p.rows[section][place]
	}
	return p.sections[place]
}

// citations holds the citations of a tree against the pages.
type citations struct {
	pages    map[string]*protocolPage
	pageName *regexp.Regexp
	initials [256]bool // the bytes that pageName can begin with
	problems []string
}

// passage is a stretch of a file's text that may cite: a comment, or all of a document.
type passage struct {
	file string
	line int
	text []byte // what has been dealt with is blanked
	own  string // the page that it is from
}

func citationProblems(t *testing.T, tree fs.FS) []string {
	t.Helper()
	c := &citations{pages: map[string]*protocolPage{}}
	files, _ := fs.Glob(tree, protocolDir+"/*.md")
	owner := map[string]string{}
	var names []string
	for _, file := range files {
		if path.Base(file) == "README.md" {
			continue
		}
		page := strings.TrimSuffix(path.Base(file), ".md")
		c.pages[page] = readPage(readText(t, tree, file))
		c.initials[page[0]], c.initials[strings.ToUpper(page[:1])[0]] = true, true
		names = append(names, "["+strings.ToUpper(page[:1])+page[:1]+"]"+regexp.QuoteMeta(page[1:]))
		for n := range c.pages[page].names {
			if owner[n] != "" {
				c.problems = append(c.problems, "names are not unique: "+n)
			}
			owner[n] = page
		}
	}
	slices.SortFunc(names, func(a, b string) int { return len(b) - len(a) })
	c.pageName = regexp.MustCompile(`^(` + strings.Join(names, "|") + `)(?:\s+|\b)`)
	for _, file := range textFiles(t, tree) {
		c.file(file, readText(t, tree, file))
	}
	return c.problems
}

// textFiles returns all Go files, scripts and documents.
func textFiles(t *testing.T, tree fs.FS) (files []string) {
	t.Helper()
	err := fs.WalkDir(tree, ".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && name != "." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "node_modules"):
			return fs.SkipDir
		case !d.IsDir() && slices.Contains([]string{".go", ".txt", ".md"}, path.Ext(name)):
			files = append(files, name)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func readText(t *testing.T, tree fs.FS, name string) string {
	t.Helper()
	text, err := fs.ReadFile(tree, name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func (c *citations) file(name, text string) {
	switch path.Ext(name) {
	case ".go":
		c.goFile(name, text)
	case ".txt":
		for _, p := range scriptComments(name, text) {
			c.script(p)
			c.titles(p)
			c.passage(p)
		}
	case ".md":
		p := &passage{file: name, line: 1, text: []byte(withoutCode(text))}
		if path.Dir(name) == protocolDir && path.Base(name) != "README.md" {
			p.own = strings.TrimSuffix(path.Base(name), ".md")
		}
		c.passage(p)
	}
}

// goFile looks at the comments, and at strings that begin with a name.
func (c *citations) goFile(file, text string) {
	comments, parsed, fset := goComments(file, text)
	if parsed == nil {
		c.problems = append(c.problems, file+": cannot be parsed")
		return
	}
	for _, p := range comments {
		c.passage(p)
	}
	ast.Inspect(parsed, func(n ast.Node) bool {
		if s, ok := n.(*ast.BasicLit); ok && s.Kind == token.STRING {
			if m := namedString.FindStringSubmatch(s.Value); m != nil {
				c.name(&passage{file: file, line: fset.Position(s.Pos()).Line}, 0, m[1])
			}
		}
		return true
	})
}

// goComments returns the comments of a Go file, those that stand together as one passage.
func goComments(file, text string) ([]*passage, *ast.File, *token.FileSet) {
	parsed, fset, err := parse(file, text)
	if err != nil {
		return nil, nil, nil
	}
	var all []*passage
	for _, g := range parsed.Comments {
		p := &passage{file: file, line: fset.Position(g.Pos()).Line}
		for _, line := range g.List {
			p.text = append(p.text, strings.TrimPrefix(line.Text, "//")...)
			p.text = append(p.text, '\n')
		}
		all = append(all, p)
	}
	return all, parsed, fset
}

// scriptComments returns the comments of a script, lines that stand together as one passage.
func scriptComments(file, text string) (all []*passage) {
	var p *passage
	for i, line := range strings.Split(text, "\n") {
		comment, ok := strings.CutPrefix(line, "#")
		if !ok {
			p = nil
			continue
		}
		if p == nil {
			p = &passage{file: file, line: i + 1}
			all = append(all, p)
		}
		p.text = append(p.text, strings.TrimPrefix(comment, " ")+"\n"...)
	}
	return all
}

// withoutFences blanks what stands in a document between fences.
func withoutFences(text string) string {
	lines := strings.Split(text, "\n")
	fence := false
	for i, line := range lines {
		mark := strings.HasPrefix(strings.TrimSpace(line), "```")
		if fence = fence != mark; fence || mark {
			lines[i] = ""
		}
	}
	return strings.Join(lines, "\n")
}

// withoutCode blanks what stands in a document as code.
func withoutCode(text string) string {
	lines := strings.Split(withoutFences(text), "\n")
	for i, line := range lines {
		if strings.HasPrefix(line, "    ") {
			lines[i] = ""
		}
	}
	blanks := func(code string) string { return strings.Repeat(" ", len(code)) }
	return codeOfLine.ReplaceAllStringFunc(strings.Join(lines, "\n"), blanks)
}

func (c *citations) problem(p *passage, at int, format string, args ...any) {
	line := p.line
	if at > 0 {
		line += strings.Count(string(p.text[:at]), "\n")
	}
	c.problems = append(c.problems, fmt.Sprintf("%s:%d: %s", p.file, line, fmt.Sprintf(format, args...)))
}

// blank takes out what has been dealt with.
func (p *passage) blank(from, to int) {
	for i := from; i < to; i++ {
		if p.text[i] != '\n' {
			p.text[i] = ' '
		}
	}
}

// passage looks at citations in brackets, behind specWord, then at pages that are named without it, then at places
// without a page, and last at names that stand alone.
func (c *citations) passage(p *passage) {
	for _, m := range specWord.FindAllIndex(p.text, -1) {
		end := c.list(p, m[1], "section", true)
		open := strings.LastIndexAny(string(p.text[:m[0]]), "()")
		if rest := p.text[end:]; open < 0 || p.text[open] != '(' {
			c.problem(p, m[0], "not a citation: %s: spec: stands in brackets", firstWord.Find(p.text[m[1]:]))
		} else if len(rest) == 0 || rest[0] != ')' {
			c.problem(p, m[0], "not a citation: %.20s", rest)
		}
		p.blank(m[0], end)
	}
	for at := 0; at < len(p.text); at++ {
		if !c.initials[p.text[at]] || at > 0 && (isLetter(p.text[at-1]) || strings.IndexByte("-./_", p.text[at-1]) >= 0) {
			continue
		}
		if m := c.pageName.FindIndex(p.text[at:]); m != nil && placeItem.Match(p.text[at+m[1]:]) {
			p.blank(at, c.list(p, at, "section", false))
		}
	}
	for _, m := range withoutPage.FindAllIndex(p.text, -1) {
		if p.text[m[0]] == ' ' { // it was part of the one before
			continue
		}
		if p.own == "" {
			places := strings.Fields(strings.ToLower(string(placeItem.Find(p.text[m[0]:]))))
			c.problem(p, m[0], "%s of no page", strings.Join(places, " "))
			continue
		}
		p.blank(m[0], c.items(p, m[0], p.own, "section"))
	}
	for _, m := range bareName.FindAllIndex(p.text, -1) {
		c.name(p, m[0], string(p.text[m[0]:m[1]]))
	}
}

func isLetter(b byte) bool { return b|0x20 >= 'a' && b|0x20 <= 'z' || b >= '0' && b <= '9' }

// name looks a name up that stands alone.
func (c *citations) name(p *passage, at int, n string) {
	for _, page := range c.pages {
		if page.names[n] {
			return
		}
	}
	c.problem(p, at, "no page has %s", n)
}

// titles looks at what stands in brackets behind the title of a case: numbers are scenarios there.
func (c *citations) titles(p *passage) {
	for _, m := range bracket.FindAllIndex(p.text, -1) {
		if c.pageName.Match(p.text[m[1]:]) {
			p.blank(m[1], c.list(p, m[1], "scenario", true))
		}
	}
}

// script looks at numbers at the beginning of a script's comment, and of a later sentence: scenarios of transactions.
func (c *citations) script(p *passage) {
	for at := 0; at < len(p.text); {
		end := at + slices.Index(p.text[at:], '\n')
		line := p.text[at:end]
		if m := scriptNumbers.FindSubmatchIndex(line); m != nil && at == 0 {
			text := append([]byte("scenarios "), line[m[2]:m[3]]...)
			c.items(&passage{file: p.file, line: p.line, text: text}, 0, "transactions", "")
		}
		for _, m := range laterNumber.FindAllSubmatch(line, -1) {
			text := append([]byte("scenario "), m[1]...)
			c.items(&passage{file: p.file, line: p.line, text: text}, 0, "transactions", "")
		}
		at = end + 1
	}
}

// list reads a page and places of it, at least one where it is not strict, and goes on with further pages where it is.
// Numbers are of the kind that is given, where nothing else is said. It returns where it ends.
func (c *citations) list(p *passage, at int, kind string, strict bool) int {
	for {
		m := c.pageName.FindSubmatch(p.text[at:])
		if m == nil {
			c.problem(p, at, "no page named %s", firstWord.Find(p.text[at:]))
			return at
		}
		page := strings.ToLower(string(m[1]))
		at = c.items(p, at+len(m[0]), page, kind)
		sep := placeSeparator.Find(p.text[at:])
		if !strict || sep == nil || !c.pageName.Match(p.text[at+len(sep):]) {
			return at
		}
		at += len(sep)
	}
}

// items reads places of a page and returns where they end.
func (c *citations) items(p *passage, at int, pageName, usual string) int {
	page, kind, section := c.pages[pageName], usual, ""
	for {
		m := placeItem.FindSubmatch(p.text[at:])
		if m == nil {
			return at
		}
		if len(m[1]) > 0 {
			kind = strings.ToLower(string(m[1]))
		}
		first, last := string(m[2]), string(m[3])
		if kind == "section" && first[0] <= '9' {
			section = first
		}
		for _, place := range placesOf(kind, first, last) {
			if page == nil || !page.has(kind, section, place) {
				c.problem(p, at, "%s", missingPlace(pageName, kind, section, place))
			}
		}
		at += len(m[0])
		sep := placeSeparator.FindSubmatch(p.text[at:])
		if sep == nil {
			return at
		}
		next := placeItem.FindSubmatch(p.text[at+len(sep[0]):])
		blank := strings.TrimSpace(string(sep[0])) == "" // which stands before row and scenario only
		if next == nil || blank && len(next[1]) == 0 {
			return at
		}
		if len(sep[1]) > 0 {
			kind = usual
		}
		at += len(sep[0])
	}
}

func missingPlace(page, kind, section, place string) string {
	switch {
	case place[0] > '9':
		return fmt.Sprintf("%s has no %s", page, place)
	case kind == "row":
		return fmt.Sprintf("%s %s has no row %s", page, section, place)
	}
	return fmt.Sprintf("%s has no %s %s", page, kind, place)
}

// placesOf returns the places from first to last: all of them where they are plain numbers, else both ends.
func placesOf(kind, first, last string) []string {
	if last == "" {
		return []string{first}
	}
	from, err := strconv.Atoi(first)
	to, err2 := strconv.Atoi(last)
	if kind == "section" || err != nil || err2 != nil || to < from || to-from > 1000 {
		return []string{first, last}
	}
	var all []string
	for i := from; i <= to; i++ {
		all = append(all, strconv.Itoa(i))
	}
	return all
}
