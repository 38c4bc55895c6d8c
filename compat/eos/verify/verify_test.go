package verify

import (
	"slices"
	"testing"

	"once/compat/eos/history"
)

func broken(in *Input) (names []string) {
	for _, r := range Run(in) {
		if !r.Passed() {
			names = append(names, r.Name)
		}
	}
	return names
}

func TestGoodRunPasses(t *testing.T) {
	for _, r := range Run(goodRun().finish()) {
		if !r.Passed() {
			t.Errorf("%s: %d violations of %d: %q", r.Name, r.Violations, r.Checked, r.Examples)
		}
	}
}

func TestNothingObservedIsNoPass(t *testing.T) {
	w := newWorld()
	if got := broken(w.finish()); len(got) < 10 {
		t.Errorf("an empty run breaks only %q", got)
	}
}

func TestPromiseOfThisBrokerIsOnlyReportedForOthers(t *testing.T) {
	in := goodRun().finish()
	in.Config.Own = false
	probe(in).InOffsets[0] = 0
	for _, r := range Run(in) {
		if r.Name == "C17" && (!r.Passed() || r.Violations != 1) {
			t.Errorf("passed %v with %d violations", r.Passed(), r.Violations)
		}
	}
}

// find returns the index of the first record that ok accepts.
func find(records []history.LogRecord, ok func(*history.LogRecord) bool) int {
	return slices.IndexFunc(records, func(r history.LogRecord) bool { return ok(&r) })
}

func isOutputOf(inc, txn uint32) func(*history.LogRecord) bool {
	return func(r *history.LogRecord) bool {
		return r.Flags&history.Control == 0 && r.Incarnation == inc && r.Txn == txn
	}
}

// drop removes the first record that ok accepts from the raw log and the committed read.
func drop(in *Input, ok func(*history.LogRecord) bool) {
	for _, l := range []*[]history.LogRecord{&in.Raw, &in.Committed} {
		if i := find(*l, ok); i >= 0 {
			*l = slices.Delete(*l, i, i+1)
		}
	}
}

func probe(in *Input) *history.Event { return event(in, history.KindProbe, 1, 1) }

func event(in *Input, kind string, inc, txn uint32) *history.Event {
	for i := range in.Events {
		if e := &in.Events[i]; e.Kind == kind && e.Incarnation == inc && e.Txn == txn {
			return e
		}
	}
	return nil
}

// last returns the last event of a kind.
func last(in *Input, kind string) *history.Event {
	for i := len(in.Events) - 1; ; i-- {
		if in.Events[i].Kind == kind {
			return &in.Events[i]
		}
	}
}

// polls calls fn for each poll that saw a record of the transaction.
func polls(in *Input, committed bool, fn func(e *history.Event) bool) {
	for i := range in.Events {
		e := &in.Events[i]
		if e.Kind == history.KindPoll && e.ReadCommitted == committed && fn(e) {
			return
		}
	}
}

// TestEachMutationIsCaught breaks a good run in one way at a time; the named invariants must say so.
func TestEachMutationIsCaught(t *testing.T) {
	mutations := []struct {
		name   string
		want   []string
		world  func(w *world)
		mutate func(in *Input)
	}{
		{name: "acknowledged input lost", want: []string{"C1", "C3"}, mutate: func(in *Input) {
			drop(in, func(r *history.LogRecord) bool { return r.Log == 0 && r.Offset == 3 })
		}},
		{name: "record of an answered commit lost", want: []string{"C1", "C3", "C6", "C7"},
			mutate: func(in *Input) { drop(in, isOutputOf(1, 1)) }},
		{name: "record doubled in the log", want: []string{"C2"}, mutate: func(in *Input) {
			i := find(in.Raw, isOutputOf(1, 1))
			twice := in.Raw[i]
			twice.Offset++
			in.Raw = slices.Insert(in.Raw, i+1, twice)
		}},
		{name: "input batch appended twice", want: []string{"C2", "C12"}, world: func(w *world) {
			again := w.logs[0][:2]
			w.append(0, again[0])
			w.append(0, again[1])
		}},
		{name: "committed outputs swapped", want: []string{"C8", "C12", "C1"}, mutate: func(in *Input) {
			for _, l := range [][]history.LogRecord{in.Raw, in.Committed} {
				i := find(l, func(r *history.LogRecord) bool { return r.Log == 2 && r.Txn == 1 && r.Incarnation == 1 })
				l[i].Provenance, l[i+1].Provenance = l[i+1].Provenance, l[i].Provenance
			}
		}},
		{name: "aborted record in the committed read", want: []string{"C4", "C19"}, mutate: func(in *Input) {
			r := in.Raw[find(in.Raw, isOutputOf(2, 1))]
			at := find(in.Committed, func(c *history.LogRecord) bool {
				return c.Log > r.Log || c.Log == r.Log &&
					c.Offset > r.Offset
			})
			in.Committed = slices.Insert(in.Committed, at, r)
		}},
		{name: "aborted record in a committed poll", want: []string{"C4"}, mutate: func(in *Input) {
			r := in.Raw[find(in.Raw, isOutputOf(2, 1))]
			polls(in, true, func(e *history.Event) bool {
				e.Log, e.Offsets, e.Inc, e.Seq = []int32{r.Log}, []int64{r.Offset}, []uint32{r.Incarnation}, []uint32{r.Seq}
				return true
			})
		}},
		{name: "aborted transaction gets commit markers", want: []string{"C4", "C7"}, world: func(w *world) {
			for log := range w.logs {
				for i := range w.logs[log] {
					if r := &w.logs[log][i]; r.Flags&history.Control != 0 && r.ProducerID == w.pids["b"] && r.ProducerEpoch == 1 {
						r.Flags |= history.CommitMarker
					}
				}
			}
		}},
		{name: "read before the commit was asked for", want: []string{"C5"}, mutate: func(in *Input) {
			polls(in, true, func(e *history.Event) bool {
				if e.Inc[0] != 1 {
					return false
				}
				e.TimeNs = event(in, history.KindEndCall, 1, 1).TimeNs - 1
				return true
			})
		}},
		{name: "torn transaction: one partition committed, one aborted", want: []string{"C6", "C19"}, world: func(w *world) {
			for log := range w.logs {
				for i := range w.logs[log] {
					if r := &w.logs[log][i]; r.Flags&history.Control != 0 && r.ProducerID == w.pids["a"] &&
						r.Flags&history.CommitMarker != 0 {
						r.Flags &^= history.CommitMarker
						return
					}
				}
			}
		}},
		{name: "answered commit was aborted", want: []string{"C3", "C6", "C7"}, world: func(w *world) {
			for log := range w.logs {
				for i := range w.logs[log] {
					if r := &w.logs[log][i]; r.Flags&history.Control != 0 && r.ProducerID == w.pids["a"] && r.ProducerEpoch == 1 {
						r.Flags &^= history.CommitMarker
					}
				}
			}
		}},
		{name: "group offset without outputs", want: []string{"C7"}, world: func(w *world) {
			for log := range w.logs { // an unknown commit that was aborted; its offsets were applied
				for i := range w.logs[log] {
					r := &w.logs[log][i]
					if r.Flags&history.Control != 0 && r.ProducerID == w.pids["a"] && r.ProducerEpoch == 4 {
						r.Flags &^= history.CommitMarker
					}
				}
			}
		}},
		{name: "outputs without group offset", want: []string{"C7", "C16"},
			mutate: func(in *Input) { in.Final.GroupOffsets[0] -= 5 }},
		{name: "inputs copied twice", want: []string{"C7", "C8"}, world: func(w *world) {
			w.transact(2, "b", 4, 0, 0, 4, history.Committed, true)
		}},
		{name: "offset 0 value reused after a truncation", want: []string{"C1"}, mutate: func(in *Input) {
			polls(in, false, func(e *history.Event) bool { e.Seq[0]++; return true })
		}},
		{name: "polled record vanished from the log", want: []string{"C1"}, mutate: func(in *Input) {
			polls(in, false, func(e *history.Event) bool { e.Offsets[0] += 10_000; return true })
		}},
		{name: "damaged value", want: []string{"C1"}, mutate: func(in *Input) { in.Raw[0].Flags |= history.Damaged }},
		{name: "committed offset went back", want: []string{"C9", "C17"}, mutate: func(in *Input) {
			event(in, history.KindProbe, 3, 2).InOffsets[0] = 2
		}},
		{name: "high watermark went back", want: []string{"C11"}, mutate: func(in *Input) {
			polls(in, true, func(e *history.Event) bool { e.HighWatermark += 100; return true })
		}},
		{name: "stable offset above the high watermark", want: []string{"C11"}, mutate: func(in *Input) {
			polls(in, true, func(e *history.Event) bool { e.LastStableOffset = e.HighWatermark + 1; return true })
		}},
		{name: "fenced incarnation commits", want: []string{"C13"}, world: func(w *world) {
			for i := range w.in.Events { // incarnation 3 took over before 1 committed its first
				if e := &w.in.Events[i]; e.Kind == history.KindInitDone && e.Incarnation == 3 {
					moved := *e
					w.in.Events = slices.Delete(w.in.Events, i, i+1)
					moved.TimeNs = w.in.Events[3].TimeNs + 1
					w.in.Events = slices.Insert(w.in.Events, 4, moved)
					return
				}
			}
		}},
		{name: "commit after the twin took over", want: []string{"C13"}, mutate: func(in *Input) {
			e := event(in, history.KindTxn, 3, 2)
			in.Events = append(in.Events, history.Event{Kind: history.KindTwinDone, Incarnation: 3, TimeNs: e.TimeNs,
				TransactionalID: "a", ProducerID: 100, ProducerEpoch: 77})
		}},
		{name: "producer id and epoch handed out twice", want: []string{"C14"}, mutate: func(in *Input) {
			event(in, history.KindInitDone, 2, 0).ProducerID = event(in, history.KindInitDone, 1, 0).ProducerID
		}},
		{name: "hanging transaction: marker missing at the end", want: []string{"C16", "C19"}, world: func(w *world) {
			for log := len(w.logs) - 1; log >= 0; log-- {
				if n := len(w.logs[log]); n > 0 && w.logs[log][n-1].Flags&history.Control != 0 {
					w.logs[log] = w.logs[log][:n-1]
					return
				}
			}
		}, mutate: func(in *Input) { in.Final.LastStableOffsets[5]-- }},
		{name: "transaction listed as open", want: []string{"C16"},
			mutate: func(in *Input) { in.Final.OpenTransactions = []string{"a Ongoing"} }},
		{name: "a call did not come back", want: []string{"C16"}, mutate: func(in *Input) {
			in.Events = append(in.Events, history.Event{Kind: history.KindStuck, Incarnation: 1, Txn: 1})
		}},
		{name: "group never finished", want: []string{"C16"}, mutate: func(in *Input) { in.Final.Finished = false }},
		{name: "commit answered, stable offset behind", want: []string{"C17"}, mutate: func(in *Input) {
			e := event(in, history.KindProbe, 3, 2)
			for _, r := range in.Raw { // it stands at a transaction that ended long before
				if r.Log == e.Log[0] && r.Incarnation == 1 && r.Txn == 1 {
					e.Offsets[0] = r.Offset
				}
			}
		}},
		{name: "commit answered, old offset fetched", want: []string{"C17"},
			mutate: func(in *Input) { probe(in).InOffsets[0] = 0 }},
		{name: "marker skipped between two transactions", want: []string{"C19"}, world: func(w *world) {
			for log := range w.logs {
				for i := range w.logs[log] {
					if r := &w.logs[log][i]; r.Flags&history.Control != 0 && r.ProducerID == w.pids["b"] && r.ProducerEpoch == 2 {
						w.logs[log] = slices.Delete(w.logs[log], i, i+1)
						return
					}
				}
			}
		}},
		{name: "old epoch written after a newer one", want: []string{"C19"}, mutate: func(in *Input) {
			in.Raw[find(in.Raw, isOutputOf(3, 2))].ProducerEpoch = 0
		}},
		{name: "read_committed hides a committed record", want: []string{"C19"}, mutate: func(in *Input) {
			i := find(in.Committed, isOutputOf(3, 1))
			in.Committed = slices.Delete(in.Committed, i, i+1)
		}},
		{name: "kept offset lost", want: []string{"C15"}, mutate: func(in *Input) {
			last(in, history.KindOffsets).Offsets[0] = -1
		}},
		{name: "kept offset went back", want: []string{"C15"}, mutate: func(in *Input) {
			last(in, history.KindOffsets).Offsets[0] = 2
		}},
		{name: "kept offset that nobody committed", want: []string{"C15"}, mutate: func(in *Input) {
			last(in, history.KindOffsets).Offsets[0] = 99
		}},
		{name: "group committed in part", want: []string{"C15"}, mutate: func(in *Input) {
			for i := range in.Events {
				if e := &in.Events[i]; e.Kind == history.KindOffsets && e.From == 1 { // after a commit without an answer
					e.Offsets = append(e.Offsets, -1)
					return
				}
			}
		}},
		{name: "metadata of another offset", want: []string{"C15"}, mutate: func(in *Input) {
			last(in, history.KindOffsets).Count = 1
		}},
		{name: "transactional id forgotten", want: []string{"C15"}, mutate: func(in *Input) {
			e := last(in, history.KindIDs)
			e.ProducerIDs[0], e.ProducerEpochs[0] = 777, 9
		}},
		{name: "transactional id with the producer id of another", want: []string{"C15"}, mutate: func(in *Input) {
			last(in, history.KindIDs).ProducerIDs[0] = 500
		}},
		{name: "epoch of a transactional id given out twice", want: []string{"C15"}, mutate: func(in *Input) {
			last(in, history.KindIDs).ProducerEpochs[0] = 0
		}},
		{name: "nothing could be read at the end", want: []string{"C15"}, mutate: func(in *Input) {
			last(in, history.KindKept).Kind = history.KindNote
		}},
		{name: "internal topic not compacted", want: []string{"C21"}, mutate: func(in *Input) {
			last(in, history.KindCleaner).Cleaner.Topics[1].Passes = 0
		}},
		{name: "little kept in an internal topic", want: []string{"C21"}, mutate: func(in *Input) {
			last(in, history.KindCleaner).Cleaner.Topics[0].LongestBytes = 1 << 20
		}},
		{name: "little written by the cleaner", want: []string{"C21"}, mutate: func(in *Input) {
			last(in, history.KindCleaner).Cleaner.WrittenBytes = 2 << 20
		}},
		{name: "no kill in the middle of a pass", want: []string{"C21"}, mutate: func(in *Input) {
			last(in, history.KindCleaner).Cleaner.MidPass = false
		}},
		{name: "nobody looked at the cleaner", want: []string{"C21"}, mutate: func(in *Input) {
			in.Events = slices.DeleteFunc(in.Events, func(e history.Event) bool { return e.Kind == history.KindCleaner })
		}},
		{name: "a correct copier is noticed", want: []string{"C22"}, mutate: func(in *Input) { in.Config.Correct = true }},
		{name: "something else is noticed", want: []string{"C22"}, mutate: func(in *Input) {
			last(in, history.KindFindings).Findings[0].Code = "mixed-commits"
		}},
		{name: "a short transaction is noticed as a long one", want: []string{"C22"}, mutate: func(in *Input) {
			last(in, history.KindFindings).Findings[0].TransactionalID = "b"
		}},
		{name: "a transaction is noticed as empty that was not", want: []string{"C22"}, mutate: func(in *Input) {
			event(in, history.KindDice, 1, 0).Text = "commit"
		}},
		{name: "nobody asked what was noticed", want: []string{"C22"}, mutate: func(in *Input) {
			in.Events = slices.DeleteFunc(in.Events, func(e history.Event) bool { return e.Kind == history.KindFindings })
		}},
		{name: "the broker takes a lost output for made", want: []string{"C23"}, mutate: func(in *Input) {
			drop(in, isOutputOf(3, 1))
		}},
		{name: "the broker misses a doubled output", want: []string{"C2", "C23"}, mutate: func(in *Input) {
			i := find(in.Committed, isOutputOf(1, 1))
			in.Committed = slices.Insert(in.Committed, i+1, in.Committed[i])
		}},
		{name: "the broker names another record", want: []string{"C23"}, mutate: func(in *Input) {
			in.Final.Verdicts[1].OK = false
			in.Final.Verdicts[1].Missing = []history.Placed{{ID: "1"}}
		}},
		{name: "the broker gave no verdict", want: []string{"C23"}, mutate: func(in *Input) { in.Final.Verdicts = nil }},
		{name: "transaction's record without the transactional bit", want: []string{"C19"}, mutate: func(in *Input) {
			in.Raw[find(in.Raw, isOutputOf(1, 1))].Flags = 0
		}},
	}
	covered := map[string]bool{}
	for _, m := range mutations {
		t.Run(m.name, func(t *testing.T) {
			w := goodRun()
			if m.world != nil {
				m.world(w)
			}
			in := w.finish()
			if m.mutate != nil {
				m.mutate(in)
			}
			got := broken(in)
			for _, want := range m.want {
				covered[want] = true
				if !slices.Contains(got, want) {
					t.Errorf("%s held; broken: %q", want, got)
				}
			}
		})
	}
	for _, name := range Names() {
		if !covered[name] {
			t.Errorf("no mutation breaks %s", name)
		}
	}
}
