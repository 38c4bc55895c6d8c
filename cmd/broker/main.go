// Command broker runs Once, a message broker for clients of Apache Kafka.
//
// It turns flags, environment and a property file into a broker.Config, starts the broker, and turns
// signals and errors into a stop and an exit code. Everything else is in the packages below.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"once/cluster"
	"once/inspect"
	"once/tools"
)

// Exit codes.
const (
	exitClean   = 0
	exitFailure = 1
	exitUsage   = 2 // a flag, a setting or an address cannot be used, or there is nothing to check
	exitStorage = 3 // the data directory is damaged or in use, or the disk fails
)

// usageError is a mistake in the command line, the environment or a file that they name.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func main() {
	began := time.Now()
	if name, ok := tools.Find(os.Args[0]); ok {
		os.Exit(exitCode(tools.Run(context.Background(), name, os.Args[1:], os.Stdin, os.Stdout, os.Stderr)))
	}
	if filepath.Base(os.Args[0]) == entrypointName && !isOwnCommand(os.Args[1:], commands(os.Environ(), began)) {
		os.Exit(replaceBy(os.Args[1:], os.Environ(), os.Stderr))
	}
	os.Exit(run(os.Args[1:], os.Environ(), os.Stdout, os.Stderr, began))
}

// run executes one command line and returns the exit code.
func run(args, environ []string, stdout, stderr io.Writer, began time.Time) int {
	root := commands(environ, began)
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.Execute()
	code := exitCode(err)
	var failed *tools.Failure // the tool has printed why
	if err != nil && !errors.As(err, &failed) {
		fmt.Fprintln(stderr, "broker:", err)
	}
	if code == exitUsage {
		fmt.Fprintln(stderr, "See broker --help.")
	}
	return code
}

func exitCode(err error) int {
	var usage usageError
	switch {
	case err == nil:
		return exitClean
	case errors.Is(err, cluster.ErrStorage), errors.Is(err, inspect.ErrDamaged):
		return exitStorage
	case errors.As(err, &usage), errors.Is(err, cluster.ErrConfig), errors.Is(err, inspect.ErrInUse),
		errors.Is(err, inspect.ErrUnreadable):
		return exitUsage
	default:
		return exitFailure
	}
}

// commands returns the tree of commands; broker and broker start are the same.
func commands(environ []string, began time.Time) *cobra.Command {
	root := startCommand(environ, began)
	root.Use, root.Short = "broker", "A message broker for clients of Apache Kafka, in one process"
	start := startCommand(environ, began)
	start.Use, start.Short = "start", "Start the broker; the same as broker alone"
	root.AddCommand(start, checkCommand(), repairCommand(), dumpCommand(), healthCommand(environ), versionCommand())
	for _, t := range tools.Commands(os.Stdin) {
		t.GroupID = "kafka"
		root.AddCommand(t)
	}
	root.AddGroup(&cobra.Group{ID: "kafka", Title: "Kafka's command-line tools:"})
	root.CompletionOptions.DisableDefaultCmd = true
	root.SilenceErrors, root.SilenceUsage = true, true
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	return root
}

// noArguments refuses what is neither a flag nor a command.
func noArguments(_ *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usageError{fmt.Errorf("unknown command %q", args[0])}
	}
	return nil
}
