// Package sharegroup is the state machine of the membership of a share group: who its members are, and which partitions
// they are told to read (spec: share-groups 3, 4, 5). Records are acquired elsewhere, and by any member.
//
// The state follows group.Group: a method decides and returns the records, Apply carries them out. The coordinator
// initializes share partitions before it asks for the step that names them.
package sharegroup

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"time"

	"once/durability"
	"once/groupcoordinator/group"
)

// Config is the settings and surroundings of share groups. Its functions may be called under the lock of a shard.
type Config struct {
	Topics   group.Topics
	MaxSize  int // group.share.max.size
	Settings func(groupID string) Settings
}

// Settings are the settings of one group.
type Settings struct {
	SessionTimeout, HeartbeatInterval, AssignmentInterval time.Duration
}

// DefaultMaxSize is the default of group.share.max.size.
const DefaultMaxSize = 200

// Assignor is the name of the one assignor.
const Assignor = "simple"

// member is one member of a group.
type member struct {
	id            string
	rackID        *string
	clientID      string
	clientHost    string
	subscribed    []string // names of topics, sorted
	epoch         int32
	previousEpoch int32
	assigned      Assignment

	deadline time.Time // of the session; no record has it
}

// Group is a share group.
type Group struct {
	id              string
	cfg             *Config
	epoch           int32
	metadataHash    int64
	assignmentEpoch int32
	assignmentMs    int64 // when it was made; 0 unknown
	members         map[string]*member
	target          map[string]Assignment

	initialized  map[[16]byte]*StateTopic
	initializing map[[16]byte]*StateTopic // stored by another broker
	deleting     map[[16]byte]*StateTopic // without partitions

	hashedVersion uint64 // of the topic image for which the hash was compared; no record has it
}

var _ group.Group = (*Group)(nil)

// New returns an empty group.
func New(cfg *Config, id string) *Group {
	return &Group{
		id: strings.Clone(id), cfg: cfg, members: map[string]*member{}, target: map[string]Assignment{},
		initialized: map[[16]byte]*StateTopic{}, initializing: map[[16]byte]*StateTopic{},
		deleting: map[[16]byte]*StateTopic{},
	}
}

// ID implements group.Group.
func (g *Group) ID() string { return g.id }

// Type implements group.Group.
func (g *Group) Type() group.Type { return group.Share }

// State implements group.Group.
func (g *Group) State() string {
	if len(g.members) == 0 {
		return group.StateEmpty
	}
	return group.StateStable
}

// ProtocolType implements group.Group.
func (g *Group) ProtocolType() string { return string(group.Share) }

// Members implements group.Group.
func (g *Group) Members() int { return len(g.members) }

// IsEmpty implements group.Group.
func (g *Group) IsEmpty() bool { return len(g.members) == 0 }

// IsUnused implements group.Group: only DeleteGroups removes a share group.
func (g *Group) IsUnused() bool { return false }

// IsSubscribedTo implements group.Group. A share group has no committed offsets.
func (g *Group) IsSubscribedTo(string) bool { return false }

// ExpiryBase implements group.Group.
func (g *Group) ExpiryBase(string, int64) (int64, bool) { return 0, false }

// ValidateCommit implements group.Group: a share group commits no offsets.
func (g *Group) ValidateCommit(group.Committer) (group.CommitCheck, error) {
	return nil, group.ErrGroupNotFound
}

// ValidateFetch implements group.Group: there is nothing to read, and that is no error.
func (g *Group) ValidateFetch(*string, int32) error { return nil }

// AnswerParked implements group.Group: no request is parked.
func (g *Group) AnswerParked(error) {}

// Tombstones implements group.Group. The one that ends the group comes last.
func (g *Group) Tombstones() []group.Record {
	var records []group.Record
	for _, id := range slices.Sorted(maps.Keys(g.members)) {
		records = append(records, g.memberTombstones(id)...)
	}
	for _, key := range []int16{KeyTargetMetadata, KeyStatePartitions, KeyGroup} {
		records = append(records, &Record{Key: key, Group: g.id, Tombstone: true})
	}
	return records
}

func (g *Group) memberTombstones(memberID string) []group.Record {
	var records []group.Record
	for _, key := range []int16{KeyCurrentAssignment, KeyTargetMember, KeyMember} {
		records = append(records, &Record{Key: key, Group: g.id, MemberID: memberID, Tombstone: true})
	}
	return records
}

// Apply implements group.Group.
func (g *Group) Apply(record group.Record) {
	r := record.(*Record)
	switch r.Key {
	case KeyMember:
		g.applyMember(r)
	case KeyGroup:
		g.epoch, g.metadataHash = r.GroupEpoch, r.MetadataHash
	case KeyTargetMetadata:
		g.assignmentEpoch, g.assignmentMs = r.AssignmentEpoch, r.AssignmentTimestamp
	case KeyTargetMember:
		if r.Tombstone {
			delete(g.target, r.MemberID)
		} else {
			g.target[strings.Clone(r.MemberID)] = r.Partitions
		}
	case KeyCurrentAssignment:
		m := g.members[r.MemberID]
		switch {
		case m == nil:
		case r.Tombstone:
			m.epoch, m.previousEpoch, m.assigned = 0, 0, nil
		default:
			m.epoch, m.previousEpoch, m.assigned = r.MemberEpoch, r.PreviousMemberEpoch, r.Partitions
		}
	case KeyStatePartitions:
		g.initializing, g.initialized, g.deleting = byID(r.Initializing), byID(r.Initialized), byID(r.Deleting)
	}
}

func (g *Group) applyMember(r *Record) {
	if r.Tombstone {
		delete(g.members, r.MemberID)
		return
	}
	m := g.members[r.MemberID]
	if m == nil {
		m = &member{id: strings.Clone(r.MemberID)}
		g.members[m.id] = m
	}
	m.rackID = nil
	if r.RackID != nil {
		rack := strings.Clone(*r.RackID)
		m.rackID = &rack
	}
	m.clientID, m.clientHost, m.subscribed = strings.Clone(r.ClientID), strings.Clone(r.ClientHost), cloneAll(r.Subscribed)
}

func byID(topics []StateTopic) map[[16]byte]*StateTopic {
	m := make(map[[16]byte]*StateTopic, len(topics))
	for i := range topics {
		t := topics[i]
		t.Name, t.Partitions = strings.Clone(t.Name), slices.Sorted(slices.Values(t.Partitions))
		m[t.ID] = &t
	}
	return m
}

// NextWake implements group.Group.
func (g *Group) NextWake() (first time.Time) {
	for _, m := range g.members {
		if first.IsZero() || m.deadline.Before(first) {
			first = m.deadline
		}
	}
	return first
}

// Due implements group.Group: members that said nothing in time leave.
func (g *Group) Due(now time.Time) group.Step {
	var gone []string
	for id, m := range g.members {
		if !m.deadline.After(now) {
			gone = append(gone, id)
		}
	}
	slices.Sort(gone)
	step := g.remove(gone)
	step.Dropped = gone
	return step
}

// Resume implements group.Group: members get a full session timeout.
func (g *Group) Resume(now time.Time) group.Step {
	timeout := g.cfg.Settings(g.id).SessionTimeout
	return group.Step{After: func(durability.Ticket) {
		for _, m := range g.members {
			m.deadline = now.Add(timeout)
		}
	}}
}

// Rebalance implements group.Group: the next heartbeat of a member finds a new group epoch, and assigns for it.
func (g *Group) Rebalance(time.Time) group.Step {
	return group.Step{Records: []group.Record{&Record{Key: KeyGroup, Group: g.id, GroupEpoch: g.epoch + 1,
		MetadataHash: g.metadataHash}}}
}

// DropMembers implements group.Group.
func (g *Group) DropMembers(time.Time) group.Step {
	return g.remove(slices.Sorted(maps.Keys(g.members)))
}

// remove decides that members leave.
func (g *Group) remove(gone []string) group.Step {
	if len(gone) == 0 {
		return group.Step{}
	}
	var step group.Step
	left := maps.Clone(g.members)
	for _, id := range gone {
		delete(left, id)
		step.Records = append(step.Records, g.memberTombstones(id)...)
	}
	hash := hashTopics(g.topicsOf(left, nil))
	step.Records = append(step.Records, &Record{Key: KeyGroup, Group: g.id, GroupEpoch: g.epoch + 1, MetadataHash: hash})
	if len(left) == 0 {
		step.Records = append(step.Records, &Record{Key: KeyTargetMetadata, Group: g.id, AssignmentEpoch: g.epoch + 1})
	}
	return step
}

// topicsOf returns the topics that members are subscribed to and that exist, by name. changed, if not nil, is a member
// with other names than the group has.
func (g *Group) topicsOf(members map[string]*member, changed *member) []group.Topic {
	names := map[string]bool{}
	for _, m := range members {
		if changed != nil && m.id == changed.id {
			continue
		}
		for _, name := range m.subscribed {
			names[name] = true
		}
	}
	if changed != nil {
		for _, name := range changed.subscribed {
			names[name] = true
		}
	}
	var topics []group.Topic
	for name := range names {
		if t, ok := g.cfg.Topics.Lookup(name); ok {
			topics = append(topics, t)
		}
	}
	slices.SortFunc(topics, func(a, b group.Topic) int { return cmp.Compare(a.Name, b.Name) })
	return topics
}

// EachSession implements group.Group.
func (g *Group) EachSession(fn func(group.Session)) {
	timeout := g.cfg.Settings(g.id).SessionTimeout
	for id, m := range g.members {
		fn(group.Session{MemberID: id, ClientID: m.clientID, Ends: m.deadline, Timeout: timeout})
	}
}

// EndSession implements group.Group.
func (g *Group) EndSession(memberID string, at time.Time) bool {
	m := g.members[memberID]
	if m != nil {
		m.deadline = at
	}
	return m != nil
}
