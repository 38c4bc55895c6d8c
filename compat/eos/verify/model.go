package verify

import (
	"fmt"
	"math"

	"once/compat/eos/history"
)

// never is later than any event.
const never = math.MaxInt64

// txn is what is known of one transaction of a copier.
type txn struct {
	incarnation uint32
	number      uint32
	begun       bool
	beginNs     int64
	endCallNs   int64 // never if it was not asked to end
	endDoneNs   int64 // never if the outcome was not answered
	outcome     string
	count       uint32 // records, as its records say; 0 if none was read
	visible     uint32 // records in the final committed read
}

func (t *txn) String() string {
	return fmt.Sprintf("transaction %d of incarnation %d (%s)", t.number, t.incarnation, t.outcome)
}

// model indexes a run by dense numbers: an attempt is one record of one writer (incarnation and
// sequence), a transaction one of one incarnation. Immutable once built.
type model struct {
	*Input
	attemptBase []int64 // by incarnation; one more at the end
	txnBase     []int64
	txns        []txn
	attemptTxn  []int32 // by attempt: index in txns, −1 outside of transactions or not in any log
	raw         places  // final logs by offset
	committed   places
}

// places is, for each log, offset → attempt+1; 0 is a hole (or a control record).
type places [][]int64

func (p places) at(log int32, offset int64) int64 {
	if int(log) >= len(p) || offset < 0 || offset >= int64(len(p[log])) {
		return 0
	}
	return p[log][offset]
}

func (p places) set(log int32, offset, value int64) {
	for int64(len(p[log])) <= offset {
		p[log] = append(p[log], 0)
	}
	p[log][offset] = value
}

func newModel(in *Input) *model {
	m := &model{Input: in}
	m.size()
	m.raw, m.committed = make(places, len(in.Config.Logs)), make(places, len(in.Config.Logs))
	m.attemptTxn = make([]int32, m.attemptBase[len(m.attemptBase)-1])
	for i := range m.attemptTxn {
		m.attemptTxn[i] = -1
	}
	for i := range m.txns {
		m.txns[i].endCallNs, m.txns[i].endDoneNs = never, never
	}
	for inc := 0; inc < len(m.txnBase)-1; inc++ {
		for t := m.txnBase[inc]; t < m.txnBase[inc+1]; t++ {
			m.txns[t].incarnation, m.txns[t].number = uint32(inc), uint32(t-m.txnBase[inc])
		}
	}
	m.readEvents()
	m.readLogs()
	return m
}

// size makes room for every number that occurs.
func (m *model) size() {
	var seqs, txns []int64 // by incarnation: one above the highest
	note := func(inc, seq, txn uint32) {
		for len(seqs) <= int(inc) {
			seqs, txns = append(seqs, 0), append(txns, 0)
		}
		seqs[inc], txns[inc] = max(seqs[inc], int64(seq)+1), max(txns[inc], int64(txn)+1)
	}
	for i := range m.Events {
		e := &m.Events[i]
		note(e.Incarnation, 0, e.Txn)
		for j, s := range e.Seq {
			if len(e.Inc) > 0 {
				note(e.Inc[j], s, 0)
			} else {
				note(e.Incarnation, s, 0)
			}
		}
	}
	for _, l := range [][]history.LogRecord{m.Raw, m.Committed} {
		for i := range l {
			if l[i].Flags&(history.Control|history.Damaged) == 0 {
				note(l[i].Incarnation, l[i].Seq, l[i].Txn)
			}
		}
	}
	m.attemptBase, m.txnBase = prefixSums(seqs), prefixSums(txns)
	m.txns = make([]txn, m.txnBase[len(m.txnBase)-1])
}

func prefixSums(counts []int64) []int64 {
	sums := make([]int64, len(counts)+1)
	for i, n := range counts {
		sums[i+1] = sums[i] + n
	}
	return sums
}

func (m *model) attempt(inc, seq uint32) int64     { return m.attemptBase[inc] + int64(seq) }
func (m *model) txnIndex(inc, number uint32) int64 { return m.txnBase[inc] + int64(number) }
func (m *model) txnOf(attempt int64) *txn {
	if t := m.attemptTxn[attempt]; t >= 0 {
		return &m.txns[t]
	}
	return nil
}

func (m *model) readEvents() {
	for i := range m.Events {
		e := &m.Events[i]
		if e.Txn == 0 {
			continue
		}
		t := &m.txns[m.txnIndex(e.Incarnation, e.Txn)]
		switch e.Kind {
		case history.KindTxn:
			t.begun, t.beginNs = true, e.TimeNs
		case history.KindEndCall:
			t.endCallNs = e.TimeNs
		case history.KindEndDone:
			t.outcome = e.Outcome
			if e.Outcome != history.Unknown {
				t.endDoneNs = e.TimeNs
			}
		}
	}
}

func (m *model) readLogs() {
	for i := range m.Raw {
		r := &m.Raw[i]
		if r.Flags&(history.Control|history.Damaged) != 0 {
			continue
		}
		a := m.attempt(r.Incarnation, r.Seq)
		m.raw.set(r.Log, r.Offset, a+1)
		m.link(r, a)
	}
	for i := range m.Committed {
		r := &m.Committed[i]
		if r.Flags&(history.Control|history.Damaged) != 0 {
			continue
		}
		a := m.attempt(r.Incarnation, r.Seq)
		m.committed.set(r.Log, r.Offset, a+1)
		m.link(r, a)
		if t := m.txnOf(a); t != nil {
			t.visible++
		}
	}
}

func (m *model) link(r *history.LogRecord, attempt int64) {
	if r.Txn == 0 {
		return
	}
	t := m.txnIndex(r.Incarnation, r.Txn)
	m.attemptTxn[attempt] = int32(t)
	m.txns[t].count = r.Count
}

// eventRecords calls fn for each record of an acks or poll event.
func (m *model) eventRecords(e *history.Event, fn func(log int32, offset, attempt int64)) {
	for j, offset := range e.Offsets {
		inc, log := e.Incarnation, e.Log[0]
		if len(e.Inc) > 0 {
			inc = e.Inc[j]
		}
		if len(e.Log) > 1 {
			log = e.Log[j]
		}
		fn(log, offset, m.attempt(inc, e.Seq[j]))
	}
}

// name describes an attempt+1 as places hold it.
func (m *model) name(value int64) string {
	if value == 0 {
		return "nothing"
	}
	a := value - 1
	inc := 0
	for inc+1 < len(m.attemptBase)-1 && m.attemptBase[inc+1] <= a {
		inc++
	}
	s := fmt.Sprintf("record %d of incarnation %d", a-m.attemptBase[inc], inc)
	if t := m.txnOf(a); t != nil {
		s += fmt.Sprintf(" in transaction %d (%s)", t.number, t.outcome)
	}
	return s
}
