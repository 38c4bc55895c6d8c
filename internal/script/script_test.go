package script

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

const sample = `# What a command looks like to the function.
show name=pay parts=[a-0 b-1] quoted="two words" abort
first line of input

third line
----
show 4
name="pay" flag=false
parts="[a-0 b-1]" flag=false
quoted="two words" flag=false
abort="" flag=true
input 3

nothing
----

empty-line
----
----
one

two
----
----

# At the end.
`

func answer(c Command) string {
	switch c.Name {
	case "nothing":
		return ""
	case "empty-line":
		return "one\n\ntwo\n"
	}
	out := fmt.Sprintf("%s %d\n", c.Name, len(c.Args))
	for _, a := range c.Args {
		out += fmt.Sprintf("%s=%q flag=%v\n", a.Name, a.Value, a.IsFlag)
	}
	return out + fmt.Sprintf("input %d\n", len(c.Input))
}

func TestScriptPassesAndRewritesToItself(t *testing.T) {
	var written strings.Builder
	failed, err := run("sample", sample, &written, answer)
	if err != nil || len(failed) != 0 {
		t.Fatal(failed, err)
	}
	if written.String() != sample {
		t.Errorf("rewritten:\n%s", written.String())
	}
}

func TestOtherOutputFailsAndIsWritten(t *testing.T) {
	var written strings.Builder
	failed, err := run("sample", sample, &written, func(c Command) string { return "other " + c.Name })
	if err != nil || len(failed) != 3 || !strings.Contains(failed[0], "sample:2") {
		t.Fatal(failed, err)
	}
	if again, err := run("sample", written.String(), &strings.Builder{}, func(c Command) string { return "other " + c.Name }); len(again) != 0 || err != nil {
		t.Error(again, err)
	}
}

func TestBrokenScriptsAreErrors(t *testing.T) {
	for _, text := range []string{"command without dashes\n", "open [bracket\n----\n", "open \"quote\n----\n", "x\n----\n----\nno end\n"} {
		if _, err := run("broken", text, &strings.Builder{}, answer); err == nil {
			t.Errorf("%q is taken for a script", text)
		}
	}
}

func TestArguments(t *testing.T) {
	words, err := split(`add id=t parts=[x-0 x-1] one=x-0 n=-5 last`)
	if err != nil || len(words) != 6 {
		t.Fatal(words, err)
	}
	p := &parser{lines: []string{`add id=t parts=[x-0 x-1] one=x-0 n=-5 last`, dashes}}
	c, err := p.command()
	if err != nil {
		t.Fatal(err)
	}
	if got := c.List("parts"); !slices.Equal(got, []string{"x-0", "x-1"}) {
		t.Error(got)
	}
	if got := c.List("one"); !slices.Equal(got, []string{"x-0"}) {
		t.Error(got)
	}
	if c.List("none") != nil || c.Int(t, "n", 0) != -5 || c.Int(t, "m", 7) != 7 || c.String("id", "") != "t" || !c.Has("last") || c.Has("first") {
		t.Error(c)
	}
}
