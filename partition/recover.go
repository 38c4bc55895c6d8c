package partition

import (
	"fmt"

	"once/log/batch"
)

// rebuild brings producers and open transactions up to the end of the log: the newest snapshot that
// can be used, then everything behind it, by the same apply as live appends (spec: log 8.6).
func (p *Partition) rebuild() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	from := p.log.StartOffset()
	for _, offset := range p.log.Snapshots() {
		if offset > p.log.EndOffset() || offset <= p.log.StartOffset() {
			p.log.RemoveSnapshot(offset)
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
	err := p.log.ScanHeaders(from, p.log.EndOffset(), func(h batch.Header, raw func() ([]byte, error)) error {
		if h.ProducerID > p.highestProducerID {
			p.highestProducerID = h.ProducerID
		}
		if !h.IsControl() {
			p.applyLocked(&h)
			return nil
		}
		if h.RecordCount == 0 {
			return nil // the cleaner's remains of a control batch
		}
		b, err := raw()
		if err != nil {
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

// reopenTransactionsLocked tells the tracker of the transactions that a snapshot left open.
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
