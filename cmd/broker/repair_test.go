package main

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// A damaged internal partition: the start exits with 3 and one sentence that names file, position and command; the
// command says what it would do and exits with 3, does it and exits with 0, and the broker starts.
func TestRepair(t *testing.T) {
	dir := t.TempDir()
	data := filepath.Join(dir, "data")
	start := []string{"--listen", "127.0.0.1:0", "--admin", "", "--data-dir", data,
		"--set", "offsets.topic.num.partitions=1"}
	p := launch(t, dir, nil, start...)
	c := dial(t, p.listen)
	create(t, c, "orders")
	begin(t, c, "")
	for offset := range int64(10) {
		must(t, c.Commit("group", "orders", 0, offset, ""))
	}
	code, _, stderr := execute(t, "repair", data, "--yes")
	if code != exitUsage || !strings.Contains(stderr, "data directory is in use") {
		t.Errorf("beside a broker: exit %d, stderr %q", code, stderr)
	}
	if code, _ := p.stop(t, syscall.SIGTERM); code != exitClean {
		t.Fatalf("exit %d\n%s", code, p.stderr)
	}
	file := filepath.Join(data, "__consumer_offsets-0", "00000000000000000000.log")
	b, err := os.ReadFile(file)
	must(t, err)
	b[len(b)-1] ^= 1
	must(t, os.WriteFile(file, b, 0o600))

	code, _, stderr = execute(t, start...)
	last := stderr[strings.LastIndex(strings.TrimSpace(stderr), "\n")+1:]
	if code != exitStorage ||
		!strings.HasPrefix(last, "broker: storage: the broker's own state is damaged in "+file+" at byte ") ||
		!strings.HasSuffix(last, `; to see what can be saved, run "broker repair `+data+`"`+"\n") {
		t.Errorf("exit %d, stderr %q", code, stderr)
	}
	code, plan, stderr := execute(t, "repair", data)
	if code != exitStorage || !strings.Contains(plan, `group="group" committed_offsets=1`) ||
		!strings.HasSuffix(plan, "nothing has been changed, --yes does it\n") ||
		!strings.Contains(stderr, "data directory is damaged") {
		t.Errorf("exit %d, stdout %q, stderr %q", code, plan, stderr)
	}
	code, done, stderr := execute(t, "repair", data, "--partition", "__consumer_offsets-0", "--yes")
	said, _, _ := strings.Cut(plan, "would repair")
	if code != exitClean || done != said+"repaired partitions=1 segments=1\n" || stderr != "" {
		t.Errorf("exit %d, stdout %q, stderr %q", code, done, stderr)
	}
	if code, stdout, _ := execute(t, "check", data); code != exitClean {
		t.Errorf("exit %d, %s", code, stdout)
	}
	for _, args := range [][]string{
		{"repair"}, {"repair", data, data}, {"repair", dir}, {"repair", data, "--partition", "orders"},
		{"repair", data, "--no"},
	} {
		if code, _, stderr := execute(t, args...); code != exitUsage || stderr == "" {
			t.Errorf("%q: exit %d, stderr %q", args, code, stderr)
		}
	}
	p = launch(t, dir, nil, start...)
	c = dial(t, p.listen)
	if offset, err := c.Committed("group", "orders", 0); err != nil || offset != 8 { // the newest is lost
		t.Errorf("offset %d, %v", offset, err)
	}
	must(t, c.Commit("group", "orders", 0, 10, ""))
	if code, _ := p.stop(t, syscall.SIGTERM); code != exitClean {
		t.Errorf("exit %d\n%s", code, p.stderr)
	}
}
