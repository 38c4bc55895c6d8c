package script

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
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
	if again, err := run("sample", written.String(), &strings.Builder{},
		func(c Command) string { return "other " + c.Name }); len(again) != 0 || err != nil {
		t.Error(again, err)
	}
}

func TestBrokenScriptsAreErrors(t *testing.T) {
	for _, text := range []string{"command without dashes\n", "open [bracket\n----\n", "open \"quote\n----\n",
		"x\n----\n----\nno end\n"} {
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
	if c.List("none") != nil || c.Int(t, "n", 0) != -5 || c.Int(t, "m", 7) != 7 || c.String("id", "") != "t" ||
		!c.Has("last") || c.Has("first") {
		t.Error(c)
	}
}

func TestUnreadArgumentFailsTheScript(t *testing.T) {
	c := Command{read: map[string]bool{}}
	c.Args = []Arg{{Name: "10s", IsFlag: true}, {Name: "id", Value: "t"}, {Name: "pid", Value: "1"}}
	c.Word(t)
	c.String("id", "")
	c.Int(t, "epoch", 0)
	if got := c.unread(); !slices.Equal(got, []string{"pid"}) {
		t.Error(got)
	}
}

func TestDurations(t *testing.T) {
	c := Command{Args: []Arg{{Name: "long", Value: "1m30s"}, {Name: "number", Value: "1500"}}}
	if got := c.Duration(t, "long", 0); got != 90*time.Second {
		t.Error(got)
	}
	if got := c.Duration(t, "number", 0); got != 1500*time.Millisecond {
		t.Error(got)
	}
	if got := c.Duration(t, "none", time.Hour); got != time.Hour {
		t.Error(got)
	}
	c = Command{Args: []Arg{{Name: "-10s", IsFlag: true}}}
	if got := c.Advance(t); got != -10*time.Second {
		t.Error(got)
	}
}

func TestPartitionsOfTopicsWithDashes(t *testing.T) {
	c := Command{Args: []Arg{{Name: "partitions", Value: "[x-0 my-topic-12]"}}}
	if got := c.Partitions(t, "partitions"); !slices.Equal(got, []Partition{{"x", 0}, {"my-topic", 12}}) {
		t.Error(got)
	}
	for _, s := range []string{"x", "x-", "x-y"} {
		if p, err := ParsePartition(s); err == nil {
			t.Errorf("%q is taken for %v", s, p)
		}
	}
}

func TestTitles(t *testing.T) {
	const dashed = "new\n----\n"
	for _, good := range []string{
		"# A retry gets the same answer.\n" + dashed,
		"# A retry gets the same answer. (transactions 4)\n" + dashed,
		"# A retry gets the same answer, over\n# two lines. (spec: transactions 20, scenarios 1 to 23; log L30)\nnew a=1\n----\n",
		"# A retry gets the same answer. (spec: groups 3.3; KIP-394)\n" + dashed,
		"# A heading. (groups 3)\n\n# A title.\n" + dashed,
		"read\n----\n3: \"new\" is no command here\nnew\n",
	} {
		if problems := titleProblems("good", good); len(problems) > 0 {
			t.Error(problems)
		}
	}
	for _, bad := range []string{
		"# 4. A retry gets the same answer.\n" + dashed, "# I4: a retry.\n" + dashed, "# a retry.\n" + dashed,
		"# A retry\n" + dashed, "# A retry (transactions 4)\n" + dashed, dashed, "# A title.\n\n" + dashed,
		"# A retry. (4)\n" + dashed, "# A retry. (transactions)\n" + dashed, "#\n" + dashed,
	} {
		if len(titleProblems("bad", bad)) == 0 {
			t.Errorf("%q has a title", bad)
		}
	}
}

// A process dies where it is told to, and nothing is written behind that.
func TestCrash(t *testing.T) {
	kinds := []string{"prepare", "marker", "marker", "complete"}
	run := func(set func(*Crash)) (written []string) {
		var x Crash
		set(&x)
		for _, kind := range kinds {
			err := x.Write(kind, func() { written = append(written, kind) })
			if (err != nil) != x.Dead() {
				t.Errorf("%v while dead is %v", err, x.Dead())
			}
		}
		return written
	}
	for at, want := range map[string]int{
		"": 4, "before-prepare": 0, "after-prepare": 1, "before-marker": 1, "after-marker-1": 2, "before-marker-2": 2,
		"after-marker-2": 3, "before-complete": 3, "after-complete": 4, "after-marker-3": 4,
	} {
		if got := run(func(x *Crash) { x.At(at) }); len(got) != want {
			t.Errorf("%s: %v", at, got)
		}
	}
	for number := range kinds {
		for _, before := range []bool{true, false} {
			want := number
			if !before {
				want++
			}
			if got := run(func(x *Crash) { x.AtWrite(number, before) }); len(got) != want {
				t.Errorf("write %d, before=%v: %v", number, before, got)
			}
		}
	}
	var x Crash
	if got := x.Reply([]string{"append"}, ""); got != "append\nok" {
		t.Error(got)
	}
	x.At("before-prepare")
	_ = x.Write("prepare", func() {})
	if got := x.Reply(nil, "an answer"); got != "crashed" {
		t.Error(got)
	}
}
