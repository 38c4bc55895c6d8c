//go:build unix

package main

import (
	"fmt"
	"io"
	"os/exec"
	"syscall"
)

// openFilesToAll lets every user read and write the files that this process makes from now on.
func openFilesToAll() { syscall.Umask(0) }

// replaceBy replaces this process by another program, so that signals reach that one. It returns when it cannot.
func replaceBy(args, environ []string, stderr io.Writer) int {
	path, err := exec.LookPath(args[0])
	if err != nil {
		fmt.Fprintf(stderr, "broker: %s is neither a command of the broker nor a program: %v\n", args[0], err)
		return exitNotFound
	}
	err = syscall.Exec(path, args, environ)
	fmt.Fprintf(stderr, "broker: %s: %v\n", path, err)
	return exitNotExecutable
}
