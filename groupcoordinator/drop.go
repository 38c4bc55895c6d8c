package groupcoordinator

import (
	"fmt"
	"slices"
)

// DropMembers removes all members of all groups and keeps their offsets. It is called once, after Load, in a fork: the
// members belong to the original.
func (c *Coordinator) DropMembers() error {
	for _, s := range c.shards {
		if err := s.dropMembers(); err != nil {
			return fmt.Errorf("drop the members of groups of partition %d: %w", s.partition, err)
		}
	}
	return nil
}

func (s *shard) dropMembers() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, g := range s.mu.groups {
		if len(g.members) == 0 {
			continue
		}
		work, e := g.clone(), s.effectsLocked()
		for _, m := range slices.Clone(work.members) {
			work.drop(e, m)
		}
		work.afterRemoval(e)
		if err := s.finishLocked(g, work, e); err != nil {
			return err
		}
	}
	return nil
}
