package cluster

import (
	"time"

	"once/internal/clock"
)

// AdvanceClock moves the cluster's clock forward and returns what was done because of that. Members of groups that live
// are not thrown out: the sessions and rebalances of groups stay where they are, unless expireMembers is set. A member
// on whose client a black hole acts does not live.
func (c *Cluster) AdvanceClock(d time.Duration, expireMembers bool) []clock.Event {
	if expireMembers {
		return c.env.Clock.Advance(d)
	}
	return c.env.Clock.AdvanceKept(d, func() {
		if v, ok := c.View(); ok {
			defer v.End()
			v.Groups.ExpireSilent(d, c.rules.ActsOn)
		}
	})
}
