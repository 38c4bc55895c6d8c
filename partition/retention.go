package partition

import (
	"fmt"
	"slices"

	"once/log"
)

// Retention says which segments go by themselves. The zero value keeps all.
type Retention struct {
	Delete         bool  // cleanup.policy contains delete; without it the limits do not count
	RetentionMs    int64 // retention.ms, -1 for ever
	RetentionBytes int64 // retention.bytes, -1 for all
}

// Deleted is what retention took away.
type Deleted struct {
	Segments  int
	SizeBytes int64
}

// ApplyRetention deletes the segments that are due by size or time, oldest first, and those below the log
// start offset, whatever the policy (spec: log 9). The segment being written is due like any other: a
// new one is begun first. Open transactions protect nothing; the last stable offset never lies below
// the log start offset. Producers stay known. While the partition is being compacted nothing is done.
func (p *Partition) ApplyRetention(nowMs int64) (Deleted, error) {
	if p.view.Load().logEnd == 0 || !p.tidying.TryLock() {
		return Deleted{}, nil
	}
	defer p.tidying.Unlock()
	if p.ending.Load() || p.view.Load().offline {
		return Deleted{}, nil
	}
	if err := p.log.FinishCleaning(p.exclusively); err != nil {
		return Deleted{}, fmt.Errorf("retention of %s: %w", p.id, err)
	}
	c := p.config.Load().Retention
	rules := log.Retention{NowMs: nowMs, RetentionMs: c.RetentionMs, RetentionBytes: c.RetentionBytes, HighWatermark: p.HighWatermark()}
	if !c.Delete {
		rules.RetentionMs, rules.RetentionBytes = -1, -1
	}
	deleted, err := p.deleteSegments()
	if err == nil {
		err = p.expire(rules)
	}
	if err == nil {
		var more Deleted
		more, err = p.deleteSegments()
		deleted = Deleted{deleted.Segments + more.Segments, deleted.SizeBytes + more.SizeBytes}
	}
	if err != nil {
		err = fmt.Errorf("retention of %s: %w", p.id, err)
	}
	return deleted, err
}

// DeleteSegments deletes the segments below the log start offset. While the partition is being compacted nothing is
// done: the next ApplyRetention does it.
func (p *Partition) DeleteSegments() (Deleted, error) {
	if !p.tidying.TryLock() {
		return Deleted{}, nil
	}
	defer p.tidying.Unlock()
	if p.ending.Load() || p.view.Load().offline {
		return Deleted{}, nil
	}
	deleted, err := p.deleteSegments()
	if err != nil {
		err = fmt.Errorf("deleting segments of %s: %w", p.id, err)
	}
	return deleted, err
}

// expire moves the log start offset behind everything that is due.
func (p *Partition) expire(rules log.Retention) error {
	// The first look may read indexes and takes no lock; only if it finds something is there a second.
	if due, err := p.log.Expired(rules); err != nil || due <= p.LogStartOffset() {
		return p.offlineIfDamaged(err)
	}
	p.mu.Lock()
	wake, err := p.expireLocked(rules)
	p.mu.Unlock()
	p.waiters.wake(wake)
	return err
}

func (p *Partition) expireLocked(rules log.Retention) (wakeUp, error) {
	if p.mu.offline != nil {
		return wakeUp{}, p.offlineErrorLocked()
	}
	due, err := p.log.Expired(rules)
	if err != nil || due <= p.log.StartOffset() {
		return wakeUp{}, err
	}
	if due == p.log.EndOffset() {
		if err := p.log.Roll(); err != nil {
			return wakeUp{}, p.failLocked(err)
		}
	}
	p.log.SetStartOffset(due)
	return p.publishLocked(p.view.Load().highWatermark), nil
}

// deleteSegments deletes what lies below the log start offset. What it knew about producers has to be in
// a snapshot that stays: there is one for each segment, unless it could not be written, or somebody removed or
// spoiled it. Only one that this process has read or written is known to be none of these.
func (p *Partition) deleteSegments() (Deleted, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	base := p.log.DeletableTo()
	if base == p.log.ReplayOffset() || p.mu.offline != nil {
		return Deleted{}, nil
	}
	if p.mu.snapshot < base || !slices.Contains(p.log.Snapshots(), p.mu.snapshot) {
		end := p.log.EndOffset()
		if err := p.log.WriteSnapshot(end, p.mu.producers.Snapshot()); err != nil {
			return Deleted{}, fmt.Errorf("producer snapshot: %w", err)
		}
		p.mu.snapshot = end
	}
	segments, sizeBytes := p.log.DeleteSegments()
	p.log.DropAborted()
	return Deleted{segments, sizeBytes}, nil
}

// DeleteRecords moves the log start offset up to an offset, -1 for the high watermark, and returns where
// it stands then. An offset below it changes nothing; one above the high watermark is
// ErrOffsetOutOfRange (spec: log 9). The move is durable with the next barrier.
func (p *Partition) DeleteRecords(offset int64) (logStartOffset int64, err error) {
	p.mu.Lock()
	if p.mu.offline != nil {
		defer p.mu.Unlock()
		return -1, p.offlineErrorLocked()
	}
	highWatermark := p.view.Load().highWatermark
	if offset == -1 {
		offset = highWatermark
	}
	if offset < 0 || offset > highWatermark {
		p.mu.Unlock()
		return -1, fmt.Errorf("%w: %d, high watermark %d", ErrOffsetOutOfRange, offset, highWatermark)
	}
	p.log.SetStartOffset(offset)
	wake := p.publishLocked(highWatermark)
	p.mu.Unlock()
	p.waiters.wake(wake)
	return p.LogStartOffset(), nil
}
