package cluster

import (
	"time"

	"once/groupcoordinator"
	"once/internal/clock"
)

// MoveOptions say what goes along with a move of the cluster's clock.
type MoveOptions struct {
	ExpireMembers bool // the sessions and rebalances of groups
	ExpireLocks   bool // the record locks of share groups
}

// AdvanceClock moves the cluster's clock forward and returns what was done because of that. Members of groups that live
// are not thrown out, and keep their record locks: sessions, rebalances and locks stay where they are, unless the
// options say otherwise. A member does not live if a black hole acts on its client, or if it has sent nothing for its
// session timeout in real time, as it can while the clock is frozen.
func (c *Cluster) AdvanceClock(d time.Duration, o MoveOptions) []clock.Event {
	e := c.engine()
	if e == nil {
		return c.env.Clock.Advance(d)
	}
	var keep []*clock.Kept
	if !o.ExpireMembers {
		keep = append(keep, e.members)
	}
	if !o.ExpireLocks {
		keep = append(keep, e.locks)
	}
	return c.env.Clock.AdvanceKept(d, keep, func() {
		v, ok := c.View()
		if !ok {
			return
		}
		defer v.End()
		living := v.Groups.Living(c.rules.ActsOn)
		if !o.ExpireLocks {
			v.engine.shares.PassTime(d, func(group, member string) bool {
				return !living[groupcoordinator.GroupMember{GroupID: group, MemberID: member}]
			})
		}
		if !o.ExpireMembers {
			v.Groups.ExpireSilent(d, c.rules.ActsOn)
		}
	})
}
