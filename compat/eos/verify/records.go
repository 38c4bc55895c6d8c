package verify

import "once/compat/eos/history"

func checkOneValue(m *model, r *Result) {
	seen := make(places, len(m.Config.Logs))
	for i := range m.raw {
		seen[i] = append([]int64(nil), m.raw[i]...)
	}
	observe := func(what string, log int32, offset, attempt int64) {
		r.Checked++
		switch was := seen.at(log, offset); was {
		case attempt + 1:
		case 0:
			r.violate("%s offset %d: %s saw %s, the final log has nothing there", m.Config.Logs[log], offset, what,
				m.name(attempt+1))
			seen.set(log, offset, attempt+1)
		default:
			r.violate("%s offset %d: %s saw %s, elsewhere it is %s", m.Config.Logs[log], offset, what, m.name(attempt+1),
				m.name(was))
		}
	}
	for i := range m.Raw {
		if rec := &m.Raw[i]; rec.Flags&history.Damaged != 0 {
			r.violate("%s offset %d: the value is not one that was sent", m.Config.Logs[rec.Log], rec.Offset)
		}
	}
	for i := range m.Committed {
		rec := &m.Committed[i]
		if rec.Flags&history.Damaged != 0 {
			r.violate("%s offset %d: the value is not one that was sent", m.Config.Logs[rec.Log], rec.Offset)
		} else if rec.Flags&history.Control == 0 {
			observe("the final committed read", rec.Log, rec.Offset, m.attempt(rec.Incarnation, rec.Seq))
		}
	}
	for i := range m.Events {
		switch e := &m.Events[i]; e.Kind {
		case history.KindAcks:
			m.eventRecords(e, func(log int32, offset, a int64) { observe("an acknowledgement", log, offset, a) })
		case history.KindPoll:
			m.eventRecords(e, func(log int32, offset, a int64) { observe("a poll", log, offset, a) })
		}
	}
}

func checkNoDuplicate(m *model, r *Result) {
	for _, side := range []struct {
		name    string
		records []history.LogRecord
	}{{"log", m.Raw}, {"committed read", m.Committed}} {
		seen := make([]bool, len(m.attemptTxn))
		for i := range side.records {
			rec := &side.records[i]
			if rec.Flags&(history.Control|history.Damaged) != 0 {
				continue
			}
			a := m.attempt(rec.Incarnation, rec.Seq)
			if seen[a] {
				r.violate("%s offset %d: %s a second time in the %s", m.Config.Logs[rec.Log], rec.Offset, m.name(a+1), side.name)
			}
			seen[a] = true
			r.Checked++
		}
	}
}

func checkAcknowledged(m *model, r *Result) {
	for i := range m.Events {
		e := &m.Events[i]
		if e.Kind != history.KindAcks {
			continue
		}
		must, where := m.committed, "the committed read"
		if e.Txn != 0 && m.txns[m.txnIndex(e.Incarnation, e.Txn)].outcome != history.Committed {
			must, where = m.raw, "the log"
		}
		m.eventRecords(e, func(log int32, offset, a int64) {
			r.Checked++
			if got := must.at(log, offset); got != a+1 {
				r.violate("%s offset %d: acknowledged %s, %s has %s", m.Config.Logs[log], offset, m.name(a+1), where, m.name(got))
			}
		})
	}
}

func checkNoAbortedRead(m *model, r *Result) {
	for i := range m.Committed {
		rec := &m.Committed[i]
		if rec.Txn == 0 || rec.Flags&(history.Control|history.Damaged) != 0 {
			continue
		}
		r.Checked++
		if t := &m.txns[m.txnIndex(rec.Incarnation, rec.Txn)]; t.outcome == history.Aborted {
			r.violate("%s offset %d: record of %s in the final committed read", m.Config.Logs[rec.Log], rec.Offset, t)
		}
	}
	for i := range m.Events {
		e := &m.Events[i]
		if e.Kind != history.KindPoll || !e.ReadCommitted {
			continue
		}
		m.eventRecords(e, func(log int32, offset, a int64) {
			r.Checked++
			if t := m.txnOf(a); t != nil && t.outcome == history.Aborted {
				r.violate("%s offset %d: record of %s in a committed poll", m.Config.Logs[log], offset, t)
			} else if m.committed.at(log, offset) != a+1 {
				r.violate("%s offset %d: a committed poll saw %s, the final committed read does not", m.Config.Logs[log], offset,
					m.name(a+1))
			}
		})
	}
}

func checkNoEarlyRead(m *model, r *Result) {
	for i := range m.Events {
		e := &m.Events[i]
		if e.Kind != history.KindPoll || !e.ReadCommitted {
			continue
		}
		m.eventRecords(e, func(log int32, offset, a int64) {
			t := m.txnOf(a)
			if t == nil {
				return
			}
			r.Checked++
			if e.TimeNs < t.endCallNs {
				r.violate("%s offset %d: polled as committed before %s was asked to commit", m.Config.Logs[log], offset, t)
			}
		})
	}
}

func checkSendOrder(m *model, r *Result) {
	logs := int64(len(m.Config.Logs))
	last := make([]int64, int64(len(m.attemptBase))*logs) // seq+1 by incarnation and log
	for i := range m.Raw {
		rec := &m.Raw[i]
		if rec.Flags&(history.Control|history.Damaged) != 0 {
			continue
		}
		r.Checked++
		at := int64(rec.Incarnation)*logs + int64(rec.Log)
		if int64(rec.Seq) < last[at] {
			r.violate("%s offset %d: record %d of incarnation %d after its record %d", m.Config.Logs[rec.Log], rec.Offset,
				rec.Seq, rec.Incarnation, last[at]-1)
		}
		last[at] = int64(rec.Seq) + 1
	}
}

func checkWatermarks(m *model, r *Result) {
	logs := int64(len(m.Config.Logs))
	high := make([]int64, int64(len(m.attemptBase))*logs) // by watcher and log
	stable := make([]int64, len(high))
	for i := range m.Events {
		e := &m.Events[i]
		if e.Kind != history.KindPoll {
			continue
		}
		r.Checked++
		log := m.Config.Logs[e.Log[0]]
		at := int64(e.Incarnation)*logs + int64(e.Log[0])
		if e.HighWatermark < high[at] {
			r.violate("%s: high watermark went back from %d to %d", log, high[at], e.HighWatermark)
		}
		high[at] = e.HighWatermark
		if e.LastStableOffset < 0 { // not given to read_uncommitted
			continue
		}
		if e.LastStableOffset < stable[at] {
			r.violate("%s: last stable offset went back from %d to %d", log, stable[at], e.LastStableOffset)
		}
		if e.LastStableOffset > e.HighWatermark {
			r.violate("%s: last stable offset %d above the high watermark %d", log, e.LastStableOffset, e.HighWatermark)
		}
		stable[at] = e.LastStableOffset
	}
}
