package sharegroup

import (
	"maps"
	"slices"

	"once/groupcoordinator/group"
)

// Epoch returns the group epoch.
func (g *Group) Epoch() int32 { return g.epoch }

// Initialized returns the topics of the group that have share group state, in the order of their IDs.
func (g *Group) Initialized() []StateTopic { return inOrder(g.initialized) }

// WithState returns every partition that may have share group state: those to be removed with the group.
func (g *Group) WithState() []StateTopic {
	all := maps.Clone(g.initialized)
	for id, t := range g.initializing {
		if old := all[id]; old != nil {
			merged := *old
			merged.Partitions = slices.Concat(old.Partitions, t.Partitions)
			t = &merged
		}
		all[id] = t
	}
	return inOrder(all)
}

// Create decides the first records of a group that has no members.
func (g *Group) Create() group.Step {
	return group.Step{Records: []group.Record{
		&Record{Key: KeyGroup, Group: g.id, GroupEpoch: 1, MetadataHash: hashTopics(nil)},
		&Record{Key: KeyTargetMetadata, Group: g.id, AssignmentEpoch: 1},
	}}
}

// AddState decides that partitions have share group state.
func (g *Group) AddState(more []Uninitialized) group.Step {
	return group.Step{Records: []group.Record{g.stateRecord(g.withInitialized(more))}}
}

// HasState says whether a topic has share group state in the group.
func (g *Group) HasState(topicID [16]byte) bool {
	return g.initialized[topicID] != nil || g.initializing[topicID] != nil || g.deleting[topicID] != nil
}

// RemoveState decides that a topic has no share group state any more.
func (g *Group) RemoveState(topicID [16]byte) group.Step {
	initialized, initializing, deleting := maps.Clone(g.initialized), maps.Clone(g.initializing), maps.Clone(g.deleting)
	delete(initialized, topicID)
	delete(initializing, topicID)
	delete(deleting, topicID)
	return group.Step{Records: []group.Record{&Record{
		Key: KeyStatePartitions, Group: g.id, Initializing: inOrder(initializing), Initialized: inOrder(initialized),
		Deleting: inOrder(deleting),
	}}}
}

// Description is a group as ShareGroupDescribe shows it.
type Description struct {
	State                  string
	Epoch, AssignmentEpoch int32
	Members                []MemberDescription // by ID
}

// MemberDescription is a member of a Description.
type MemberDescription struct {
	MemberID, ClientID, ClientHost string
	RackID                         *string
	MemberEpoch                    int32
	Subscribed                     []string
	Assignment                     Assignment
}

// Describe returns a description.
func (g *Group) Describe() Description {
	d := Description{State: g.State(), Epoch: g.epoch, AssignmentEpoch: g.assignmentEpoch}
	for _, id := range slices.Sorted(maps.Keys(g.members)) {
		m := g.members[id]
		d.Members = append(d.Members, MemberDescription{
			MemberID: m.id, ClientID: m.clientID, ClientHost: m.clientHost, RackID: m.rackID, MemberEpoch: m.epoch,
			Subscribed: m.subscribed, Assignment: m.assigned,
		})
	}
	return d
}
