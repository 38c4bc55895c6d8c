package script

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Arg is one argument of a command. A flag has no value.
type Arg struct {
	Name   string
	Value  string
	IsFlag bool
}

// Command is one case of a script.
type Command struct {
	Name  string
	Args  []Arg    // in the order of the line
	Input []string // the lines between the command line and the dashes
	Pos   string   // file:line
	// Expected is the output in the file, for commands that show only the part of theirs that is expected.
	Expected string

	read map[string]bool // names of the arguments that were read; nil: not recorded
}

// Has tells whether an argument or a flag of this name is given.
func (c Command) Has(name string) bool { return c.index(name) >= 0 }

// String returns an argument's value, or otherwise when it is not given.
func (c Command) String(name, otherwise string) string {
	if i := c.index(name); i >= 0 {
		return c.Args[i].Value
	}
	return otherwise
}

// Int returns an argument's value as a number, or otherwise when it is not given. It fails the test
// when the value is no number.
func (c Command) Int(t testing.TB, name string, otherwise int64) int64 {
	t.Helper()
	i := c.index(name)
	if i < 0 {
		return otherwise
	}
	n, err := strconv.ParseInt(c.Args[i].Value, 10, 64)
	if err != nil {
		t.Fatalf("%s: argument %s: %v", c.Pos, name, err)
	}
	return n
}

// List returns the words of an argument in brackets; one without brackets is a list of one.
func (c Command) List(name string) []string {
	v, bracketed := strings.CutPrefix(c.String(name, ""), "[")
	if !bracketed {
		if !c.Has(name) {
			return nil
		}
		return []string{v}
	}
	return strings.Fields(strings.TrimSuffix(v, "]"))
}

// Word returns the first argument, which is a bare word, such as 10s in `advance 10s`.
func (c Command) Word(t testing.TB) string {
	t.Helper()
	if len(c.Args) == 0 || !c.Args[0].IsFlag {
		t.Fatalf("%s: %s needs a word", c.Pos, c.Name)
	}
	c.index(c.Args[0].Name)
	return c.Args[0].Name
}

// Duration returns an argument's value, which is one of Go's durations or a number of milliseconds, or otherwise when
// it is not given.
func (c Command) Duration(t testing.TB, name string, otherwise time.Duration) time.Duration {
	t.Helper()
	i := c.index(name)
	if i < 0 {
		return otherwise
	}
	return c.duration(t, c.Args[i].Value)
}

// Advance returns how far `advance 10s` moves the clock.
func (c Command) Advance(t testing.TB) time.Duration {
	t.Helper()
	return c.duration(t, c.Word(t))
}

func (c Command) duration(t testing.TB, s string) time.Duration {
	t.Helper()
	if ms, err := strconv.ParseInt(s, 10, 64); err == nil {
		return time.Duration(ms) * time.Millisecond
	}
	d, err := time.ParseDuration(s)
	if err != nil {
		t.Fatalf("%s: %v", c.Pos, err)
	}
	return d
}

// Partition is a partition as scripts name it: x-0.
type Partition struct {
	Topic string
	Index int32
}

// Partitions returns the partitions of a list.
func (c Command) Partitions(t testing.TB, name string) []Partition {
	t.Helper()
	var all []Partition
	for _, word := range c.List(name) {
		p, err := ParsePartition(word)
		if err != nil {
			t.Fatalf("%s: argument %s: %v", c.Pos, name, err)
		}
		all = append(all, p)
	}
	return all
}

// ParsePartition reads the name of a partition.
func ParsePartition(s string) (Partition, error) {
	i := strings.LastIndexByte(s, '-')
	if i < 0 {
		return Partition{}, fmt.Errorf("%q is no partition", s)
	}
	n, err := strconv.ParseInt(s[i+1:], 10, 32)
	return Partition{Topic: s[:i], Index: int32(n)}, err
}

// unread returns the names of the arguments that the command has not read.
func (c Command) unread() (names []string) {
	for _, a := range c.Args {
		if !c.read[a.Name] {
			names = append(names, a.Name)
		}
	}
	return names
}

func (c Command) index(name string) int {
	if c.read != nil {
		c.read[name] = true
	}
	return slices.IndexFunc(c.Args, func(a Arg) bool { return a.Name == name })
}

// Codes are the names of Kafka's codes for errors. The first row that matches wins.
type Codes []struct {
	Err  error
	Name string
}

// OK returns "ok", or the code of an error.
func (codes Codes) OK(err error) string {
	if err == nil {
		return "ok"
	}
	return codes.Of(err)
}

// Of returns the code of an error.
func (codes Codes) Of(err error) string {
	for _, c := range codes {
		if errors.Is(err, c.Err) {
			return c.Name
		}
	}
	return "unexpected: " + err.Error()
}
