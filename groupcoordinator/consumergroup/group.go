// Package consumergroup is the state machine of consumer groups (KIP-848; spec: groups 17-20). A member sends
// heartbeats with what it subscribes to and owns, and each answer may change its assignment; no member waits for
// another one.
//
// A group has three layers, each with an epoch. The group epoch counts changes of members and subscribed topics. The
// target assignment is computed for a group epoch, by an assignor. A member moves from its current assignment towards
// its target: it gives up partitions first, and gets a partition when no other member has it any more. So no two
// members ever have the same partition.
//
// Members may also speak the classic protocol (classic.go): a Join is then a heartbeat whose answer is the generation,
// and a Sync returns the current assignment.
//
// Group implements group.Group: methods decide, Apply changes. Deadlines are its only state that no record holds; steps
// change them in After.
package consumergroup

import (
	"maps"
	"slices"
	"strings"
	"time"

	"once/durability"
	"once/groupcoordinator/assignment"
	"once/groupcoordinator/group"
)

// Config is what all consumer groups of a coordinator share.
type Config struct {
	Topics    group.Topics
	MaxSize   int      // group.consumer.max.size
	Assignors []string // group.consumer.assignors; the first is the default
	// AllowsClassic says that members may join a group with the classic protocol
	// (group.consumer.migration.policy other than disabled).
	AllowsClassic        bool
	RegexRefreshInterval time.Duration // group.consumer.regex.refresh.interval.ms
	// Settings returns the settings of a group; it takes no lock that a caller may hold.
	Settings    func(groupID string) Settings
	NewMemberID func() string
	// Downgrade makes a classic group of the members that are left, if it may: then the step ends this group.
	Downgrade func(Downgrade) (group.Step, bool)
}

// Settings are the settings of one group.
type Settings struct {
	SessionTimeout     time.Duration // consumer.session.timeout.ms
	HeartbeatInterval  time.Duration // consumer.heartbeat.interval.ms
	AssignmentInterval time.Duration // consumer.assignment.interval.ms
	// RebalanceHeartbeatInterval is the interval of a group that has changed within the last HeartbeatInterval; 0: the
	// same.
	RebalanceHeartbeatInterval time.Duration
}

// MemberState is the state of a member, as its record has it.
type MemberState int8

// The states of a member.
const (
	Stable               MemberState = 0 // has all that it may have
	UnrevokedPartitions  MemberState = 1 // has to confirm that it gave partitions up
	UnreleasedPartitions MemberState = 2 // waits for partitions that other members still have
)

// String returns Kafka's name of the state.
func (s MemberState) String() string {
	switch s {
	case Stable:
		return "STABLE"
	case UnrevokedPartitions:
		return "UNREVOKED_PARTITIONS"
	case UnreleasedPartitions:
		return "UNRELEASED_PARTITIONS"
	}
	return "UNKNOWN"
}

// The member epochs with a meaning of their own.
const (
	epochJoin        = 0
	epochLeave       = -1
	epochStaticLeave = -2 // a static member that will be back
)

// member is a member of a group. meta and current come from its records and are replaced, not changed.
type member struct {
	id      string
	meta    MemberValue
	current CurrentValue

	// Soft state; zero: no deadline.
	session   time.Time
	rebalance time.Time // to give partitions up, by the epoch in rebalanceEpoch
	join      time.Time // of a member that speaks the classic protocol and has been told to rejoin
	sync      time.Time // of one that has joined

	rebalanceEpoch int32
}

func (m *member) isClassic() bool { return m.meta.Classic != nil }

// Group is one consumer group.
type Group struct {
	cfg *Config // immutable
	id  string

	groupEpoch   int32
	metadataHash int64
	members      map[string]*member
	static       map[string]string // instance ID → member ID
	owners       map[partition]string
	regexes      map[string]RegexValue

	assignmentEpoch int32
	assignedAtMs    int64 // 0: never
	targets         map[string]assignment.Set

	// Soft state.
	checkedTopics  bool   // the hash has been compared with the topics since the start
	topicsVersion  uint64 // that it was compared with
	regexesChecked bool   // regular expressions have been resolved since the start
	regexVersion   uint64 // with these topics
	changedAt      time.Time
}

// New returns a group without members.
func New(cfg *Config, id string) *Group {
	return &Group{
		cfg: cfg, id: id, groupEpoch: 1, members: map[string]*member{}, static: map[string]string{},
		owners: map[partition]string{}, targets: map[string]assignment.Set{}, regexes: map[string]RegexValue{},
	}
}

// ID implements group.Group.
func (g *Group) ID() string { return g.id }

// Type implements group.Group.
func (g *Group) Type() group.Type { return group.Consumer }

// ProtocolType implements group.Group.
func (g *Group) ProtocolType() string { return "consumer" }

// Members implements group.Group.
func (g *Group) Members() int { return len(g.members) }

// IsEmpty implements group.Group.
func (g *Group) IsEmpty() bool { return len(g.members) == 0 }

// IsUnused implements group.Group.
func (g *Group) IsUnused() bool { return g.IsEmpty() }

// Names of states that only consumer groups have, besides those of package group.
const (
	StateAssigning   = "Assigning"
	StateReconciling = "Reconciling"
)

// State implements group.Group.
func (g *Group) State() string {
	switch {
	case len(g.members) == 0:
		return group.StateEmpty
	case g.groupEpoch > g.assignmentEpoch:
		return StateAssigning
	}
	for _, m := range g.members {
		if !m.current.isAt(g.assignmentEpoch) {
			return StateReconciling
		}
	}
	return group.StateStable
}

// isAt says that the member has all of the target assignment of an epoch.
func (v *CurrentValue) isAt(assignmentEpoch int32) bool {
	return v.State == Stable && v.MemberEpoch == assignmentEpoch
}

// IsSubscribedTo implements group.Group.
func (g *Group) IsSubscribedTo(topic string) bool {
	for _, m := range g.members {
		if _, found := slices.BinarySearch(m.meta.SubscribedTopics, topic); found {
			return true
		}
	}
	for _, r := range g.regexes {
		if _, found := slices.BinarySearch(r.Topics, topic); found {
			return true
		}
	}
	return false
}

// ExpiryBase implements group.Group.
func (g *Group) ExpiryBase(topic string, commitTimestampMs int64) (baseMs int64, may bool) {
	return commitTimestampMs, !g.IsSubscribedTo(topic)
}

// Apply implements group.Group.
func (g *Group) Apply(record group.Record) {
	r := record.(Record)
	switch v := r.value.(type) {
	case GroupValue:
		g.groupEpoch, g.metadataHash = v.GroupEpoch, v.MetadataHash
	case MemberValue:
		g.setMeta(g.memberOf(r.name), v)
	case TargetEpochValue:
		g.assignmentEpoch, g.assignedAtMs = v.AssignmentEpoch, v.TimestampMs
	case TargetValue:
		g.targets[r.name] = v.Partitions
	case CurrentValue:
		g.setCurrent(g.memberOf(r.name), v)
	case RegexValue:
		g.regexes[r.name] = v
	case nil:
		g.applyTombstone(r)
	}
}

func (g *Group) applyTombstone(r Record) {
	switch r.keyType {
	case keyMember:
		g.remove(r.name)
	case keyTargetEpoch:
		g.assignmentEpoch, g.assignedAtMs = -1, 0
	case keyTarget:
		delete(g.targets, r.name)
	case keyCurrent:
		if m := g.members[r.name]; m != nil {
			g.setCurrent(m, CurrentValue{MemberEpoch: epochLeave, PreviousMemberEpoch: epochLeave})
		}
	case keyRegex:
		delete(g.regexes, r.name)
	}
}

// memberOf returns the member, which it makes if there is none.
func (g *Group) memberOf(id string) *member {
	m := g.members[id]
	if m == nil {
		m = &member{id: id, meta: MemberValue{RebalanceTimeoutMs: -1}}
		g.members[id] = m
	}
	return m
}

func (g *Group) setMeta(m *member, v MemberValue) {
	if old := m.meta.InstanceID; old != nil && g.static[*old] == m.id {
		delete(g.static, *old)
	}
	m.meta = v
	if v.InstanceID != nil {
		g.static[*v.InstanceID] = m.id
	}
}

func (g *Group) setCurrent(m *member, v CurrentValue) {
	g.release(m)
	m.current = v
	for _, set := range []Owned{v.Assigned, v.PendingRevocation} {
		for at := range set.epochs {
			g.owners[at] = m.id
		}
	}
}

func (g *Group) release(m *member) {
	for _, set := range []Owned{m.current.Assigned, m.current.PendingRevocation} {
		for at := range set.epochs {
			if g.owners[at] == m.id {
				delete(g.owners, at)
			}
		}
	}
}

func (g *Group) remove(id string) {
	m := g.members[id]
	if m == nil {
		return
	}
	g.release(m)
	if instance := m.meta.InstanceID; instance != nil && g.static[*instance] == id {
		delete(g.static, *instance)
	}
	delete(g.members, id)
}

// Records.

func (g *Group) record(keyType int16, name string, value Value) group.Record {
	return Record{keyType: keyType, groupID: g.id, name: name, value: value}
}

// memberTombstones are the tombstones of one member's records.
func (g *Group) memberTombstones(id string) []group.Record {
	return []group.Record{g.record(keyCurrent, id, nil), g.record(keyTarget, id, nil), g.record(keyMember, id, nil)}
}

// Tombstones implements group.Group.
func (g *Group) Tombstones() []group.Record {
	var records []group.Record
	ids := g.memberIDs()
	for _, keyType := range []int16{keyCurrent, keyTarget} {
		for _, id := range ids {
			records = append(records, g.record(keyType, id, nil))
		}
	}
	records = append(records, g.record(keyTargetEpoch, "", nil))
	for _, id := range ids {
		records = append(records, g.record(keyMember, id, nil))
	}
	for _, regex := range slices.Sorted(maps.Keys(g.regexes)) {
		records = append(records, g.record(keyRegex, regex, nil))
	}
	return append(records, g.record(keyGroup, "", nil))
}

func (g *Group) memberIDs() []string { return slices.Sorted(maps.Keys(g.members)) }

// Deadlines.

// eachDeadline calls fn for the deadlines of a member.
func (m *member) eachDeadline(fn func(time.Time)) {
	for _, t := range []time.Time{m.session, m.rebalance, m.join, m.sync} {
		if !t.IsZero() {
			fn(t)
		}
	}
}

// NextWake implements group.Group.
func (g *Group) NextWake() (earliest time.Time) {
	for _, m := range g.members {
		m.eachDeadline(func(t time.Time) {
			if earliest.IsZero() || t.Before(earliest) {
				earliest = t
			}
		})
	}
	return earliest
}

// Due implements group.Group: it removes the member whose deadline has passed first.
func (g *Group) Due(now time.Time) group.Step {
	var first *member
	var at time.Time
	for _, m := range g.members {
		m.eachDeadline(func(t time.Time) {
			if t.After(now) {
				return
			}
			if first == nil || t.Before(at) || t.Equal(at) && m.id < first.id {
				first, at = m, t
			}
		})
	}
	if first == nil {
		return group.Step{}
	}
	if at.Equal(first.rebalance) && !at.Equal(first.session) && first.current.MemberEpoch != first.rebalanceEpoch {
		return group.Step{After: func(durability.Ticket) { first.rebalance = time.Time{} }} // it has left that epoch
	}
	step := g.removeMembers([]*member{first}, now)
	step.Dropped = []string{first.id}
	return step
}

// Resume implements group.Group: members get a full session timeout, and a full one to give partitions up.
func (g *Group) Resume(now time.Time) group.Step {
	if len(g.members) == 0 {
		return group.Step{}
	}
	return group.Step{After: func(durability.Ticket) {
		settings := g.cfg.Settings(g.id)
		for _, m := range g.members {
			m.session = now.Add(m.sessionTimeout(settings))
			g.watchRevocation(m, now)
		}
		g.changedAt = now
	}}
}

func (m *member) sessionTimeout(s Settings) time.Duration {
	if m.meta.Classic != nil {
		return milliseconds(m.meta.Classic.SessionTimeoutMs)
	}
	return s.SessionTimeout
}

// watchRevocation bounds the time in which a member gives partitions up, or ends that. Members that speak the classic
// protocol are bounded by the time to rejoin.
func (g *Group) watchRevocation(m *member, now time.Time) {
	m.rebalance = time.Time{}
	if m.current.State == UnrevokedPartitions && !m.isClassic() {
		m.rebalance, m.rebalanceEpoch = now.Add(milliseconds(m.meta.RebalanceTimeoutMs)), m.current.MemberEpoch
	}
}

// Rebalance implements group.Group: the next heartbeat of a member finds a new group epoch, and assigns for it.
func (g *Group) Rebalance(now time.Time) group.Step {
	return group.Step{After: g.changedAfter(now), Records: []group.Record{g.record(keyGroup, "",
		GroupValue{GroupEpoch: g.groupEpoch + 1, MetadataHash: g.metadataHash})}}
}

// DropMembers implements group.Group.
func (g *Group) DropMembers(now time.Time) group.Step {
	if len(g.members) == 0 {
		return group.Step{}
	}
	all := make([]*member, 0, len(g.members))
	for _, id := range g.memberIDs() {
		all = append(all, g.members[id])
	}
	return g.removeMembers(all, now)
}

// AnswerParked implements group.Group: nobody is parked.
func (g *Group) AnswerParked(error) {}

func milliseconds(ms int32) time.Duration { return time.Duration(ms) * time.Millisecond }

func cloneOptional(s *string) *string {
	if s == nil {
		return nil
	}
	v := strings.Clone(*s)
	return &v
}

// EachSession implements group.Group.
func (g *Group) EachSession(fn func(group.Session)) {
	settings := g.cfg.Settings(g.id)
	for _, m := range g.members {
		fn(group.Session{MemberID: m.id, ClientID: m.meta.ClientID, Ends: m.session, Timeout: m.sessionTimeout(settings)})
	}
}

// EndSession implements group.Group.
func (g *Group) EndSession(memberID string, at time.Time) bool {
	m := g.members[memberID]
	if m != nil {
		m.session = at
	}
	return m != nil
}
