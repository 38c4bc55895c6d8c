package txncoordinator

import (
	"errors"
	"fmt"
)

// A coordinator loads again when a partition of its log comes to it, or a test wants it to: it refuses requests with
// ErrCoordinatorLoading, waits for the operations that are under way, replaces its table by what the log has, and
// finishes the prepared transactions. Open transactions stay open. Holds by faults stay, and so does what protects
// against late requests of older connections.

// Loaded is what has been loaded.
type Loaded struct {
	TransactionalIDs int
	Resumed          []string // the transactional IDs whose transactions were found prepared, sorted
}

// Reload drops the memory of the partition and reads its log again. After an error the partition counts as offline.
// Errors: ErrCoordinatorNotAvailable, and those of the state log.
func (c *Coordinator) Reload(partition int32) error {
	_, err := c.reload(&c.shards[partition])
	return err
}

// ReloadAll does that for all partitions that are online.
func (c *Coordinator) ReloadAll() (Loaded, error) {
	var online []*shard
	for i := range c.shards {
		if s := &c.shards[i]; !s.offline.Load() {
			online = append(online, s)
		}
	}
	resumed, err := c.reload(online...)
	loaded := Loaded{Resumed: resumed}
	c.each(func(*entry) { loaded.TransactionalIDs++ })
	return loaded, err
}

// Unload drops the memory of a partition that is going offline, until Reload. Its transactional IDs get
// ErrNotCoordinator.
func (c *Coordinator) Unload(partition int32) {
	c.reloading.Lock()
	defer c.reloading.Unlock()
	c.gate.close()
	defer c.gate.open()
	s := &c.shards[partition]
	s.offline.Store(true)
	c.schedule.forget(func(e *entry) bool { return e.shard == s })
}

// reload returns the transactional IDs whose transactions it has resumed.
func (c *Coordinator) reload(shards ...*shard) (resumed []string, err error) {
	c.reloading.Lock()
	defer c.reloading.Unlock()
	if c.phase.Load() != phaseServing {
		return nil, ErrCoordinatorNotAvailable
	}
	unfinished, err := c.readAgain(shards)
	for _, e := range unfinished {
		resumed = append(resumed, e.transactionalID())
		c.work(func() { _ = c.finishOrRetry(e, 0) }) // it has logged why
	}
	return resumed, err
}

// readAgain replaces the tables of shards while nothing else is under way, and returns the entries that owe markers.
// Those have the caller as owner.
func (c *Coordinator) readAgain(shards []*shard) (unfinished []*entry, err error) {
	c.gate.close()
	defer c.gate.open()
	again := map[*shard]bool{}
	var errs []error
	for _, s := range shards {
		if err := c.replay(s); err != nil {
			s.offline.Store(true)
			errs = append(errs, fmt.Errorf("txncoordinator: load a partition of the transaction log again: %w", err))
			continue
		}
		s.offline.Store(false)
		again[s] = true
	}
	c.schedule.forget(func(e *entry) bool { return again[e.shard] })
	now := c.cfg.Clock.Now()
	unfinished = c.entriesWhere(func(e *entry) bool { return again[e.shard] && e.resume(now) })
	return unfinished, errors.Join(errs...)
}
