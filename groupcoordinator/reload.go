package groupcoordinator

import (
	"errors"
	"fmt"
)

// A coordinator loads again when its partition comes to it, or a test wants it to: it drops its memory and reads the
// log, as at a restart. Between the two its requests get ErrLoading. Members keep their connections: they are sent away
// with ErrNotCoordinator, or find the group as its records have it.

// Loaded counts what has been loaded.
type Loaded struct{ Groups int }

// Reload drops the memory of the partition and reads its log again. After an error the partition counts as offline.
// Errors: ErrClosed, and those of the state log.
func (c *Coordinator) Reload(partition int32) error {
	c.reloading.Lock()
	defer c.reloading.Unlock()
	s := c.shards[partition]
	s.drop()
	return s.loadAgain()
}

// ReloadAll does that for all partitions that are online, and returns what it has loaded. All of them answer with
// ErrLoading from its beginning on.
func (c *Coordinator) ReloadAll() (Loaded, error) {
	c.reloading.Lock()
	defer c.reloading.Unlock()
	var online []*shard
	for _, s := range c.shards {
		if s.drop() {
			online = append(online, s)
		}
	}
	var errs []error
	var loaded Loaded
	for _, s := range online {
		if err := s.loadAgain(); err != nil {
			errs = append(errs, err)
		}
		s.mu.Lock()
		loaded.Groups += len(s.mu.groups)
		s.mu.Unlock()
	}
	return loaded, errors.Join(errs...)
}

// Unload drops the memory of a partition that is going offline, until Reload. Its groups get ErrNotCoordinator.
func (c *Coordinator) Unload(partition int32) {
	c.reloading.Lock()
	defer c.reloading.Unlock()
	s := c.shards[partition]
	s.drop()
	s.mu.Lock()
	s.mu.offline = true
	s.mu.Unlock()
}

// drop drops the memory of the shard and answers parked requests. It says whether the partition was online.
func (s *shard) drop() (online bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	online = !s.mu.offline
	if s.mu.closed || !s.mu.loaded {
		return online
	}
	s.answerParkedLocked(ErrNotCoordinator)
	s.keepGenerationsLocked()
	s.stopTimersLocked()
	s.mu.loaded = false
	s.mu.groups, s.mu.offsets, s.mu.timers = nil, offsetStore{}, nil
	return online
}

func (s *shard) loadAgain() error {
	err := s.load()
	if err == nil {
		return nil
	}
	s.mu.Lock()
	s.mu.offline = true
	s.mu.Unlock()
	return fmt.Errorf("load groups of partition %d again: %w", s.partition, err)
}

// givenGeneration is the generation that a classic group has given out last, which need not be in a record. No (member,
// generation) may come twice (spec: reliability P25).
type givenGeneration struct {
	generation int32
	restored   bool
}

func (s *shard) keepGenerationsLocked() {
	for id, at := range s.mu.groups {
		g, ok := at.Group.(*classicGroup)
		if !ok || g.generation == 0 && g.given == 0 {
			continue
		}
		if s.mu.generations == nil {
			s.mu.generations = map[string]givenGeneration{}
		}
		s.mu.generations[id] = givenGeneration{max(g.generation, g.given), g.restored}
	}
}

func (s *shard) continueGenerationsLocked() {
	for id, last := range s.mu.generations {
		if _, g := s.classicLocked(id); g != nil {
			g.given, g.restored = last.generation, last.restored
		}
	}
	s.mu.generations = nil
}
