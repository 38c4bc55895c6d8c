// Package verify judges a finished run: from the histories and the final logs it decides whether each
// invariant of exactly-once processing held (spec: reliability 4.5).
//
// Ids are dense, so the checks are single passes over arrays: about 40 bytes for each record attempt.
// It never talks to a broker, so a kept run can be judged again; anyone may call Run.
package verify

import (
	"fmt"

	"once/compat/eos/history"
)

// Input is everything known of a run.
type Input struct {
	Config    *history.Config
	Final     *history.Final
	Events    []history.Event     // by time
	Raw       []history.LogRecord // read_uncommitted with control records; by log, then offset
	Committed []history.LogRecord // read_committed; by log, then offset
}

// Result is the verdict on one invariant.
type Result struct {
	Name       string   // "C1" …
	Title      string   // what must hold
	Checked    int      // observations looked at; an invariant that looked at nothing fails
	Violations int      //
	Examples   []string // the first few violations
	ReportOnly bool     // a promise the system under test does not make, or what cannot be seen of it
}

// Passed reports whether the invariant held, or was not promised.
func (r *Result) Passed() bool { return r.ReportOnly || (r.Violations == 0 && r.Checked > 0) }

const maxExamples = 5

func (r *Result) violate(format string, args ...any) {
	r.Violations++
	if len(r.Examples) < maxExamples {
		r.Examples = append(r.Examples, fmt.Sprintf(format, args...))
	}
}

type check struct {
	name, title string
	run         func(*model, *Result)
}

// checks is the list of invariants; a check reads the model and changes nothing in it.
var checks = []check{
	{"C1", "one value for each partition and offset, in every answer and read", checkOneValue},
	{"C2", "no record twice in a log", checkNoDuplicate},
	{"C3", "everything acknowledged is there, at the acknowledged offset", checkAcknowledged},
	{"C4", "no record of an aborted transaction is read as committed", checkNoAbortedRead},
	{"C5", "no record is read as committed before its commit was asked for", checkNoEarlyRead},
	{"C6", "of a transaction all records are visible, or none", checkAtomic},
	{"C7", "each input below the group's offset has exactly its outputs, none above", checkExactlyOnce},
	{"C8", "outputs keep the order of their inputs", checkOrder},
	{"C9", "a committed offset never goes back", checkCommittedOffsets},
	{"C11", "stable offset ≤ high watermark, neither goes back", checkWatermarks},
	{"C12", "a producer's records keep their send order", checkSendOrder},
	{"C13", "nothing a fenced producer asked for later becomes visible", checkFencing},
	{"C14", "a producer id and epoch is handed out once", checkProducerIDs},
	{"C15", "offsets and producer ids that were told are there after kills and compaction", checkKept},
	{"C16", "all input is processed; no transaction stays open", checkLiveness},
	{"C17", "a commit that was answered is visible at once", checkVisibleAtOnce},
	{"C19", "each run of a producer ends in one marker, and decides what is read", checkMarkers},
	{"C21", "the internal topics were compacted between the kills, with long segments left", checkCleaned},
	{"C22", "the broker notices nothing about the copiers but what they do on purpose", checkFindings},
	{"C23", "the broker's own verdicts on the copiers are right", checkVerdicts},
}

// Run judges in. The results are in a fixed order, one for each invariant.
func Run(in *Input) []Result {
	m := newModel(in)
	results := make([]Result, len(checks))
	for i, c := range checks {
		r := &results[i]
		r.Name, r.Title = c.name, c.title
		c.run(m, r)
		if r.Checked == 0 && r.Violations == 0 {
			r.Examples = append(r.Examples, "nothing observed: the run does not show that this holds")
		}
		switch c.name {
		case "C15":
			r.ReportOnly = in.Config.KeptGroups == 0
		case "C17":
			r.ReportOnly = !in.Config.Own
		case "C21":
			r.ReportOnly = !in.Config.Cleans
		case "C22", "C23":
			r.ReportOnly = !in.Config.Judges
		}
	}
	return results
}

// Names lists the invariants.
func Names() []string {
	names := make([]string, len(checks))
	for i, c := range checks {
		names[i] = c.name
	}
	return names
}
