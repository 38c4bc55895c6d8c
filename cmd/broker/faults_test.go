package main

import (
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// A fault that is armed on the command line kills the process with a real SIGKILL. Without the flag nothing is armed,
// whatever the environment has.
func TestFaultKillsTheProcess(t *testing.T) {
	code, _, stderr := execute(t, "--ephemeral", "--listen", "127.0.0.1:0", "--admin", "", "--inject-fault",
		"group.append=error", "--inject-fault", "topic.open=kill",
		"--inject-fault", "disk.sync=kill")
	if code != -1 || !strings.Contains(stderr, "faults are armed") {
		t.Errorf("exit code %d, not that of a signal; stderr\n%s", code, stderr)
	}
	p := launch(t, t.TempDir(), func(c *exec.Cmd) {
		c.Env = append(c.Env, "ONCE_FAULTS=disk.sync=kill", "ONCE_INJECT_FAULT=disk.sync=kill",
			"KAFKA_INJECT_FAULT=disk.sync=kill")
	}, "--ephemeral", "--listen", "127.0.0.1:0", "--admin", "")
	if code, _ := p.stop(t, syscall.SIGTERM); code != exitClean ||
		strings.Contains(p.stderr.String(), "faults are armed") {
		t.Errorf("exit code %d; stderr\n%s", code, p.stderr)
	}
	if _, stdout, _ := execute(t, "--help"); strings.Contains(stdout, "inject") || strings.Contains(stdout, "boot-id") {
		t.Error("the help tells of faults")
	}
}
