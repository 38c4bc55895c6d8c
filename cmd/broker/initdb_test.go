package main

import (
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"once/broker"
)

// Scripts run in the order of their names, once: not when the data directory has a cluster. One that fails ends the
// start.
func TestInitScriptsRunBeforeTheFirstStart(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("the image is for Linux")
	}
	root, data := t.TempDir(), t.TempDir()
	scripts := filepath.Join(root, initDirectory)
	if err := os.Mkdir(scripts, 0o755); err != nil {
		t.Fatal(err)
	}
	write := func(name, text string, mode os.FileMode) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(scripts, name), []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
	write("2.sh", "echo second $((1 + 1))", 0o644)
	write("1.sh", "#!/bin/sh\necho first", 0o755)
	write("3.sql", "select", 0o644)
	c, cfg := container{isImage: true, root: root}, broker.Config{DataDir: data}
	cfg.Logger = slog.New(slog.NewTextHandler(io.Discard, nil))
	run := func(c container) (string, error) {
		var log strings.Builder
		err := c.runInitScripts(cfg, &log)
		return log.String(), err
	}
	if got, err := run(c); err != nil || got != "first\nsecond 2\n" {
		t.Errorf("%q, %v", got, err)
	}
	if got, _ := run(container{root: root}); got != "" {
		t.Errorf("outside of the image: %q", got)
	}
	write("4.sh", "exit 3", 0o644)
	if _, err := run(c); err == nil || !strings.Contains(err.Error(), "4.sh: exit status 3") {
		t.Errorf("a script that fails: %v", err)
	}
	if err := os.WriteFile(filepath.Join(data, "meta.db"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := run(c); err != nil || got != "" {
		t.Errorf("at the second start: %q, %v", got, err)
	}
}
