package verify

import (
	"cmp"
	"slices"
	"strconv"

	"once/compat/eos/history"
)

// The codes of findings that copiers bring about on purpose.
const (
	longTransaction  = "long-transaction"
	emptyTransaction = "empty-transaction"
)

// clockSlack is how far the broker's clock and the agents' may be apart.
const clockSlack = 50_000_000 // ns

// checkFindings judges what the broker has noticed: nothing about copiers that are to be correct; about others only
// transactions that their histories show to be open for long, or empty.
func checkFindings(m *model, r *Result) {
	var emptied, slow map[string]bool // transactional IDs
	if !m.Config.Correct {
		emptied, slow = m.onPurpose()
	}
	for i := range m.Events {
		e := &m.Events[i]
		if e.Kind != history.KindFindings {
			continue
		}
		r.Checked++
		for _, f := range e.Findings {
			r.Checked++
			if f.Code == longTransaction && slow[f.TransactionalID] || f.Code == emptyTransaction && emptied[f.TransactionalID] {
				continue
			}
			r.violate("%s, %d times: %s", f.Code, f.Count, f.Sentence)
		}
	}
}

// onPurpose returns the transactional IDs that had an empty transaction, and those with one that was open for more than
// half of its timeout: from its begin to its answered end, or to the next InitProducerId.
func (m *model) onPurpose() (emptied, slow map[string]bool) {
	emptied, slow = map[string]bool{}, map[string]bool{}
	ids := map[uint32]string{} // by incarnation
	begun := map[string]int64{}
	limit := m.Config.TimeoutMs*1_000_000/2 - clockSlack
	end := func(id string, at int64) {
		if since, open := begun[id]; open && at-since >= limit {
			slow[id] = true
		}
		delete(begun, id)
	}
	for i := range m.Events {
		e := &m.Events[i]
		id := cmp.Or(e.TransactionalID, ids[e.Incarnation])
		switch e.Kind {
		case history.KindStart:
			ids[e.Incarnation] = e.TransactionalID
		case history.KindTxn:
			begun[id] = e.TimeNs
		case history.KindEndDone, history.KindInitDone, history.KindTwinDone:
			end(id, e.TimeNs)
		case history.KindDice:
			emptied[id] = emptied[id] || e.Text == history.EmptyFate
		case history.KindFindings: // some may be open now
			for id, since := range begun {
				slow[id] = slow[id] || e.TimeNs-since >= limit
			}
		}
	}
	return emptied, slow
}

// checkVerdicts compares the broker's own verdicts on the copiers with what the final committed read says.
func checkVerdicts(m *model, r *Result) {
	for k, theirs := range m.Final.Verdicts {
		ours := m.verdict(k)
		r.Checked += ours.Inputs + ours.Outputs
		if ours.Inputs != theirs.Inputs || ours.Outputs != theirs.Outputs {
			r.violate("%s: the broker counts %d inputs and %d outputs, there are %d and %d", theirs.Output, theirs.Inputs,
				theirs.Outputs, ours.Inputs, ours.Outputs)
		}
		if ours.OK != theirs.OK {
			r.violate("%s: the broker's verdict is %v, it must be %v", theirs.Output, theirs.OK, ours.OK)
		}
		for _, list := range []struct {
			what         string
			ours, theirs []history.Placed
		}{
			{"missing", ours.Missing, theirs.Missing}, {"duplicated", ours.Duplicated, theirs.Duplicated},
			{"out of order", ours.OutOfOrder, theirs.OutOfOrder}, {"of no input", ours.Unknown, theirs.Unknown},
		} {
			sortPlaced(list.ours)
			sortPlaced(list.theirs)
			if shown := list.ours[:min(len(list.ours), maxListed)]; !slices.Equal(shown, list.theirs) {
				r.violate("%s: %s are %d records for the broker, %v; there are %d, %v", theirs.Output, list.what, len(list.theirs),
					list.theirs[:min(3, len(list.theirs))], len(list.ours), list.ours[:min(3, len(list.ours))])
			}
		}
	}
}

// maxListed is how many records of a kind the broker lists, the first ones.
const maxListed = 1000

func sortPlaced(all []history.Placed) {
	slices.SortFunc(all, func(a, b history.Placed) int {
		return cmp.Or(cmp.Compare(a.Partition, b.Partition), cmp.Compare(a.Offset, b.Offset))
	})
}

// verdict judges the copiers as the broker is to do it, for the outputs number k of the inputs.
func (m *model) verdict(k int) (v history.Verdict) {
	inputs := map[int64]history.Placed{} // by input id
	made := map[int64]int{}              // outputs by input id
	first := m.Config.InParts + int32(k)*m.Config.OutParts
	for i := range m.Committed {
		rec := &m.Committed[i]
		if m.Config.IsInput(rec.Log) && isData(rec) && m.Config.Outputs(rec.ID) > k {
			inputs[rec.ID] = history.Placed{Partition: rec.Log, Offset: rec.Offset, ID: strconv.FormatInt(rec.ID, 10)}
		}
	}
	latest := make([]int64, int(m.Config.OutParts*m.Config.InParts)) // input offset+1 by output and input partition
	for i := range m.Committed {
		rec := &m.Committed[i]
		if rec.Log < first || rec.Log >= first+m.Config.OutParts || !isData(rec) {
			continue
		}
		v.Outputs++
		id := rec.ID / 2
		at := history.Placed{Partition: rec.Log - first, Offset: rec.Offset, ID: strconv.FormatInt(id, 10)}
		in, known := inputs[id]
		made[id]++
		switch {
		case !known:
			v.Unknown = append(v.Unknown, at)
		case made[id] > 1:
			v.Duplicated = append(v.Duplicated, at)
		default:
			before := &latest[at.Partition*m.Config.InParts+in.Partition]
			if in.Offset < *before {
				v.OutOfOrder = append(v.OutOfOrder, at)
			}
			*before = max(*before, in.Offset+1)
		}
	}
	for id, in := range inputs {
		if in.Offset >= m.Final.GroupOffsets[in.Partition] {
			continue
		}
		v.Inputs++
		if made[id] == 0 {
			v.Missing = append(v.Missing, in)
		}
	}
	v.OK = len(v.Missing)+len(v.Duplicated)+len(v.OutOfOrder)+len(v.Unknown) == 0
	return v
}

func isData(rec *history.LogRecord) bool { return rec.Flags&(history.Control|history.Damaged) == 0 }
