package sharecoordinator

import (
	"time"
)

// every does something with each shard at an interval. What fails is logged and done at the next check.
func (c *Coordinator) every(interval time.Duration, failed string, do func(*shard) error) {
	c.checks = append(c.checks, c.cfg.Clock.Every(interval, func() time.Duration { return interval }, func() {
		for _, s := range c.shards {
			if err := do(s); err != nil {
				c.cfg.Logger.Warn(failed+"; tried again at the next check", "partition", s.partition, "error", err)
			}
		}
	}))
}

// hasStateLocked says whether the state of all share partitions is in memory, so that the log may be pruned.
func (s *shard) hasStateLocked() bool { return s.mu.loaded && !s.mu.closed && s.mu.stateLog != nil }

// writeColdSnapshots writes snapshots of share partitions that have updates, but no recent snapshot.
func (s *shard) writeColdSnapshots() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.hasStateLocked() {
		return nil
	}
	nowMs := s.c.cfg.Clock.Now().UnixMilli()
	for k, state := range s.mu.states {
		if state.updates > 0 && nowMs-state.snapshotTimestampMs >= s.c.cfg.ColdSnapshotInterval.Milliseconds() {
			if err := s.appendLocked(s.snapshotRecordLocked(k)); err != nil {
				return err
			}
		}
	}
	return nil
}

// prune deletes the records below the newest snapshots of all share partitions.
func (s *shard) prune() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.hasStateLocked() {
		return nil
	}
	needed := s.mu.stateLog.LogEndOffset()
	for _, state := range s.mu.states {
		needed = min(needed, state.snapshotOffset)
	}
	if needed > s.mu.stateLog.LogStartOffset() {
		return s.mu.stateLog.DeleteRecords(needed)
	}
	return nil
}
