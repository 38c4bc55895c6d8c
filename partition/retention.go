package partition

import (
	"fmt"
	"slices"

	"once/log"
)

// Retention holds the limits of retention. The zero value keeps everything.
type Retention struct {
	Delete         bool  // cleanup.policy contains delete; without it the limits do not count
	RetentionMs    int64 // retention.ms, -1 for ever
	RetentionBytes int64 // retention.bytes, -1 for all
}

// Deleted is the result of a deletion.
type Deleted struct {
	Segments  int
	SizeBytes int64
}

// ApplyRetention deletes the segments that are due by size or time, oldest first, and those below the log start offset,
// whatever the policy (spec: log 9). The active segment can be due, too: a new one is begun first. Open transactions
// keep no segment; the last stable offset never lies below the log start offset. Producers stay known. It does nothing
// while the partition is being compacted.
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
	rules := log.Retention{NowMs: nowMs, RetentionMs: c.RetentionMs, RetentionBytes: c.RetentionBytes,
		HighWatermark: p.HighWatermark()}
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

// DeleteSegments deletes the segments below the log start offset. It does nothing while the partition is being
// compacted: the next ApplyRetention deletes them.
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

// expire moves the log start offset above all segments that are due.
func (p *Partition) expire(rules log.Retention) error {
	// The first check takes no lock, because it may read indexes; it is repeated under the lock only if needed.
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

// deleteSegments deletes segments below the log start offset. A snapshot that stays must hold the producers of their
// batches. There is one for each segment, but it may not have been written, or be removed or damaged since. Only a
// snapshot that this process has read or written is known to be good.
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

// DeleteRecords moves the log start offset up to an offset, -1 for the high watermark, and returns the new log start
// offset. A lower offset changes nothing; one above the high watermark is ErrOffsetOutOfRange (spec: log 9). The move
// is durable with the next barrier.
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
