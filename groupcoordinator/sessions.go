package groupcoordinator

import (
	"errors"
	"time"
)

// ErrNoMember: the group has no member of the ID.
var ErrNoMember = errors.New("no such member")

// EachSession implements group.Group.
func (g *classicGroup) EachSession(fn func(memberID, clientID string, ends time.Time)) {
	for _, m := range g.members {
		fn(m.id, m.clientID, m.deadline)
	}
}

// EndSession implements group.Group.
func (g *classicGroup) EndSession(memberID string, now time.Time) bool {
	m := g.byID[memberID]
	if m != nil {
		m.deadline = now
	}
	return m != nil
}

// ExpireMember treats a member as if its session had timed out. Errors: ErrGroupNotFound, ErrNoMember.
func (c *Coordinator) ExpireMember(groupID, memberID string) error {
	s, err := c.lockShard(groupID)
	if err != nil {
		return err
	}
	defer s.mu.Unlock()
	at := s.mu.groups[groupID]
	switch {
	case at == nil:
		return ErrGroupNotFound
	case !at.EndSession(memberID, c.cfg.Members.Now()):
		return ErrNoMember
	}
	s.rescheduleLocked(at)
	s.dueLocked()
	return nil
}

// ExpireSilent ends the sessions that are over within a time, of members whose client is silent. The timers that are
// due handle them.
func (c *Coordinator) ExpireSilent(within time.Duration, silent func(clientID string) bool) {
	for _, s := range c.shards {
		s.mu.Lock()
		if s.usableLocked() == nil {
			s.expireSilentLocked(c.cfg.Members.Now(), within, silent)
		}
		s.mu.Unlock()
	}
}

func (s *shard) expireSilentLocked(now time.Time, within time.Duration, silent func(clientID string) bool) {
	for _, at := range s.mu.groups {
		var gone []string
		at.EachSession(func(memberID, clientID string, ends time.Time) {
			if !ends.IsZero() && ends.Sub(now) <= within && silent(clientID) {
				gone = append(gone, memberID)
			}
		})
		for _, id := range gone {
			at.EndSession(id, now)
		}
		if len(gone) > 0 {
			s.rescheduleLocked(at)
		}
	}
	s.dueLocked()
}

// Rebalance makes a group assign anew, of any type. It says whether there is such a group with members.
func (c *Coordinator) Rebalance(groupID string) (bool, error) {
	s, err := c.lockShard(groupID)
	if err != nil {
		return false, err
	}
	defer s.mu.Unlock()
	at := s.mu.groups[groupID]
	if at == nil || at.Members() == 0 {
		return false, nil
	}
	return true, s.carryOutLocked(at, at.Rebalance(c.cfg.Members.Now()))
}
