package main

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"

	"once/broker"
)

// initDirectory holds scripts that run once, before the broker starts on an empty data directory, as in Bitnami's
// image.
const initDirectory = "docker-entrypoint-initdb.d"

// runInitScripts runs the scripts *.sh of initDirectory in the order of their names, if the data directory has no
// cluster yet: programs as they are, all others by sh. The broker does not run meanwhile. What they print goes to the
// log.
func (c container) runInitScripts(cfg broker.Config, log io.Writer) error {
	if !c.isImage {
		return nil
	}
	if _, err := os.Stat(filepath.Join(cfg.DataDir, "meta.db")); err == nil && !cfg.Ephemeral {
		return nil
	}
	scripts, err := filepath.Glob(filepath.Join(c.root, initDirectory, "*.sh"))
	if err != nil {
		return err
	}
	for _, name := range scripts {
		info, err := os.Stat(name)
		if err != nil {
			return err
		}
		script := exec.Command("/bin/sh", name)
		if info.Mode()&0o111 != 0 {
			script = exec.Command(name)
		}
		cfg.Logger.Info("running a script before the first start", "script", name)
		script.Stdout, script.Stderr = log, log
		if err := script.Run(); err != nil {
			return fmt.Errorf("the script %s: %w", name, err)
		}
	}
	return nil
}
