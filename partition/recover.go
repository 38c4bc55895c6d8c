package partition

import (
	"fmt"

	"once/log/batch"
	"once/pidmanager"
)

// rebuild rebuilds producers and open transactions: it loads the newest usable snapshot and replays everything above
// it, by the same apply as live appends (spec: log 8 row 6). Aborted transactions with a marker below abortedTo are
// known; the others must be replayed.
func (p *Partition) rebuild(abortedTo int64) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err := p.replayLocked(abortedTo); err != nil {
		return err
	}
	if p.mu.snapshot < 0 && p.log.ReplayOffset() > 0 && abortedTo < p.log.EndOffset() {
		// Retention has deleted the snapshot from which that replay would have to begin. Now that all aborted
		// transactions are known, a newer snapshot can be used for the producers.
		return p.replayLocked(p.log.EndOffset())
	}
	return nil
}

// replayLocked replays the log from the newest snapshot that is not above limit, or from its beginning.
func (p *Partition) replayLocked(limit int64) error {
	// Batches still stored below the log start offset are replayed, too: their producers are still known although
	// nobody can read the records any more.
	from := p.log.ReplayOffset()
	p.mu.producers = pidmanager.Producers{}
	for _, offset := range p.log.Snapshots() {
		if offset > p.log.EndOffset() || offset < from {
			p.log.RemoveSnapshot(offset)
			continue
		}
		if offset > limit {
			continue
		}
		data, err := p.log.ReadSnapshot(offset)
		if err == nil {
			err = p.mu.producers.Load(data)
		}
		if err != nil {
			p.opts.Logger.Warn("producer snapshot is left out", "partition", p.id.String(), "offset", offset, "error", err)
			p.log.RemoveSnapshot(offset)
			continue
		}
		from, p.mu.snapshot = offset, offset
		break
	}
	p.reopenTransactionsLocked()
	p.noteProducersLocked()
	err := p.log.ReplayHeaders(from, p.log.EndOffset(), func(h batch.Header, raw func() ([]byte, error)) error {
		if h.ProducerID > p.highestProducerID {
			p.highestProducerID = h.ProducerID
		}
		if !h.IsControl() {
			p.applyLocked(&h)
			return nil
		}
		b, err := raw()
		if err != nil || h.RecordCount == 0 { // the cleaner's remains of a control batch
			return err
		}
		m, isMarker, err := batch.ParseMarker(b)
		if err != nil {
			return fmt.Errorf("control batch at offset %d: %w", h.BaseOffset, err)
		}
		if !isMarker {
			return nil
		}
		return p.applyMarkerLocked(m, h.BaseOffset)
	})
	return err
}

// reopenTransactionsLocked adds the open transactions of a snapshot to the tracker.
func (p *Partition) reopenTransactionsLocked() {
	p.mu.open.Reset(p.mu.producers.Open())
}

func (p *Partition) noteProducersLocked() {
	p.mu.producers.All(func(id int64, _ producer) { p.highestProducerID = max(p.highestProducerID, id) })
}

// snapshotAtRoll is called by the log, under the partition's lock, when a new segment begins.
func (p *Partition) snapshotAtRoll(newBaseOffset int64) []byte {
	p.mu.snapshot = newBaseOffset
	return p.mu.producers.Snapshot()
}
