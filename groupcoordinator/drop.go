package groupcoordinator

import "fmt"

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
	now := s.c.cfg.Members.Now()
	for _, at := range s.mu.groups {
		if err := s.carryOutLocked(at, at.DropMembers(now)); err != nil {
			return err
		}
	}
	return nil
}
