package tools

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// parser is the library that reads the options of one of Kafka's tools. It decides which forms of an option are taken.
type parser int

const (
	joptsimple parser = iota // whole names, -topic like --topic, values that may be left out
	argparse                 // commands with options of their own, which may be abbreviated
)

// parsed returns the arguments in the form that pflag takes: two dashes, whole names, and one argument for an option
// and its value where the value may be left out.
func (p parser) parsed(c *cobra.Command, args []string) ([]string, error) {
	if sub, _, err := c.Find(args); err == nil {
		c = sub
	}
	flags := pflag.NewFlagSet("", pflag.ContinueOnError)
	flags.AddFlagSet(c.Flags())
	flags.AddFlagSet(c.InheritedFlags())
	var parsed []string
	for i := 0; i < len(args); i++ {
		option, value, hasValue := strings.Cut(args[i], "=")
		flag, err := p.find(flags, option)
		if err != nil {
			return nil, err
		}
		if flag == nil {
			parsed = append(parsed, args[i])
			continue
		}
		word := "--" + flag.Name
		switch {
		case hasValue:
			word += "=" + value
		case i+1 == len(args) || flag.Value.Type() == "bool":
		case flag.NoOptDefVal == "":
			i++ // the value, even if it begins with a dash
			word += "=" + args[i]
		case !strings.HasPrefix(args[i+1], "-"):
			i++
			word += "=" + args[i]
		}
		parsed = append(parsed, word)
	}
	return parsed, nil
}

// find returns the flag that an argument names, or nil.
func (p parser) find(flags *pflag.FlagSet, argument string) (*pflag.Flag, error) {
	long, isLong := strings.CutPrefix(argument, "--")
	if !isLong {
		short, isShort := strings.CutPrefix(argument, "-")
		if !isShort || short == "" {
			return nil, nil
		}
		if p == joptsimple {
			return flags.Lookup(short), nil
		}
		if len(short) == 1 {
			return flags.ShorthandLookup(short), nil
		}
		return nil, nil
	}
	if flag := flags.Lookup(long); flag != nil || p == joptsimple || long == "" {
		return flag, nil
	}
	var names []string
	flags.VisitAll(func(f *pflag.Flag) {
		if strings.HasPrefix(f.Name, long) {
			names = append(names, f.Name)
		}
	})
	switch len(names) {
	case 0:
		return nil, nil
	case 1:
		return flags.Lookup(names[0]), nil
	}
	slices.Sort(names)
	return nil, say("ambiguous option: %s could match --%s", argument, strings.Join(names, ", --"))
}

// flagError returns the error for an unknown option in Kafka's words, with a remark on where the option may be found.
func (t *tool) flagError(err error) error {
	var unknown *pflag.NotExistError
	var missing *pflag.ValueRequiredError
	switch {
	case errors.As(err, &missing) && t.parser == argparse:
		return say("%s: error: argument --%s: expected one argument", t.program(), missing.GetSpecifiedName())
	case errors.As(err, &missing):
		return say("Option %s requires an argument", missing.GetSpecifiedName())
	case !errors.As(err, &unknown):
		return err
	}
	name := unknown.GetSpecifiedName()
	hint := fmt.Sprintf("kafka-%[1]s --help has the options of this one; kafka-%[1]s.sh of Apache Kafka works with this "+
		"broker, too.", t.name)
	if t.parser == joptsimple {
		return say("%s is not a recognized option\n%s", name, hint)
	}
	dashes := "--"
	if unknown.GetSpecifiedShortnames() != "" {
		dashes = "-"
	}
	return say("%s: error: unrecognized arguments: '%s%s'\n%s", t.program(), dashes, name, hint)
}

// program is what Kafka's tools with commands call themselves.
func (t *tool) program() string {
	if t.name == "transactions" {
		return "kafka-transactions.sh"
	}
	return "kafka-" + t.name
}

// given counts the flags that are set.
func given(f *pflag.FlagSet, names ...string) (n int) {
	for _, name := range names {
		if f.Changed(name) {
			n++
		}
	}
	return n
}

// required returns Kafka's error if one of the options is missing.
func required(f *pflag.FlagSet, options ...string) error {
	for _, option := range options {
		if !f.Changed(option) {
			return say("Missing required argument \"[%s]\"", option)
		}
	}
	return nil
}

// clash returns Kafka's error if an option is given together with one of others.
func clash(f *pflag.FlagSet, option string, others ...string) error {
	if !f.Changed(option) {
		return nil
	}
	for _, other := range others {
		if other != option && f.Changed(other) {
			return say("Option \"[%s]\" can't be used with option \"[%s]\"", option, other)
		}
	}
	return nil
}

// first returns the first error.
func first(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
