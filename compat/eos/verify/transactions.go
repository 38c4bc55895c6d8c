package verify

import (
	"slices"

	"once/compat/eos/history"
)

func checkAtomic(m *model, r *Result) {
	for i := range m.txns {
		t := &m.txns[i]
		if t.count == 0 { // nothing in any log
			if t.outcome == history.Committed && m.acked(t) {
				r.violate("%s: committed with acknowledged records, none is in a log", t)
			}
			continue
		}
		r.Checked++
		switch {
		case t.visible != 0 && t.visible != t.count:
			r.violate("%s: %d of %d records are visible", t, t.visible, t.count)
		case t.visible == 0 && t.outcome == history.Committed:
			r.violate("%s: its commit succeeded, none of %d records is visible", t, t.count)
		}
	}
}

// acked reports whether any record of t was acknowledged. Only called for transactions that left no trace.
func (m *model) acked(t *txn) bool {
	return slices.ContainsFunc(m.Events, func(e history.Event) bool {
		return e.Kind == history.KindAcks && e.Incarnation == t.incarnation && e.Txn == t.number && len(e.Offsets) > 0
	})
}

func checkExactlyOnce(m *model, r *Result) {
	outputs := make([]uint8, 2*m.Config.Records) // by output id, saturating
	for i := range m.Committed {
		rec := &m.Committed[i]
		if rec.Flags&(history.Control|history.Damaged) != 0 || m.Config.IsInput(rec.Log) {
			continue
		}
		log := m.Config.Logs[rec.Log]
		if rec.ID < 0 || rec.ID >= int64(len(outputs)) || int(rec.ID%2) >= m.Config.Outputs(rec.ID/2) {
			r.violate("%s offset %d: output %d belongs to no input", log, rec.Offset, rec.ID)
			continue
		}
		if rec.InPartition < 0 || rec.InPartition >= m.Config.InParts ||
			m.raw.at(rec.InPartition, rec.InOffset) != rec.ID/2+1 {
			r.violate("%s offset %d: output %d says it was made from in-%d offset %d, which is another record", log, rec.Offset,
				rec.ID, rec.InPartition, rec.InOffset)
		}
		if outputs[rec.ID] < 255 {
			outputs[rec.ID]++
		}
	}
	for p, offset := range m.Final.GroupOffsets {
		for at, v := range m.raw[p] {
			if v == 0 {
				continue
			}
			id := v - 1 // the feeder is incarnation 0 and numbers its records by input id
			for k := range m.Config.Outputs(id) {
				r.Checked++
				want := uint8(0)
				if int64(at) < offset {
					want = 1
				}
				if got := outputs[2*id+int64(k)]; got != want {
					r.violate("input %d at in-%d offset %d (group's offset %d): output %d is there %d times, must be %d", id, p, at,
						offset, k, got, want)
				}
			}
		}
	}
}

func checkOrder(m *model, r *Result) {
	last := make([]int64, int(m.Config.InParts)*len(m.Config.Logs)) // input offset+1 by input partition and log
	for i := range m.Committed {
		rec := &m.Committed[i]
		if rec.Flags&(history.Control|history.Damaged) != 0 || rec.InPartition < 0 || rec.InPartition >= m.Config.InParts {
			continue
		}
		r.Checked++
		at := int(rec.InPartition)*len(m.Config.Logs) + int(rec.Log)
		if rec.InOffset < last[at] {
			r.violate("%s offset %d: output of in-%d offset %d after that of %d", m.Config.Logs[rec.Log], rec.Offset,
				rec.InPartition, rec.InOffset, last[at]-1)
		}
		last[at] = rec.InOffset + 1
	}
}

// checkCommittedOffsets sweeps the observations by time: one that started after another was answered
// must not be lower.
func checkCommittedOffsets(m *model, r *Result) {
	var probes []*history.Event
	for i := range m.Events {
		if e := &m.Events[i]; e.Kind == history.KindProbe && len(e.InParts) > 0 {
			probes = append(probes, e)
		}
	}
	byStart := slices.SortedFunc(slices.Values(probes),
		func(a, b *history.Event) int { return int(a.StartNs - b.StartNs) })
	highest := make([]int64, m.Config.InParts)
	done := 0
	for _, e := range byStart {
		for ; done < len(probes) && probes[done].TimeNs < e.StartNs; done++ {
			for j, p := range probes[done].InParts {
				highest[p] = max(highest[p], probes[done].InOffsets[j])
			}
		}
		for j, p := range e.InParts {
			r.Checked++
			if e.InOffsets[j] < highest[p] {
				r.violate("in-%d: committed offset %d was seen, later %d", p, highest[p], e.InOffsets[j])
			}
		}
	}
	for p, offset := range m.Final.GroupOffsets {
		if offset < highest[p] {
			r.violate("in-%d: committed offset %d was seen, at the end %d", p, highest[p], offset)
		}
	}
}

func checkFencing(m *model, r *Result) {
	holder := map[string]uint32{}             // incarnation that last got the transactional id
	fencedAt := make([]int64, len(m.txnBase)) // by incarnation
	for i := range fencedAt {
		fencedAt[i] = never
	}
	for i := range m.Events {
		e := &m.Events[i]
		switch e.Kind {
		case history.KindInitDone:
			r.Checked++
			if was, ok := holder[e.TransactionalID]; ok && was != e.Incarnation && fencedAt[was] == never {
				fencedAt[was] = e.TimeNs
			}
			holder[e.TransactionalID] = e.Incarnation
		case history.KindTwinDone:
			r.Checked++
			fencedAt[e.Incarnation] = min(fencedAt[e.Incarnation], e.TimeNs)
		}
	}
	for i := range m.txns {
		t := &m.txns[i]
		if at := fencedAt[t.incarnation]; t.endCallNs > at && (t.visible > 0 || t.outcome == history.Committed) {
			r.violate("%s: asked to end %d ms after its transactional id was taken over, %d records are visible", t,
				(t.endCallNs-at)/1e6, t.visible)
		}
	}
}

func checkProducerIDs(m *model, r *Result) {
	type pair struct {
		id    int64
		epoch int16
	}
	owner := map[pair]string{}
	for i := range m.Events {
		e := &m.Events[i]
		if e.Kind != history.KindInitDone && e.Kind != history.KindTwinDone {
			continue
		}
		r.Checked++
		p := pair{e.ProducerID, e.ProducerEpoch}
		if was, ok := owner[p]; ok {
			r.violate("producer id %d epoch %d was given to %s, later to %s of incarnation %d", p.id, p.epoch, was, e.Kind,
				e.Incarnation)
		}
		owner[p] = e.Kind + " " + e.TransactionalID
	}
}

func checkLiveness(m *model, r *Result) {
	f := m.Final
	r.Checked++
	if !f.Finished {
		r.violate("the group did not reach the end of its input in time: %s", f.Text)
	}
	for i := range m.Events {
		if e := &m.Events[i]; e.Kind == history.KindStuck {
			r.violate("transaction %d of incarnation %d: %s; see that agent's stderr", e.Txn, e.Incarnation, e.Text)
		}
	}
	for _, t := range f.OpenTransactions {
		r.violate("transaction still open: %s", t)
	}
	for i, high := range f.HighWatermarks {
		r.Checked++
		if f.LastStableOffsets[i] != high {
			r.violate("%s: last stable offset %d, high watermark %d", m.Config.Logs[i], f.LastStableOffsets[i], high)
		}
	}
	for p, offset := range f.GroupOffsets {
		r.Checked++
		if offset != f.HighWatermarks[p] {
			r.violate("in-%d: the group's offset is %d, the log ends at %d", p, offset, f.HighWatermarks[p])
		}
	}
}

// checkVisibleAtOnce judges the probes made after a commit was answered. The stable offset may lag behind
// the transaction only while it stands at a record of another transaction that is not known to have ended.
func checkVisibleAtOnce(m *model, r *Result) {
	for i := range m.Events {
		e := &m.Events[i]
		if e.Kind != history.KindProbe {
			continue
		}
		for j, need := range e.InNeed {
			r.Checked++
			if e.InOffsets[j] < need {
				r.violate("in-%d: offset %d was committed by transaction %d of incarnation %d, OffsetFetch later says %d",
					e.InParts[j], need, e.Txn, e.Incarnation, e.InOffsets[j])
			}
		}
		for j, need := range e.Need {
			r.Checked++
			stable, log := e.Offsets[j], e.Log[j]
			if stable >= need {
				continue
			}
			v := m.raw.at(log, stable)
			if v == 0 {
				r.violate("%s: transaction %d of incarnation %d committed up to %d, the stable offset later is %d, where no "+
					"data record is", m.Config.Logs[log], e.Txn, e.Incarnation, need, stable)
			} else if t := m.txnOf(v - 1); t == nil || t.endDoneNs < e.StartNs {
				r.violate("%s: transaction %d of incarnation %d committed up to %d, the stable offset later is %d: %s, long ended",
					m.Config.Logs[log], e.Txn, e.Incarnation, need, stable, m.name(v))
			}
		}
	}
}
