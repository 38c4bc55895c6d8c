package sharegroup

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"once/durability"
	"once/groupcoordinator/group"
)

// The errors of share groups, beside those of all groups.
var (
	// ErrInvalidRequest: a field of the request cannot be.
	ErrInvalidRequest = errors.New("request is invalid")
	// ErrFencedMemberEpoch: the member's epoch is not what the group knows.
	ErrFencedMemberEpoch = errors.New("member epoch is not the group's")
)

// Heartbeat is a request of a member (spec: share-groups 3).
type Heartbeat struct {
	GroupID     string
	MemberID    string
	MemberEpoch int32 // 0 joins, LeaveEpoch leaves
	RackID      *string
	ClientID    string
	ClientHost  string
	Subscribed  []string // nil: as before
}

// LeaveEpoch is the member epoch of one that leaves.
const LeaveEpoch = -1

// Validate checks what needs no group.
func (h *Heartbeat) Validate() error {
	switch {
	case h.GroupID == "":
		return fmt.Errorf("%w: the group ID is empty", ErrInvalidRequest)
	case h.RackID != nil && *h.RackID == "":
		return fmt.Errorf("%w: the rack ID is empty", ErrInvalidRequest)
	case h.MemberEpoch == 0 && len(h.Subscribed) == 0:
		return fmt.Errorf("%w: a joining member has no topics", ErrInvalidRequest)
	case h.MemberEpoch < LeaveEpoch:
		return fmt.Errorf("%w: member epoch %d", ErrInvalidRequest, h.MemberEpoch)
	}
	return nil
}

// Answer is the answer to a Heartbeat.
type Answer struct {
	MemberID          string
	MemberEpoch       int32
	HeartbeatInterval time.Duration
	Assignment        Assignment // nil: unchanged
}

// Check says whether a heartbeat is acceptable.
func (g *Group) Check(h *Heartbeat) error {
	m := g.members[h.MemberID]
	switch {
	case m == nil && h.MemberEpoch != 0:
		return group.ErrUnknownMember
	case m == nil && len(g.members) >= g.cfg.MaxSize:
		return group.ErrGroupFull
	case m == nil || h.MemberEpoch <= 0 || h.MemberEpoch == m.epoch || h.MemberEpoch == m.previousEpoch:
		return nil
	}
	return fmt.Errorf("%w: %d, known is %d", ErrFencedMemberEpoch, h.MemberEpoch, m.epoch)
}

// changed returns the member as the heartbeat leaves it, and whether its record changes.
func (g *Group) changed(h *Heartbeat) (m member, changes, names bool) {
	old := g.members[h.MemberID]
	if old != nil {
		m = *old
	}
	m.id, m.clientID, m.clientHost = h.MemberID, h.ClientID, h.ClientHost
	if h.RackID != nil {
		m.rackID = h.RackID
	}
	if h.Subscribed != nil {
		m.subscribed = slices.Compact(slices.Sorted(slices.Values(h.Subscribed)))
	}
	names = old == nil || !slices.Equal(old.subscribed, m.subscribed)
	changes = names || old.clientID != m.clientID || old.clientHost != m.clientHost || !equalOptional(old.rackID, m.rackID)
	return m, changes, names
}

func equalOptional(a, b *string) bool { return (a == nil) == (b == nil) && (a == nil || *a == *b) }

// Uninitialized are partitions that a group needs share group state for. StartOffset is -1 in a topic that is new to
// the group. In a topic that the group knows it is 0: nothing written to a new partition may be missed.
type Uninitialized struct {
	Topic       group.Topic
	Partitions  []int32
	StartOffset int64
}

// Uninitialized returns the partitions of the members' topics, as they are after a heartbeat, that have no state yet.
func (g *Group) Uninitialized(h *Heartbeat) (all []Uninitialized) {
	if h.Subscribed == nil && g.hashedVersion == g.cfg.Topics.Version() {
		return nil
	}
	m, _, _ := g.changed(h)
	for _, t := range g.topicsOf(g.members, &m) {
		known := g.initialized[t.ID]
		u := Uninitialized{Topic: t, StartOffset: -1}
		var initialized []int32 // in order
		if known != nil {
			u.StartOffset, initialized = 0, known.Partitions
		}
		for p := range t.Partitions {
			if _, done := slices.BinarySearch(initialized, p); !done {
				u.Partitions = append(u.Partitions, p)
			}
		}
		if len(u.Partitions) > 0 {
			all = append(all, u)
		}
	}
	return all
}

// Heartbeat decides a heartbeat that Check has accepted, and that does not leave. initialized are the partitions whose
// state has been made for it. The answer is filled in by Step.After.
func (g *Group) Heartbeat(h *Heartbeat, initialized []Uninitialized, now time.Time, answer *Answer) group.Step {
	version := g.cfg.Topics.Version()
	settings := g.cfg.Settings(g.id)
	m, changes, names := g.changed(h)
	var step group.Step
	add := func(r *Record) {
		r.Group = g.id
		step.Records = append(step.Records, r)
	}
	if changes {
		add(&Record{Key: KeyMember, MemberID: m.id, RackID: m.rackID, ClientID: m.clientID, ClientHost: m.clientHost,
			Subscribed: m.subscribed})
	}
	state := g.initialized
	if len(initialized) > 0 {
		state = g.withInitialized(initialized)
		add(g.stateRecord(state))
	}
	epoch := max(g.epoch, 1)
	if names {
		epoch++
	}
	topics := g.topicsOf(g.members, &m)
	hash := hashTopics(topics)
	if len(initialized) > 0 || hash != g.metadataHash && !names {
		epoch++
	}
	if epoch != g.epoch || hash != g.metadataHash {
		add(&Record{Key: KeyGroup, GroupEpoch: epoch, MetadataHash: hash})
	}
	target, assignmentEpoch := g.target[m.id], g.assignmentEpoch
	// A join is answered with partitions at once; everything else waits for the assignment interval.
	if epoch > g.assignmentEpoch &&
		(h.MemberEpoch == 0 || now.UnixMilli()-g.assignmentMs >= settings.AssignmentInterval.Milliseconds()) {
		next := g.newTarget(&m, topics, state)
		for _, id := range slices.Sorted(maps.Keys(next)) {
			if old, had := g.target[id]; !had || !old.equal(next[id]) {
				add(&Record{Key: KeyTargetMember, MemberID: id, Partitions: next[id]})
			}
		}
		assignmentEpoch, target = epoch, next[m.id]
		add(&Record{Key: KeyTargetMetadata, AssignmentEpoch: epoch, AssignmentTimestamp: now.UnixMilli()})
	}
	assigned := g.subscribedOnly(target, &m, topics)
	if m.epoch != assignmentEpoch || !m.assigned.equal(assigned) {
		add(&Record{
			Key: KeyCurrentAssignment, MemberID: m.id, MemberEpoch: assignmentEpoch, PreviousMemberEpoch: m.epoch,
			Partitions: assigned,
		})
	}
	told := h.MemberEpoch == 0 || h.Subscribed != nil || !m.assigned.equal(assigned)
	step.After = func(durability.Ticket) {
		g.hashedVersion = version
		g.members[h.MemberID].deadline = now.Add(settings.SessionTimeout)
		*answer = Answer{MemberID: m.id, MemberEpoch: assignmentEpoch, HeartbeatInterval: settings.HeartbeatInterval}
		if told {
			answer.Assignment = assigned
		}
	}
	return step
}

// Leave decides that a member leaves.
func (g *Group) Leave(memberID string) group.Step { return g.remove([]string{memberID}) }

// withInitialized returns the initialized partitions with more of them.
func (g *Group) withInitialized(more []Uninitialized) map[[16]byte]*StateTopic {
	state := maps.Clone(g.initialized)
	for _, u := range more {
		t := StateTopic{ID: u.Topic.ID, Name: u.Topic.Name}
		if old := state[t.ID]; old != nil {
			t.Partitions = old.Partitions
		}
		t.Partitions = slices.Concat(t.Partitions, u.Partitions)
		slices.Sort(t.Partitions)
		t.Partitions = slices.Compact(t.Partitions)
		state[t.ID] = &t
	}
	return state
}

// stateRecord is the record of the initialized partitions. What was being initialized by another broker begins anew.
func (g *Group) stateRecord(initialized map[[16]byte]*StateTopic) *Record {
	return &Record{Key: KeyStatePartitions, Group: g.id, Initialized: inOrder(initialized), Deleting: inOrder(g.deleting)}
}

func inOrder(topics map[[16]byte]*StateTopic) (list []StateTopic) {
	for _, id := range slices.SortedFunc(maps.Keys(topics), compareIDs) {
		list = append(list, *topics[id])
	}
	return list
}

// newTarget assigns the initialized partitions of the topics to all members.
func (g *Group) newTarget(changed *member, topics []group.Topic, state map[[16]byte]*StateTopic) map[string]Assignment {
	ids := make(map[string][16]byte, len(topics))
	partitions := make(map[[16]byte][]int32, len(topics))
	for _, t := range topics {
		ids[t.Name] = t.ID
		if s := state[t.ID]; s != nil {
			partitions[t.ID] = s.Partitions
		}
	}
	subscribed := make(map[string][][16]byte, len(g.members)+1)
	add := func(m *member) {
		subscribed[m.id] = [][16]byte{}
		for _, name := range m.subscribed {
			if id, ok := ids[name]; ok {
				subscribed[m.id] = append(subscribed[m.id], id)
			}
		}
	}
	for _, m := range g.members {
		add(m)
	}
	add(changed)
	return assign(subscribed, partitions, g.target)
}

// subscribedOnly returns the part of a target in topics that a member is subscribed to, and that exist.
func (g *Group) subscribedOnly(target Assignment, m *member, topics []group.Topic) Assignment {
	return target.only(func(id [16]byte) bool {
		i := slices.IndexFunc(topics, func(t group.Topic) bool { return t.ID == id })
		return i >= 0 && slices.Contains(m.subscribed, topics[i].Name)
	})
}
