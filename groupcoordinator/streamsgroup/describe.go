package streamsgroup

import (
	"cmp"
	"slices"
)

// Description is what StreamsGroupDescribe shows of a group. Lists are sorted.
type Description struct {
	State           string
	GroupEpoch      int32
	AssignmentEpoch int32
	// with the decided numbers of partitions when the group is ready; never nil for a member's group
	Topology *Topology
	Members  []MemberDescription
}

// MemberDescription is a member with its target and the offsets that it has reported.
type MemberDescription struct {
	*Member
	Target     Assignment
	Offsets    map[TaskID]int64
	EndOffsets map[TaskID]int64
}

// Describe describes the group.
func (g *Group) Describe() Description {
	d := Description{State: g.State(), GroupEpoch: g.epoch, AssignmentEpoch: g.assignmentEpoch,
		Topology: g.describeTopology()}
	for _, m := range sortedMembers(g.members) {
		v := g.volatile[m.ID]
		d.Members = append(d.Members, MemberDescription{Member: m, Target: g.targets[m.ID], Offsets: v.offsets,
			EndOffsets: v.ends})
	}
	return d
}

// describeTopology returns the topology with sorted topics, and with the decided numbers of partitions where the topics
// have been checked in this process and are right.
func (g *Group) describeTopology() *Topology {
	t := &Topology{}
	if g.topology == nil {
		return t
	}
	t.Epoch = g.topology.Epoch
	decided := func(topics []InternalTopic) []InternalTopic {
		topics = slices.Clone(topics)
		for i := range topics {
			if g.ready() && g.checked != nil {
				topics[i].Partitions = g.checked.counts[topics[i].Name]
			}
		}
		slices.SortFunc(topics, func(a, b InternalTopic) int { return cmp.Compare(a.Name, b.Name) })
		return topics
	}
	for i := range g.topology.Subtopologies {
		s := g.topology.Subtopologies[i]
		s.SourceTopics, s.RepartitionSinkTopics = slices.Sorted(slices.Values(s.SourceTopics)),
			slices.Sorted(slices.Values(s.RepartitionSinkTopics))
		s.ChangelogTopics, s.RepartitionSourceTopics = decided(s.ChangelogTopics), decided(s.RepartitionSourceTopics)
		t.Subtopologies = append(t.Subtopologies, s)
	}
	return t
}
