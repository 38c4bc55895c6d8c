//go:build !unix

package main

import (
	"fmt"
	"io"
)

// openFilesToAll is for the container image, as is replaceBy.
func openFilesToAll() {}

// replaceBy is for the container image, which there is for Linux only.
func replaceBy(args, _ []string, stderr io.Writer) int {
	fmt.Fprintf(stderr, "broker: %s: another program can be run in the container image only\n", args[0])
	return exitFailure
}
