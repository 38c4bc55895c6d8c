package inspect

import (
	"errors"

	"once/internal/files"
	"once/log"
	"once/log/batch"
	"once/lso"
	"once/pidmanager"
	"once/topics"
)

// replay is the state of a partition, rebuilt by the same apply that the partition uses. Each batch is checked by the
// rules of an append, and snapshots are compared.
type replay struct {
	p         *partitionCheck
	producers pidmanager.Producers
	open      lso.Tracker
	epochs    map[int64]int16  // of the open transactions' data, by producer ID
	aborted   []log.AbortedTxn // found, in marker order
	aborts    map[int64]int64  // offsets of abort markers that found nothing open: producer ID by offset
	runs      map[runKey]int32 // transactions of one producer epoch that ended here
	headless  bool             // the log began earlier, and what was before is not known
	snapshots []int64          // offsets not compared yet, ascending
	indexTo   int64            // the transaction index is complete up to this offset, as the next start sees it
	index     txnIndex
}

func newReplay(p *partitionCheck) *replay {
	return &replay{p: p, epochs: map[int64]int16{}, aborts: map[int64]int64{}, runs: map[runKey]int32{}}
}

// begin loads the state before the first batch from the snapshot at the first segment's base, if the log began earlier.
func (y *replay) begin() {
	p := y.p
	first := p.segments[0].base
	for _, name := range p.names {
		// no start looks at older ones
		if offset, suffix, ok := log.ParseFileName(name); ok && suffix == log.SnapshotSuffix && offset >= first {
			y.snapshots = append(y.snapshots, offset)
		}
	}
	y.readTxnIndex()
	if first == 0 {
		return
	}
	y.headless = true
	b, err := files.ReadSmall(p.c.fs, p.c.path(p.name, log.FileName(first, log.SnapshotSuffix)))
	if err != nil {
		return
	}
	stored, err := pidmanager.DecodeSnapshot(b)
	for _, s := range stored {
		if s.LastOffset >= first || s.TxnFirstOffset >= first {
			err = errors.New("producer from the future")
		}
	}
	if err != nil || y.producers.Load(b) != nil {
		return
	}
	y.headless = false
	y.open.Reset(y.producers.Open())
	for _, t := range y.open.Open() {
		e, _ := y.producers.Get(t.ProducerID)
		y.epochs[t.ProducerID] = e.ProducerEpoch
	}
}

// isNew says whether the producer has not been seen in this partition.
func (y *replay) isNew(producerID int64) bool {
	_, known := y.producers.Get(producerID)
	return !known
}

// batch checks and applies one batch.
func (y *replay) batch(s *segmentFile, r *batchReader) {
	h := r.header
	for len(y.snapshots) > 0 && y.snapshots[0] < h.NextOffset() {
		if y.snapshots[0] > h.BaseOffset {
			y.snapshotAside(y.snapshots[0], "lies within the batch of offsets %d to %d", h.BaseOffset, h.LastOffset())
		} else {
			y.snapshot(y.snapshots[0])
		}
		y.snapshots = y.snapshots[1:]
	}
	switch {
	case y.p.broken: // nothing that follows from here could be told from the damage
	case h.IsControl():
		y.control(s, r)
	case h.HasProducer():
		y.data(s, r)
	case h.IsTransactional():
		y.p.find(Damage, s.name, r.position, "transactional batch at offset %d has no producer", h.BaseOffset)
	}
}

// data checks a batch of a producer: its epoch and sequence continue the known ones (spec: idempotence 4.3).
func (y *replay) data(s *segmentFile, r *batchReader) {
	h := r.header
	p := y.p
	before, known := y.producers.Get(h.ProducerID)
	open := known && before.TxnFirstOffset >= 0
	origin := pidmanager.Client
	if topics.IsInternal(p.topic) {
		origin = pidmanager.Coordinator
	}
	err := y.producers.Check(&h, origin, 0, false)
	if err == nil && h.IsTransactional() && open && before.ProducerEpoch != h.ProducerEpoch {
		err = pidmanager.ErrInvalidTxnState
	}
	if err != nil && !y.explained(s, h.MaxTimestampMs, &before) {
		p.find(Damage, s.name, r.position, "offset %d, producer %d epoch %d sequence %d, after epoch %d sequence %d at "+
			"offset %d: %v",
			h.BaseOffset, h.ProducerID, h.ProducerEpoch, h.BaseSequence, before.ProducerEpoch, before.LastSequence(),
			before.LastOffset(), err)
	}
	if opened, _ := y.producers.Apply(&h); opened {
		y.open.Begin(h.ProducerID, h.BaseOffset)
		y.epochs[h.ProducerID] = h.ProducerEpoch
	}
}

// explained says whether a gap is no damage: compaction removed batches, or the producer was silent for so long that it
// was forgotten.
func (y *replay) explained(s *segmentFile, nowMs int64, before *pidmanager.Producer) bool {
	if y.p.gapAt > before.LastOffset() {
		return true
	}
	return before.TxnFirstOffset < 0 &&
		max(nowMs, s.modTimeMs)-before.LastTimestampMs >= y.p.c.o.ProducerIDExpiration.Milliseconds()
}

// control handles a marker, or another control record.
func (y *replay) control(s *segmentFile, r *batchReader) {
	h, p := r.header, y.p
	if h.RecordCount == 0 {
		return // the cleaner's remains
	}
	m, isMarker, err := batch.ParseMarker(r.raw)
	switch {
	case err != nil:
		p.find(Damage, s.name, r.position, "control batch at offset %d: %v", h.BaseOffset, err)
		return
	case !isMarker:
		p.find(Note, s.name, r.position, "control record at offset %d that is no marker", h.BaseOffset)
		return
	case !h.IsTransactional(), !h.HasProducer(), h.BaseSequence != batch.NoSequence, h.LastOffsetDelta != 0,
		len(r.raw) != batch.MarkerSizeBytes && !h.HasDeleteHorizon():
		p.find(Damage, s.name, r.position, "marker at offset %d is not of the form of one: %d bytes, base sequence %d",
			h.BaseOffset, len(r.raw), h.BaseSequence)
	}
	before, _ := y.producers.Get(m.ProducerID)
	if err := y.producers.CheckMarker(m, 0); err != nil && !y.explained(s, m.TimestampMs, &before) {
		p.find(Damage, s.name, r.position, "marker %v at offset %d: %v", m.Type, h.BaseOffset, err)
	}
	first := y.producers.ApplyMarker(m)
	if first < 0 {
		if m.Type == batch.Abort {
			y.aborts[h.BaseOffset] = m.ProducerID
		}
	} else {
		lastStable, _ := y.open.End(m.ProducerID, h.BaseOffset)
		delete(y.epochs, m.ProducerID)
		if m.Type == batch.Abort {
			y.aborted = append(y.aborted, log.AbortedTxn{ProducerID: m.ProducerID, FirstOffset: first, LastOffset: h.BaseOffset,
				LastStableOffset: lastStable})
		}
		p.c.txns.ended(p, s, r.position, m, first)
	}
	if p.topic == topics.ConsumerOffsets {
		p.c.groups.marker(p, m)
	}
}

// end checks the state at the end of the log.
func (y *replay) end() {
	p := y.p
	for _, offset := range y.snapshots {
		if offset <= p.next {
			y.snapshot(offset)
		} else {
			y.snapshotAside(offset, "lies behind the end of the log at offset %d", p.next)
		}
	}
	y.snapshots = nil
	if p.broken {
		p.c.txns.unknown(p)
		return
	}
	y.compareTxnIndex()
	for _, t := range y.open.Open() {
		p.c.txns.open(p, t, y.epochs[t.ProducerID])
	}
}
