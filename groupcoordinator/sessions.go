package groupcoordinator

import (
	"errors"
	"strings"
	"time"

	"once/groupcoordinator/group"
)

// ErrNoMember: the group has no member of the ID.
var ErrNoMember = errors.New("no such member")

// EachSession implements group.Group.
func (g *classicGroup) EachSession(fn func(group.Session)) {
	for _, m := range g.members {
		fn(group.Session{MemberID: m.id, ClientID: m.clientID, Ends: m.deadline, Timeout: m.sessionTimeout,
			Waits: m.join != nil || m.sync != nil})
	}
}

// EndSession implements group.Group.
func (g *classicGroup) EndSession(memberID string, at time.Time) bool {
	m := g.byID[memberID]
	if m != nil {
		m.deadline = at
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

// heardLocked notes that a member of a group has sent a request now, in real time.
func (s *shard) heardLocked(groupID, memberID string) {
	at := s.mu.groups[groupID]
	if at == nil {
		return
	}
	if len(at.heard) > 2*at.Members()+16 { // most of them have left
		left := make(map[string]time.Time, at.Members())
		at.EachSession(func(m group.Session) {
			if when, ok := at.heard[m.MemberID]; ok {
				left[m.MemberID] = when
			}
		})
		at.heard = left
	}
	if at.heard == nil {
		at.heard = map[string]time.Time{}
	}
	if _, ok := at.heard[memberID]; !ok {
		memberID = strings.Clone(memberID)
	}
	at.heard[memberID] = s.c.cfg.RealTime.Now()
}

// eachSessionLocked calls fn for each member of a group, and says whether it lives: in real time it has sent a request
// within its session timeout, or one waits here, and its client is not silent.
func (s *shard) eachSessionLocked(at *entry, silent func(clientID string) bool, fn func(m group.Session, lives bool)) {
	now := s.c.cfg.RealTime.Now()
	at.EachSession(func(m group.Session) {
		heard, ok := at.heard[m.MemberID]
		fn(m, !silent(m.ClientID) && (m.Waits || !ok || now.Sub(heard) < m.Timeout))
	})
}

// GroupMember names a member of a group.
type GroupMember struct{ GroupID, MemberID string }

// Living returns the members of share groups that live.
func (c *Coordinator) Living(silent func(clientID string) bool) map[GroupMember]bool {
	living := map[GroupMember]bool{}
	for _, s := range c.shards {
		s.mu.Lock()
		for _, at := range s.mu.groups {
			if at.Type() == group.Share {
				s.eachSessionLocked(at, silent, func(m group.Session, lives bool) {
					if lives {
						living[GroupMember{at.ID(), m.MemberID}] = true
					}
				})
			}
		}
		s.mu.Unlock()
	}
	return living
}

// ExpireSilent lets time pass for the sessions of members that do not live, while those of others stay where they are.
// The timers that are due handle those that have ended.
func (c *Coordinator) ExpireSilent(passed time.Duration, silent func(clientID string) bool) {
	for _, s := range c.shards {
		s.mu.Lock()
		if s.usableLocked() == nil {
			s.expireSilentLocked(c.cfg.Members.Now(), passed, silent)
		}
		s.mu.Unlock()
	}
}

func (s *shard) expireSilentLocked(now time.Time, passed time.Duration, silent func(clientID string) bool) {
	for _, at := range s.mu.groups {
		ends := map[string]time.Time{}
		s.eachSessionLocked(at, silent, func(m group.Session, lives bool) {
			if !lives && !m.Ends.IsZero() {
				ends[m.MemberID] = m.Ends.Add(-min(passed, m.Ends.Sub(now)))
			}
		})
		for id, end := range ends {
			at.EndSession(id, end)
		}
		if len(ends) > 0 {
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
