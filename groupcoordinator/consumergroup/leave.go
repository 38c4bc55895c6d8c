package consumergroup

import (
	"fmt"
	"maps"
	"slices"
	"time"

	"once/groupcoordinator/group"
)

// leave decides about a heartbeat that leaves (spec: groups 17.4).
func (g *Group) leave(r *HeartbeatRequest, now time.Time) (group.Step, error) {
	m := g.members[r.MemberID]
	if r.InstanceID != nil {
		m = g.members[g.static[*r.InstanceID]]
		if err := checkStatic(m, r.MemberID, *r.InstanceID); err != nil {
			return group.Step{}, err
		}
	}
	if m == nil {
		return group.Step{}, fmt.Errorf("%w: %q", group.ErrUnknownMember, r.MemberID)
	}
	if r.MemberEpoch == epochStaticLeave {
		// Its partitions stay reserved until it is back, or its session ends.
		current := m.current
		current.MemberEpoch, current.PendingRevocation = epochStaticLeave, Owned{}
		current.Assigned = withEpoch(current.Assigned.Set, 0)
		return group.Step{Records: []group.Record{g.record(keyCurrent, m.id, current)}}, nil
	}
	return g.removeMembers([]*member{m}, now), nil
}

// removeMembers removes members, and makes the group a classic one if only members that speak the classic protocol are
// left. Nothing is assigned before the next heartbeat of a member.
func (g *Group) removeMembers(members []*member, now time.Time) group.Step {
	leaving := make(map[string]bool, len(members))
	for _, m := range members {
		leaving[m.id] = true
	}
	if step, ok := g.downgradeWithout(leaving, now); ok {
		return step
	}
	var step group.Step
	for _, m := range members {
		step.Records = append(step.Records, g.memberTombstones(m.id)...)
	}
	topics, regexes := map[string]bool{}, map[string]bool{}
	for id, m := range g.members {
		if leaving[id] {
			continue
		}
		regexes[m.meta.regex()] = true
		for _, name := range m.meta.SubscribedTopics {
			topics[name] = true
		}
	}
	for _, regex := range slices.Sorted(maps.Keys(g.regexes)) {
		if !regexes[regex] {
			step.Records = append(step.Records, g.record(keyRegex, regex, nil))
			continue
		}
		for _, name := range g.regexes[regex].Topics {
			topics[name] = true
		}
	}
	epoch := g.groupEpoch + 1
	step.Records = append(step.Records, g.record(keyGroup, "",
		GroupValue{GroupEpoch: epoch, MetadataHash: g.hashOf(topics)}))
	if len(leaving) == len(g.members) {
		step.Records = append(step.Records, g.record(keyTargetEpoch, "", TargetEpochValue{AssignmentEpoch: epoch}))
	}
	step.After = g.changedAfter(now)
	return step
}
