package sharecoordinator

import (
	"errors"
	"fmt"
)

// Reload drops the memory of a partition of the topic and reads its log again; requests get ErrLoading meanwhile. After
// an error the partition counts as offline. Errors: ErrClosed, and those of the state log.
func (c *Coordinator) Reload(partition int32) error {
	c.reloading.Lock()
	defer c.reloading.Unlock()
	s := c.shards[partition]
	s.drop()
	return s.loadAgain()
}

// ReloadAll does that for all partitions that are online, and returns how many share partitions have state.
func (c *Coordinator) ReloadAll() (sharePartitions int, err error) {
	c.reloading.Lock()
	defer c.reloading.Unlock()
	var online []*shard
	for _, s := range c.shards {
		if s.drop() {
			online = append(online, s)
		}
	}
	var errs []error
	for _, s := range online {
		errs = append(errs, s.loadAgain())
	}
	return len(c.Keys()), errors.Join(errs...)
}

// Unload drops the memory of a partition that is going offline, until Reload. Its share partitions get
// ErrNotCoordinator.
func (c *Coordinator) Unload(partition int32) {
	c.reloading.Lock()
	defer c.reloading.Unlock()
	s := c.shards[partition]
	s.drop()
	s.goOffline()
}

// drop drops the memory of the shard, and says whether it was online.
func (s *shard) drop() (online bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.offline {
		return false
	}
	s.mu.loaded, s.mu.states = false, nil
	s.mu.loading = make(chan struct{})
	return true
}

// goOffline leaves a shard without memory, and ends the waits for it.
func (s *shard) goOffline() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.offline = true
	s.endLoadingLocked()
}

func (s *shard) loadAgain() error {
	if err := s.load(); err != nil {
		s.goOffline()
		return fmt.Errorf("load share group state of partition %d again: %w", s.partition, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.endLoadingLocked()
	return nil
}

func (s *shard) endLoadingLocked() {
	if s.mu.loading != nil {
		close(s.mu.loading)
		s.mu.loading = nil
	}
}

// Persist carries out a change on behalf of a share partition or a group. While the state is loaded again it waits, as
// Kafka's persister tries again, so that no acknowledgement fails because of that.
func (c *Coordinator) Persist(k Key, change func() error) error {
	for {
		err := change()
		if !errors.Is(err, ErrLoading) {
			return err
		}
		s := c.shards[c.PartitionFor(k)]
		s.mu.Lock()
		loaded, loading := s.mu.loaded, s.mu.loading
		s.mu.Unlock()
		switch {
		case loading != nil:
			<-loading
		case !loaded: // for the first time
			return err
		}
	}
}
