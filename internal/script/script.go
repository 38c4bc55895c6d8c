package script

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

var rewrite = flag.Bool("rewrite", false, "write script files anew with the output of this run")

// RunFiles runs each file that matches the pattern as a test of its own. start returns the function that answers its
// commands. A comment that is no title, or an argument that its command does not read, fails the test.
func RunFiles(t *testing.T, pattern string, start func(t *testing.T) func(t *testing.T, c Command) string) {
	t.Helper()
	files, err := filepath.Glob(pattern)
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts %s: %v", pattern, err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txt"), func(t *testing.T) {
			CheckTitles(t, file)
			answer := start(t)
			Run(t, file, func(t *testing.T, c Command) string {
				c.read = map[string]bool{}
				out := answer(t, c)
				for _, name := range c.unread() {
					t.Errorf("%s: %s has no argument %s", c.Pos, c.Name, name)
				}
				return out
			})
		})
	}
}

// Run gives each command of a file to fn in order and compares what it returns with what is expected.
// White space at the end of the output does not count.
func Run(t *testing.T, path string, fn func(t *testing.T, c Command) string) {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var written strings.Builder
	failed, err := run(path, string(raw), &written, func(c Command) string { return fn(t, c) })
	if err != nil {
		t.Fatal(err)
	}
	if *rewrite {
		if err := os.WriteFile(path, []byte(written.String()), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	for _, f := range failed {
		t.Error(f)
	}
}

// run does the work of Run on a file's text, and writes the text with the actual output.
func run(path, text string, written *strings.Builder, fn func(Command) string) (failed []string, err error) {
	p := &parser{path: path, lines: strings.Split(strings.TrimSuffix(text, "\n"), "\n")}
	for p.next < len(p.lines) {
		line := p.lines[p.next]
		if trimmed := strings.TrimSpace(line); trimmed == "" || strings.HasPrefix(trimmed, "#") {
			written.WriteString(line + "\n")
			p.next++
			continue
		}
		start := p.next
		c, err := p.command()
		if err != nil {
			return nil, err
		}
		head := p.lines[start:p.next] // up to and with the dashes
		expected, err := p.expected()
		if err != nil {
			return nil, err
		}
		c.Expected = expected
		actual := strings.TrimRight(fn(c), " \t\n")
		if actual != expected {
			failed = append(failed, fmt.Sprintf("%s: %s\nexpected:\n%s\nanswered:\n%s", c.Pos, line, indent(expected),
				indent(actual)))
		}
		written.WriteString(strings.Join(head, "\n") + "\n" + format(actual))
		if p.next < len(p.lines) && p.lines[p.next] != "" {
			written.WriteString("\n")
		}
	}
	return failed, nil
}

const dashes = "----"

type parser struct {
	path  string
	lines []string
	next  int
}

// command reads a command line, its input, and the dashes.
func (p *parser) command() (Command, error) {
	c := Command{Pos: fmt.Sprintf("%s:%d", p.path, p.next+1)}
	words, err := split(p.lines[p.next])
	if err != nil {
		return c, fmt.Errorf("%s: %w", c.Pos, err)
	}
	c.Name = words[0]
	for _, w := range words[1:] {
		name, value, hasValue := strings.Cut(w, "=")
		if unquoted, err := strconv.Unquote(value); err == nil {
			value = unquoted
		}
		c.Args = append(c.Args, Arg{Name: name, Value: value, IsFlag: !hasValue})
	}
	for p.next++; p.next < len(p.lines); p.next++ {
		if p.lines[p.next] == dashes {
			p.next++
			return c, nil
		}
		c.Input = append(c.Input, p.lines[p.next])
	}
	return c, fmt.Errorf("%s: no line %q follows the command", c.Pos, dashes)
}

// expected reads the output that the file expects.
func (p *parser) expected() (string, error) {
	from := p.next
	if p.next < len(p.lines) && p.lines[p.next] == dashes {
		for p.next++; p.next+1 < len(p.lines); p.next++ {
			if p.lines[p.next] == dashes && p.lines[p.next+1] == dashes {
				text := strings.Join(p.lines[from+1:p.next], "\n")
				p.next += 2
				return text, nil
			}
		}
		return "", fmt.Errorf("%s:%d: output between double dashes does not end", p.path, from+1)
	}
	for p.next < len(p.lines) && p.lines[p.next] != "" {
		p.next++
	}
	return strings.TrimRight(strings.Join(p.lines[from:p.next], "\n"), " \t\n"), nil
}

// split cuts a command line into words; quotes and brackets keep their spaces.
func split(line string) ([]string, error) {
	var words []string
	word, quoted, brackets := "", false, 0
	for _, r := range strings.TrimSpace(line) + " " {
		switch {
		case r == '"':
			quoted = !quoted
		case r == '[' && !quoted:
			brackets++
		case r == ']' && !quoted:
			brackets--
		case r == ' ' && !quoted && brackets == 0:
			if word != "" {
				words = append(words, word)
			}
			word = ""
			continue
		}
		word += string(r)
	}
	if quoted || brackets != 0 {
		return nil, fmt.Errorf("a quote or a bracket is not closed in %q", line)
	}
	return words, nil
}

// format writes output so that expected reads it again.
func format(output string) string {
	switch {
	case output == "":
		return ""
	case strings.HasPrefix(output, dashes) || strings.Contains(output, "\n\n") || strings.HasPrefix(output, "\n"):
		return dashes + "\n" + output + "\n" + dashes + "\n" + dashes + "\n"
	}
	return output + "\n"
}

func indent(s string) string { return "\t" + strings.ReplaceAll(s, "\n", "\n\t") }
