package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"once/broker/brokertest"
)

// The program is each of Kafka's tools, by the name that it is called by.
func TestProgramIsAToolByItsName(t *testing.T) {
	b := brokertest.Start(t, brokertest.WithMemory)
	link := filepath.Join(t.TempDir(), "kafka-topics.sh")
	if err := os.Symlink(program, link); err != nil {
		t.Skip(err) // Windows asks for a right
	}
	call := func(arguments ...string) (string, error) {
		c := exec.Command(link, arguments...)
		c.Env = append(os.Environ(), asProgram)
		output, err := c.CombinedOutput()
		return string(output), err
	}
	if output, err := call("--bootstrap-server", b.Addr(), "--create", "--topic", "orders"); err != nil ||
		output != "Created topic orders.\n" {
		t.Errorf("create: %v\n%s", err, output)
	}
	output, err := call("--bootstrap-server", b.Addr(), "--nosuch")
	if c, ok := err.(*exec.ExitError); !ok || c.ExitCode() != exitFailure ||
		!strings.HasPrefix(output, "nosuch is not a recognized option\n") {
		t.Errorf("an option that is not there: %v\n%s", err, output)
	}
}

// As a command of the program a tool says the same, and nothing is said twice.
func TestToolIsACommand(t *testing.T) {
	b := brokertest.Start(t, brokertest.WithMemory)
	if code, stdout, stderr := execute(t, "topics", "--bootstrap-server", b.Addr(), "--create", "--topic",
		"orders"); code != exitClean || stdout != "Created topic orders.\n" {
		t.Errorf("create: exit code %d\n%s%s", code, stdout, stderr)
	}
	code, stdout, stderr := execute(t, "kafka-topics", "--bootstrap-server", b.Addr(), "--nosuch")
	if code != exitFailure || stdout != "" || strings.Count(stderr, "nosuch") != 1 {
		t.Errorf("an option that is not there: exit code %d\n%s%s", code, stdout, stderr)
	}
}
