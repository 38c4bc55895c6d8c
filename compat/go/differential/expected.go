package main

import (
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// expected is a difference that docs/gaps.md has, with its reason.
type expected struct {
	row     string // of docs/gaps.md, how it begins
	reason  string
	matches func(e exchange) bool
	// goesOn tells that the two brokers are in the same state afterwards, so that the sequence goes on.
	goesOn bool
}

// reasonFor returns the row of docs/gaps.md that a difference is in, or "".
func reasonFor(e exchange) string {
	for _, x := range expectations {
		if x.matches(e) {
			return x.row
		}
	}
	return ""
}

// mayGoOn reports whether a difference is expected, and leaves the two brokers in the same state.
func mayGoOn(e exchange) bool {
	for _, x := range expectations {
		if x.goesOn && x.matches(e) {
			return true
		}
	}
	return false
}

// recordsOf are the records of a Produce with one batch, as the step has them.
func recordsOf(e exchange) string {
	if e.API != kmsg.Produce {
		return ""
	}
	topic := e.Fields["Topics"].([]any)[0].(fields)
	return topic["Partitions"].([]any)[0].(fields)["Records"].(string)
}

var expectations = []expected{
	{
		row:    "bytes behind a batch, producer ID without epoch",
		reason: "no client sends it",
		matches: func(e exchange) bool {
			records := recordsOf(e)
			return strings.Contains(records, "epoch=-1") && !strings.Contains(records, "producer=none") &&
				strings.Contains(e.once, "INVALID_RECORD")
		},
	},
}
