package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The topics of the file and of the variables are there with the ready line; a topic of the file wins. A mistake is
// exit code 2, and nothing is started: there is no data directory.
func TestSeedOfFileAndEnvironment(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "seed.json"),
		[]byte(`[{"name": "a", "partitions": 2, "records": [{"value": "hello"}]}]`), 0o600); err != nil {
		t.Fatal(err)
	}
	with := func(environ ...string) func(*exec.Cmd) {
		return func(c *exec.Cmd) { c.Env = append(c.Env, environ...) }
	}
	p := launch(t, dir, with("ONCE_SEED=seed.json", "KAFKA_CREATE_TOPICS=a:9:1 | b:3:1:compact",
		"KAFKA_CREATE_TOPICS_SEPARATOR=|"),
		"--listen", "127.0.0.1:0", "--admin", "")
	_, stdout, _ := execute(t, "get-offsets", "--bootstrap-server", p.listen, "--exclude-internal-topics")
	if want := "a:0:1\na:1:0\nb:0:0\nb:1:0\nb:2:0\n"; stdout != want {
		t.Errorf("got\n%s\nwant\n%s", stdout, want)
	}
	if log := p.stderr.String(); strings.Contains(log, "create.topics") || strings.Contains(log, `"seed"`) {
		t.Errorf("the variables are taken for settings:\n%s", log)
	}
	p.stop(t, os.Interrupt)

	empty := t.TempDir()
	c := exec.Command(program)
	c.Dir, c.Env = empty, []string{asProgram, "KAFKA_CREATE_TOPICS=a:0:1"}
	output, _ := c.CombinedOutput()
	if c.ProcessState.ExitCode() != exitUsage || !strings.Contains(string(output),
		"KAFKA_CREATE_TOPICS a:0:1: must be a whole number from 1 to 10000") {
		t.Errorf("exit code %d\n%s", c.ProcessState.ExitCode(), output)
	}
	if left, _ := os.ReadDir(empty); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}
