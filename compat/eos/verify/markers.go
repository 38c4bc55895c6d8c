package verify

import "once/compat/eos/history"

// openRun is the data of one producer in one log since its last marker.
type openRun struct {
	txn     int64
	records []int // indexes in Raw
}

// checkMarkers replays the raw log: markers end runs and decide, and what they decide is what
// read_committed returned. A marker without data is legal (an empty transaction, or one resent after a crash).
func checkMarkers(m *model, r *Result) {
	visible := make([]bool, len(m.Raw))
	decision := make([]int8, len(m.txns)) // 1 commit, −1 abort, by the first marker seen
	open := map[int64]*openRun{}
	epochs := map[int64]int32{}
	log := int32(-1)
	finish := func() {
		for pid, run := range open {
			r.violate("%s: data of %s (producer id %d) from offset %d is followed by no marker", m.Config.Logs[log],
				&m.txns[run.txn], pid, m.Raw[run.records[0]].Offset)
		}
		clear(open)
		clear(epochs)
	}
	for i := range m.Raw {
		rec := &m.Raw[i]
		if rec.Log != log {
			finish()
			log = rec.Log
		}
		if rec.Flags&history.Damaged != 0 {
			continue
		}
		name := m.Config.Logs[log]
		if rec.Flags&(history.Control|history.Transactional) != 0 {
			if rec.ProducerEpoch < epochs[rec.ProducerID] {
				r.violate("%s offset %d: epoch %d of producer id %d after epoch %d", name, rec.Offset, rec.ProducerEpoch,
					rec.ProducerID, epochs[rec.ProducerID])
			}
			epochs[rec.ProducerID] = rec.ProducerEpoch
		}
		switch {
		case rec.Flags&history.Control != 0:
			r.Checked++
			m.endRun(r, rec, open[rec.ProducerID], visible, decision)
			delete(open, rec.ProducerID)
		case rec.Flags&history.Transactional == 0:
			visible[i] = true
			if rec.Txn != 0 {
				r.violate("%s offset %d: a transaction's record is not marked as transactional", name, rec.Offset)
			}
		default:
			t := m.txnIndex(rec.Incarnation, rec.Txn)
			run := open[rec.ProducerID]
			if run == nil {
				run = &openRun{txn: t}
				open[rec.ProducerID] = run
			} else if run.txn != t {
				r.violate("%s offset %d: %s follows %s of the same producer id without a marker between them", name, rec.Offset,
					&m.txns[t], &m.txns[run.txn])
			}
			run.records = append(run.records, i)
		}
	}
	finish()
	m.compareVisible(r, visible)
}

// endRun applies one marker to the run it ends.
func (m *model) endRun(r *Result, marker *history.LogRecord, run *openRun, visible []bool, decision []int8) {
	if run == nil {
		return
	}
	is := int8(-1)
	if marker.Flags&history.CommitMarker != 0 {
		is = 1
	}
	if was := decision[run.txn]; was != 0 && was != is {
		r.violate("%s offset %d: %s is committed in one partition and aborted in another", m.Config.Logs[marker.Log],
			marker.Offset, &m.txns[run.txn])
	}
	decision[run.txn] = is
	for _, i := range run.records {
		visible[i] = is == 1
	}
}

// compareVisible walks the raw log and the committed read side by side.
func (m *model) compareVisible(r *Result, visible []bool) {
	next := 0
	data := func() *history.LogRecord {
		for ; next < len(m.Committed); next++ {
			if m.Committed[next].Flags&history.Control == 0 {
				return &m.Committed[next]
			}
		}
		return nil
	}
	for i := range m.Raw {
		if !visible[i] {
			continue
		}
		rec := &m.Raw[i]
		got := data()
		for got != nil && (got.Log < rec.Log || got.Log == rec.Log && got.Offset < rec.Offset) {
			r.violate("%s offset %d: in the committed read, hidden by the markers of the log", m.Config.Logs[got.Log],
				got.Offset)
			next++
			got = data()
		}
		if got == nil || got.Log != rec.Log || got.Offset != rec.Offset {
			r.violate("%s offset %d: committed by its marker, missing in the committed read", m.Config.Logs[rec.Log], rec.Offset)
			continue
		}
		next++
	}
	for got := data(); got != nil; got = data() {
		r.violate("%s offset %d: in the committed read, hidden by the markers of the log", m.Config.Logs[got.Log], got.Offset)
		next++
	}
}
