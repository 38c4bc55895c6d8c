package verify

import (
	"once/compat/eos/history"
)

// world is a broker and its clients in memory, just enough to make a history that every invariant
// accepts. Mutations of it are what the checks must find.
type world struct {
	in    *Input
	now   int64
	logs  [][]history.LogRecord // as read_uncommitted with control records sees them
	seqs  map[uint32]uint32
	pids  map[string]int64
	epoch map[string]int16
}

func newWorld() *world {
	cfg := &history.Config{RunID: 7, Seed: 3, Records: 60, InParts: 2, OutParts: 2, Own: true,
		KeptGroups: 2, KeptParts: 2, KeptIDs: 2, Cleans: true, Judges: true,
		TimeoutMs: 3000}
	for _, topic := range []string{"in", "out", "audit"} {
		for p := range int32(2) {
			cfg.Logs = append(cfg.Logs, history.Log{Topic: topic, Partition: p})
		}
	}
	w := &world{in: &Input{Config: cfg, Final: &history.Final{Finished: true}}, seqs: map[uint32]uint32{},
		pids: map[string]int64{}, epoch: map[string]int16{}}
	w.logs = make([][]history.LogRecord, len(cfg.Logs))
	return w
}

func (w *world) event(e history.Event) {
	w.now += 1000
	e.TimeNs = w.now
	if e.Kind == history.KindProbe || e.Kind == history.KindOffsets {
		e.StartNs = w.now - 500
	}
	w.in.Events = append(w.in.Events, e)
}

func (w *world) append(log int32, r history.LogRecord) int64 {
	r.Log, r.Offset = log, int64(len(w.logs[log]))
	w.logs[log] = append(w.logs[log], r)
	return r.Offset
}

func (w *world) feed() {
	acks := history.Event{Kind: history.KindAcks}
	for id := range w.in.Config.Records {
		log := w.in.Config.InputLog(id)
		off := w.append(log, history.LogRecord{ProducerID: 1,
			Provenance: history.Provenance{RunID: 7, Seq: uint32(id), InPartition: -1, ID: id}})
		acks.Log, acks.Offsets, acks.Seq = append(acks.Log, log), append(acks.Offsets, off), append(acks.Seq, uint32(id))
	}
	w.event(acks)
}

// init gives a transactional id to an incarnation.
func (w *world) init(inc uint32, tid string) {
	if w.pids[tid] == 0 {
		w.pids[tid] = int64(100 + len(w.pids))
	} else {
		w.epoch[tid]++
	}
	w.event(history.Event{Kind: history.KindInitDone, Incarnation: inc, TransactionalID: tid, ProducerID: w.pids[tid],
		ProducerEpoch: w.epoch[tid]})
}

// transact copies inputs [from, to) of one input partition and ends as told.
func (w *world) transact(inc uint32, tid string, number uint32, part int32, from, to int64, outcome string,
	marker bool) {
	cfg := w.in.Config
	var values []history.Provenance
	var logs []int32
	for off := from; off < to; off++ {
		id := w.logs[part][off].ID
		for k := range cfg.Outputs(id) {
			values = append(values, history.Provenance{RunID: 7, Incarnation: inc, Txn: number, Seq: w.seqs[inc],
				Index: uint32(len(values)), InPartition: part, InOffset: off, ID: 2*id + int64(k)})
			logs = append(logs, cfg.OutputLog(id, k))
			w.seqs[inc]++
		}
	}
	w.event(history.Event{Kind: history.KindTxn, Incarnation: inc, Txn: number})
	acks := history.Event{Kind: history.KindAcks, Incarnation: inc, Txn: number}
	touched := map[int32]int64{}
	for i, v := range values {
		v.Count = uint32(len(values))
		off := w.append(logs[i], history.LogRecord{Flags: history.Transactional, ProducerID: w.pids[tid],
			ProducerEpoch: int32(w.epoch[tid]), Provenance: v})
		acks.Log, acks.Offsets, acks.Seq = append(acks.Log, logs[i]), append(acks.Offsets, off), append(acks.Seq, v.Seq)
		touched[logs[i]] = off + 1
	}
	w.event(acks)
	commit := outcome == history.Committed || outcome == history.Unknown && marker
	if outcome != "" {
		w.event(history.Event{Kind: history.KindEndCall, Incarnation: inc, Txn: number, Commit: commit})
	}
	flags := uint32(history.Transactional | history.Control)
	if commit {
		flags |= history.CommitMarker
	}
	w.epoch[tid]++
	for log := range int32(len(w.logs)) {
		if touched[log] > 0 {
			w.append(log, history.LogRecord{Flags: flags, ProducerID: w.pids[tid], ProducerEpoch: int32(w.epoch[tid])})
		}
	}
	if outcome != "" {
		w.event(history.Event{Kind: history.KindEndDone, Incarnation: inc, Txn: number, Outcome: outcome, Commit: commit})
	}
	if outcome == history.Committed {
		probe := history.Event{Kind: history.KindProbe, Incarnation: inc, Txn: number, InParts: []int32{part},
			InOffsets: []int64{to}, InNeed: []int64{to}}
		for log := range int32(len(w.logs)) {
			if need := touched[log]; need > 0 {
				probe.Log, probe.Offsets, probe.Need = append(probe.Log, log), append(probe.Offsets, int64(len(w.logs[log]))),
					append(probe.Need, need)
			}
		}
		w.event(probe)
	}
}

// finish lets two watchers read everything and takes the final reads.
func (w *world) finish() *Input {
	committed := w.committedView()
	for watcher, rc := range map[uint32]bool{8: true, 9: false} {
		for log := w.in.Config.InParts; log < int32(len(w.logs)); log++ {
			source := w.logs[log]
			if rc {
				source = committed[log]
			}
			for _, r := range source { // one record in each poll
				if r.Flags&history.Control != 0 {
					continue
				}
				lso := int64(-1)
				if rc {
					lso = int64(len(w.logs[log]))
				}
				w.event(history.Event{Kind: history.KindPoll, Incarnation: watcher, ReadCommitted: rc, Log: []int32{log},
					Offsets: []int64{r.Offset},
					Inc:     []uint32{r.Incarnation}, Seq: []uint32{r.Seq}, HighWatermark: int64(len(w.logs[log])), LastStableOffset: lso})
			}
		}
	}
	for log := range w.logs {
		w.in.Raw = append(w.in.Raw, w.logs[log]...)
		w.in.Committed = append(w.in.Committed, committed[log]...)
		w.in.Final.HighWatermarks = append(w.in.Final.HighWatermarks, int64(len(w.logs[log])))
	}
	w.in.Final.LastStableOffsets = append([]int64(nil), w.in.Final.HighWatermarks...)
	w.in.Final.GroupOffsets = append([]int64(nil), w.in.Final.HighWatermarks[:w.in.Config.InParts]...)
	m := newModel(w.in)
	w.in.Final.Verdicts = []history.Verdict{m.verdict(0), m.verdict(1)}
	return w.in
}

func (w *world) committedView() [][]history.LogRecord {
	view := make([][]history.LogRecord, len(w.logs))
	for log, records := range w.logs {
		for i, r := range records {
			if r.Flags&history.Control != 0 || r.Flags&history.Transactional != 0 && !markedCommit(records[i:], r.ProducerID) {
				continue
			}
			view[log] = append(view[log], r)
		}
	}
	return view
}

func markedCommit(rest []history.LogRecord, pid int64) bool {
	for _, r := range rest {
		if r.ProducerID == pid && r.Flags&history.Control != 0 {
			return r.Flags&history.CommitMarker != 0
		}
	}
	return false
}

// goodRun has commits, an abort that is done again, a death, and an unknown outcome that committed.
func goodRun() *world {
	w := newWorld()
	w.feed()
	ends := [2]int64{int64(len(w.logs[0])), int64(len(w.logs[1]))}
	w.event(history.Event{Kind: history.KindStart, Incarnation: 1, TransactionalID: "a"})
	w.event(history.Event{Kind: history.KindStart, Incarnation: 2, TransactionalID: "b"})
	w.event(history.Event{Kind: history.KindStart, Incarnation: 3, TransactionalID: "a"})
	w.event(history.Event{Kind: history.KindDice, Incarnation: 1, Text: history.EmptyFate})
	w.init(1, "a")
	w.init(2, "b")
	w.transact(1, "a", 1, 0, 0, 8, history.Committed, true)
	w.transact(2, "b", 1, 1, 0, 6, history.Aborted, false)
	w.transact(2, "b", 2, 1, 0, 6, history.Committed, true)
	w.transact(1, "a", 2, 0, 8, 12, "", false) // died before its end
	w.init(3, "a")
	w.transact(3, "a", 1, 0, 8, 12, history.Unknown, true)
	w.transact(3, "a", 2, 0, 12, ends[0], history.Committed, true)
	w.transact(2, "b", 3, 1, 6, ends[1], history.Committed, true)
	w.keep(4)
	w.event(history.Event{Kind: history.KindFindings,
		Findings: []history.Finding{{Code: emptyTransaction, TransactionalID: "a"}}})
	w.now += 1_600_000_000
	w.event(history.Event{Kind: history.KindTxn, Incarnation: 3, Txn: 3})
	w.now += 1_600_000_000
	w.event(history.Event{Kind: history.KindFindings,
		Findings: []history.Finding{{Code: longTransaction, TransactionalID: "a"}}})
	return w
}

// keep has a keeper go round twice, with a kill and a compaction between. One commit is not answered.
func (w *world) keep(inc uint32) {
	for round := range int64(2) {
		for group := range int64(w.in.Config.KeptGroups) {
			at := 10*round + group + 1
			w.event(history.Event{Kind: history.KindKeepCall, Incarnation: inc, From: group, To: at})
			if at != 2 {
				w.event(history.Event{Kind: history.KindKeepDone, Incarnation: inc, From: group, To: at})
			}
			w.event(history.Event{Kind: history.KindIDs, Incarnation: inc, From: group,
				ProducerIDs: []int64{500 + group}, ProducerEpochs: []int16{int16(2 * round)}})
			w.event(history.Event{Kind: history.KindOffsets, Incarnation: inc, From: group, Offsets: []int64{at}})
		}
		w.event(history.Event{Kind: history.KindCleaner, Cleaner: &history.Cleaner{
			WrittenBytes: 18 << 20, MidPass: round == 1, Topics: []history.Cleaned{
				{Topic: "__consumer_offsets", Passes: 1, LongestBytes: 6 << 20},
				{Topic: "__transaction_state", Passes: 2, LongestBytes: 6 << 20},
			}}})
	}
	for group := range int64(w.in.Config.KeptGroups) {
		w.event(history.Event{Kind: history.KindOffsets, Incarnation: inc, From: group, Offsets: []int64{11 + group}})
	}
	w.event(history.Event{Kind: history.KindKept, Incarnation: inc})
}
