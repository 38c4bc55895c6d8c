// Package tools has Kafka's command-line tools under Kafka's names: kafka-topics, kafka-console-consumer and so on,
// with the common options of Apache Kafka's tools and their output.
//
// The tools are clients: they reach a broker through its port, and import nothing of this one. An option that a tool
// does not have is refused with a sentence that names Kafka's own tool.
package tools

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
)

// tool is one of Kafka's command-line tools.
type tool struct {
	name   string // without the prefix kafka-
	short  string
	parser parser
	make   func(e *env) *cobra.Command
}

func all() []tool {
	return []tool{
		{"topics", "Create, list, describe, alter and delete topics", joptsimple, topicsCommand},
		{"configs", "Describe and alter settings, quotas and SCRAM credentials", joptsimple, configsCommand},
		{"console-producer", "Produce the lines of the standard input", joptsimple, producerCommand},
		{"console-consumer", "Print the records of a topic", joptsimple, consumerCommand},
		{"console-share-consumer", "Print the records of a topic that a share group gets", joptsimple, shareConsumerCommand},
		{"groups", "List groups of all types", joptsimple, allGroupsCommand},
		{"consumer-groups", "List, describe, reset and delete consumer groups", joptsimple, consumerGroupsCommand},
		{"share-groups", "List, describe, reset and delete share groups", joptsimple, shareGroupsCommand},
		{"streams-groups", "List, describe, reset and delete streams groups", joptsimple, streamsGroupsCommand},
		{"transactions", "List, describe and abort transactions", argparse, transactionsCommand},
		{"get-offsets", "Print the offsets of partitions", joptsimple, offsetsCommand},
		{"metadata-quorum", "Describe the metadata quorum, which is one node here", argparse, quorumCommand},
		{"broker-api-versions", "Print the versions of the APIs that a broker serves", joptsimple, versionsCommand},
		{"features", "Describe and change features", argparse, featuresCommand},
		{"acls", "List, add and remove ACLs, as on a broker without authorizer", joptsimple, aclsCommand},
		{"cluster", "Print the cluster's ID and addresses, unregister a broker", argparse, clusterCommand},
		{"delete-records", "Delete records before offsets", joptsimple, deleteRecordsCommand},
		{"log-dirs", "Describe log directories", joptsimple, logDirsCommand},
		{"leader-election", "Elect leaders, which with one replica are elected", joptsimple, leaderElectionCommand},
		{"reassign-partitions", "Move partitions between brokers, of which there is one", joptsimple, reassignCommand},
		{"client-metrics", "Describe and alter subscriptions to metrics of clients", joptsimple, clientMetricsCommand},
		{"delegation-tokens", "Ask for delegation tokens, as on a broker without authentication", joptsimple,
			delegationTokensCommand},
		{"producer-perf-test", "Measure producing", argparse, producerPerfCommand},
		{"consumer-perf-test", "Measure consuming", joptsimple, consumerPerfCommand},
		{"storage", "Make cluster IDs, look up features; formatting needs nothing here", argparse, storageCommand},
	}
}

// Failure ends a tool with exit code 1. The reason has been printed.
type Failure struct{ tool string }

func (f *Failure) Error() string { return "kafka-" + f.tool + " failed" }

// errFailed is the error of a tool that has printed its message in its output, as Kafka's tool does.
var errFailed = errors.New("failed")

// message is an error in the words of Kafka's tools, which begin with a capital letter and may end with a full stop.
type message string

func (m message) Error() string { return string(m) }

func say(format string, args ...any) error { return message(fmt.Sprintf(format, args...)) }

// env is one run of a tool: its input, outputs and connection.
type env struct {
	tool           string
	stdin          io.Reader
	stdout, stderr io.Writer
	connection     connection
	args           []string
}

func (e *env) print(format string, args ...any) { fmt.Fprintf(e.stdout, format, args...) }

// fail prints a line on the standard output, where Kafka's tools print most errors.
func (e *env) fail(format string, args ...any) error {
	e.print(format+"\n", args...)
	return errFailed
}

// Find returns the tool that is meant by the name of a program: kafka-topics, with a path before it and .sh behind it.
func Find(program string) (name string, ok bool) {
	if i := strings.LastIndexAny(program, `/\`); i >= 0 {
		program = program[i+1:]
	}
	name, ok = strings.CutPrefix(strings.TrimSuffix(program, ".sh"), "kafka-")
	return name, ok && isTool(name)
}

func isTool(name string) bool {
	for _, t := range all() {
		if t.name == name {
			return true
		}
	}
	return false
}

// Commands returns a command for each tool, called topics, configs and so on, or by Kafka's name.
func Commands(stdin io.Reader) []*cobra.Command {
	var commands []*cobra.Command
	for _, t := range all() {
		commands = append(commands, &cobra.Command{
			Use: t.name, Aliases: []string{"kafka-" + t.name, "kafka-" + t.name + ".sh"}, Short: t.short,
			DisableFlagParsing: true,
			RunE: func(c *cobra.Command, args []string) error {
				return Run(c.Context(), t.name, args, stdin, c.OutOrStdout(), c.ErrOrStderr())
			},
		})
	}
	return commands
}

// Run runs a tool by its name without the prefix, until it ends or a signal interrupts it. Its error is a *Failure.
func Run(ctx context.Context, name string, args []string, stdin io.Reader, stdout, stderr io.Writer) error {
	if ctx == nil { // a command of cobra that was executed without one
		ctx = context.Background()
	}
	ctx, stop := signal.NotifyContext(ctx, os.Interrupt, syscall.SIGTERM)
	defer stop()
	for _, t := range all() {
		if t.name != name {
			continue
		}
		e := &env{tool: name, args: args, stdin: stdin, stdout: stdout, stderr: stderr}
		err := t.run(ctx, e)
		if err == nil {
			return nil
		}
		var inKafkasWords message
		switch {
		case errors.Is(err, errFailed):
		case errors.As(err, &inKafkasWords):
			fmt.Fprintln(stderr, inKafkasWords)
		default:
			fmt.Fprintf(stderr, "kafka-%s: %v\n", name, err)
		}
		return &Failure{name}
	}
	return fmt.Errorf("there is no tool kafka-%s", name)
}

// run runs the tool.
func (t *tool) run(ctx context.Context, e *env) error {
	c := t.make(e)
	c.Use, c.Short = "kafka-"+t.name, t.short
	t.prepare(e, c)
	args, err := t.parser.parsed(c, e.args)
	if err != nil {
		return err
	}
	c.SetArgs(args)
	c.SetOut(e.stdout)
	c.SetErr(e.stderr)
	return c.ExecuteContext(ctx)
}

// prepare sets what a command and those below it have in common.
func (t *tool) prepare(e *env, c *cobra.Command) {
	c.SilenceErrors, c.SilenceUsage = true, true
	c.CompletionOptions.DisableDefaultCmd = true
	c.Flags().SortFlags = false
	c.Flags().Bool("version", false, "print the version of Kafka whose tool this stands for")
	c.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return t.flagError(err) })
	if c.Args == nil {
		c.Args = func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return fmt.Errorf("unexpected argument %q; see kafka-%s --help", args[0], e.tool)
			}
			return nil
		}
	}
	if run := c.RunE; run != nil {
		c.RunE = func(c *cobra.Command, args []string) error {
			if asked, _ := c.Flags().GetBool("version"); asked {
				e.print("4.4.0 (Once)\n")
				return nil
			}
			return run(c, args)
		}
	}
	for _, sub := range c.Commands() {
		t.prepare(e, sub)
	}
}
