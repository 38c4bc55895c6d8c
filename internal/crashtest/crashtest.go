// Package crashtest says how much of the crash tests a run does; docs/fault-tests.md lists them. The environment
// variable ONCE_CRASH decides, and no build tag: all tests are compiled, vetted and found by name in every build.
//
//	go test ./...        a few operations of each sweep, each time others; nothing that mounts, traces, stops processes
//	                     with SIGSTOP, or needs root
//	ONCE_CRASH=sample    a sample of each sweep, and all that stands apart from go test (make crash-sample)
//	ONCE_CRASH=N         every operation of N stories of each sweep, and all that stands apart (make crash)
//
// Tests only.
package crashtest

import (
	"os"
	"strconv"
	"testing"
)

const variable = "ONCE_CRASH"

// Seeds returns how many stories are to be run whole; 0 means a sample.
func Seeds(t testing.TB) int64 {
	t.Helper()
	text := os.Getenv(variable)
	if text == "" || text == "sample" {
		return 0
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if err != nil || n < 1 {
		t.Fatalf("%s=%s: it can be sample, or a number of stories", variable, text)
	}
	return n
}

// Sampled reports whether this run is to do more than go test does without being asked.
func Sampled() bool { return os.Getenv(variable) != "" }

// Stride returns how many operations of a sweep lie between two that are tried: few in go test, many in a sample, all
// where stories are run whole.
func Stride(t testing.TB, few, many int) int {
	t.Helper()
	switch {
	case Seeds(t) > 0:
		return 1
	case Sampled():
		return many
	}
	return few
}

// Apart skips a test that does not belong into go test, because of what it needs or how long it takes.
func Apart(t testing.TB, why string) {
	t.Helper()
	if !Sampled() {
		t.Skipf("%s; see docs/fault-tests.md", why)
	}
}
