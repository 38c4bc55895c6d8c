package consumergroup

import (
	"fmt"

	"once/groupcoordinator/assignment"
	"once/groupcoordinator/group"
)

// Description is a group as ConsumerGroupDescribe shows it.
type Description struct {
	State                       string
	GroupEpoch, AssignmentEpoch int32
	Assignor                    string
	Members                     []MemberDescription // ordered by ID
}

// MemberDescription is a member of a Description. It is not to be changed.
type MemberDescription struct {
	ID              string
	Meta            MemberValue
	Epoch           int32
	Current, Target assignment.Set // the current one with partitions that the member has to give up
}

// Describe returns a description of the group.
func (g *Group) Describe() Description {
	d := Description{
		State: g.State(), GroupEpoch: g.groupEpoch, AssignmentEpoch: g.assignmentEpoch, Assignor: g.preferredAssignor(nil),
	}
	for _, id := range g.memberIDs() {
		m := g.members[id]
		d.Members = append(d.Members, MemberDescription{
			ID: id, Meta: m.meta, Epoch: m.current.MemberEpoch,
			Current: m.current.Assigned.union(m.current.PendingRevocation).Set, Target: g.targets[id],
		})
	}
	return d
}

// ValidateCommit implements group.Group (spec: groups 10, 12). An older epoch is allowed for the partitions that the
// member has had since then (KIP-1251).
func (g *Group) ValidateCommit(c group.Committer) (group.CommitCheck, error) {
	if c.Epoch < 0 && len(g.members) == 0 {
		return nil, nil
	}
	if c.Transactional && c.Epoch == -1 && c.MemberID == "" && c.InstanceID == nil {
		return nil, nil
	}
	m := g.members[c.MemberID]
	switch {
	case m == nil:
		return nil, group.ErrUnknownMember
	case !c.Transactional && !m.isClassic() && !c.KnowsMemberEpochs:
		return nil, group.ErrUnsupportedCommit
	case c.Epoch == m.current.MemberEpoch:
		return nil, nil
	case c.Epoch > m.current.MemberEpoch:
		return nil, m.staleEpoch(c.Epoch)
	}
	return func(topicID [16]byte, _ string, index int32) error {
		for _, set := range []Owned{m.current.Assigned, m.current.PendingRevocation} {
			if set.Has(topicID, index) && c.Epoch >= set.Epoch(topicID, index) {
				return nil
			}
		}
		return m.staleEpoch(c.Epoch)
	}, nil
}

func (m *member) staleEpoch(epoch int32) error {
	err := group.ErrStaleMemberEpoch
	if m.isClassic() {
		err = group.ErrIllegalGeneration
	}
	return fmt.Errorf("%w: member %q is at %d, not %d", err, m.id, m.current.MemberEpoch, epoch)
}

// ValidateFetch implements group.Group (spec: groups 11).
func (g *Group) ValidateFetch(memberID *string, memberEpoch int32) error {
	if memberID == nil && memberEpoch < 0 {
		return nil
	}
	var m *member
	if memberID != nil {
		m = g.members[*memberID]
	}
	switch {
	case m == nil:
		return group.ErrUnknownMember
	case m.current.MemberEpoch != memberEpoch:
		return m.staleEpoch(memberEpoch)
	}
	return nil
}
