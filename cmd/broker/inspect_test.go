package main

import (
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func TestCheckAndDump(t *testing.T) {
	dir := t.TempDir()
	data := filepath.Join(dir, "data")
	p := launch(t, dir, nil, "--listen", "127.0.0.1:0", "--admin", "", "--data-dir", data)
	if code, _, stderr := execute(t, "check", data); code != exitUsage ||
		!strings.Contains(stderr, "data directory is in use") {
		t.Errorf("beside a broker: exit %d, stderr %q", code, stderr)
	}
	if code, _ := p.stop(t, syscall.SIGTERM); code != exitClean {
		t.Fatalf("exit %d\n%s", code, p.stderr)
	}
	code, stdout, stderr := execute(t, "check", data)
	if code != exitClean || !strings.HasSuffix(stdout, "\nclean damage=0 warnings=0 notes=0\n") &&
		!strings.HasSuffix(stdout, "clean damage=0 warnings=0 notes=0\n") || stderr != "" {
		t.Errorf("exit %d, stdout %q, stderr %q", code, stdout, stderr)
	}
	for what, want := range map[string]string{"meta": "topic topic=__transaction_state ", "barrier": "clean=true",
		"transactions": "", "offsets": ""} {
		if code, stdout, stderr := execute(t, "dump", what, data); code != exitClean || !strings.Contains(stdout, want) ||
			stderr != "" {
			t.Errorf("dump %s: exit %d, stdout %q, stderr %q", what, code, stdout, stderr)
		}
	}
	for _, args := range [][]string{
		{"check"}, {"check", data, data}, {"check", filepath.Join(dir, "missing")}, {"check", dir}, {"dump"},
		{"dump", "all", data}, {"dump", "meta"},
		{"dump", "segments", data}, {"dump", "segments", data, "x"}, {"dump", "segments", data, "x-0"},
		{"dump", "indexes", data, "x-0"}, {"dump", "segments", data, "x-0", "--from", "x"},
	} {
		if code, _, stderr := execute(t, args...); code != exitUsage || stderr == "" {
			t.Errorf("%q: exit %d, stderr %q", args, code, stderr)
		}
	}
	if err := os.Truncate(filepath.Join(data, "meta.db"), 5000); err != nil {
		t.Fatal(err)
	}
	code, stdout, stderr = execute(t, "check", data)
	if code != exitStorage || !strings.HasPrefix(stdout, "damage file=meta.db: ") ||
		!strings.Contains(stdout, "damaged damage=1 ") || !strings.Contains(stderr, "data directory is damaged: 1 findings") {
		t.Errorf("damaged: exit %d, stdout %q, stderr %q", code, stdout, stderr)
	}
}
