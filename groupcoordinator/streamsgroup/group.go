package streamsgroup

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"maps"
	"slices"
	"strconv"
	"time"

	"once/groupcoordinator/group"
)

// Settings are those of one group, resolved: its own, else those of the broker (spec: streams-groups 19).
type Settings struct {
	SessionTimeout        time.Duration
	HeartbeatInterval     time.Duration
	TaskOffsetInterval    time.Duration
	InitialRebalanceDelay time.Duration
	AssignmentInterval    time.Duration
	AcceptableRecoveryLag int64
	StandbyReplicas       int
	RackAwareTags         []string
	MaxSize               int // members of the group
}

// assignmentConfigs are the settings that the target assignment depends on.
func (s Settings) assignmentConfigs() []Config {
	configs := []Config{{"num.standby.replicas", strconv.Itoa(s.StandbyReplicas)}}
	if len(s.RackAwareTags) > 0 {
		configs = append(configs, Config{"rack.aware.assignment.tags", fmt.Sprint(s.RackAwareTags)})
	}
	return configs
}

// Env is what a group needs from its surroundings.
type Env struct {
	Topics   group.Topics
	Settings func(groupID string) Settings
}

// Group is one streams group. It implements group.Group.
type Group struct {
	env *Env
	id  string

	epoch             int32 // group epoch
	metadataHash      int64
	validatedEpoch    int32    // epoch of the topology when its topics were right, -1 when they are not
	assignmentConfigs []Config // in force when the group epoch was last raised; nil: none recorded
	topology          *Topology
	assignmentEpoch   int32
	assignmentTimeMs  int64 // when the target was computed; 0: the next one need not wait
	members           map[string]*Member
	targets           map[string]Assignment

	// What no record holds.
	volatile       map[string]volatile
	checked        *checkedTopics // nil: not checked in this process
	checkedVersion uint64         // of the topic image
	isNew          bool           // only the heartbeat that made the group has been handled
	initialDelay   time.Time      // end of the initial rebalance delay; zero: it is not running
	shutdownBy     string         // the member that asked for a shutdown of the application
	endpointEpoch  int32
}

// New makes a group without members and topology.
func New(env *Env, id string) *Group {
	return &Group{env: env, id: id, epoch: 1, assignmentEpoch: 1, validatedEpoch: -1, members: map[string]*Member{},
		targets: map[string]Assignment{}, volatile: map[string]volatile{}}
}

// clone is a copy that a step may change. Members, targets and topologies are immutable and shared.
func (g *Group) clone() *Group {
	c := *g
	c.members, c.targets, c.volatile = maps.Clone(g.members), maps.Clone(g.targets), maps.Clone(g.volatile)
	return &c
}

// ID implements group.Group.
func (g *Group) ID() string { return g.id }

// Type implements group.Group.
func (g *Group) Type() group.Type { return group.Streams }

// ProtocolType implements group.Group.
func (g *Group) ProtocolType() string { return "streams" }

// Members implements group.Group.
func (g *Group) Members() int { return len(g.members) }

// The states of a streams group, besides those of all groups.
const (
	StateNotReady    = "NotReady"
	StateAssigning   = "Assigning"
	StateReconciling = "Reconciling"
)

// State implements group.Group (spec: streams-groups 3).
func (g *Group) State() string {
	switch {
	case len(g.members) == 0:
		return group.StateEmpty
	case !g.ready():
		return StateNotReady
	case g.epoch > g.assignmentEpoch:
		return StateAssigning
	}
	for _, m := range g.members {
		if m.State != Stable || m.Epoch != g.assignmentEpoch {
			return StateReconciling
		}
	}
	return group.StateStable
}

// ready reports whether all topics of the topology were there with the right numbers of partitions when last checked.
func (g *Group) ready() bool { return g.topology != nil && g.validatedEpoch == g.topology.Epoch }

// IsEmpty implements group.Group.
func (g *Group) IsEmpty() bool { return len(g.members) == 0 }

// IsUnused implements group.Group.
func (g *Group) IsUnused() bool { return len(g.members) == 0 }

// IsSubscribedTo implements group.Group.
func (g *Group) IsSubscribedTo(topic string) bool {
	return len(g.members) > 0 && g.topology != nil && g.topology.reads(topic)
}

// ExpiryBase implements group.Group.
func (g *Group) ExpiryBase(topic string, commitTimestampMs int64) (int64, bool) {
	return commitTimestampMs, !g.IsSubscribedTo(topic)
}

// static returns the member with that group instance ID, or nil.
func (g *Group) static(instanceID string) *Member {
	for _, m := range g.members {
		if m.InstanceID != nil && *m.InstanceID == instanceID {
			return m
		}
	}
	return nil
}

// hashOfTopics changes with every change of the topology's topics. It is 0 when none of them is there.
func (g *Group) hashOfTopics() int64 {
	h := fnv.New64a()
	found := false
	for _, name := range g.topology.Topics() {
		if t, ok := g.env.Topics.Lookup(name); ok {
			found = true
			h.Write(t.ID[:])
			h.Write(binary.BigEndian.AppendUint32([]byte(t.Name+"\x00"), uint32(t.Partitions)))
		}
	}
	if !found {
		return 0
	}
	return int64(h.Sum64())
}

// NextWake implements group.Group.
func (g *Group) NextWake() time.Time {
	next := g.initialDelay
	earlier := func(t time.Time) {
		if !t.IsZero() && (next.IsZero() || t.Before(next)) {
			next = t
		}
	}
	for _, v := range g.volatile {
		earlier(v.session)
		earlier(v.rebalance)
	}
	return next
}

// Due implements group.Group: it removes members whose session or rebalance timeout is over, and computes the first
// target at the end of the initial rebalance delay.
func (g *Group) Due(now time.Time) group.Step {
	s := g.begin(now)
	over := func(t time.Time) bool { return !t.IsZero() && !now.Before(t) }
	var dropped []string
	for _, id := range slices.Sorted(maps.Keys(g.volatile)) {
		if v := g.volatile[id]; over(v.session) || over(v.rebalance) {
			dropped = append(dropped, id)
		}
	}
	if len(dropped) > 0 {
		s.remove(dropped...)
	}
	if over(s.work.initialDelay) {
		s.work.initialDelay = time.Time{}
		if len(s.work.members) > 0 && s.work.checked != nil && !s.work.isNew {
			s.assign()
		}
	}
	step := s.step()
	step.Dropped = dropped
	return step
}

// Resume implements group.Group: each member gets a whole session.
func (g *Group) Resume(now time.Time) group.Step {
	settings := g.env.Settings(g.id)
	for id, m := range g.members {
		v := volatile{session: now.Add(settings.SessionTimeout)}
		if m.State == UnrevokedTasks {
			v.rebalance = now.Add(time.Duration(m.RebalanceTimeoutMs) * time.Millisecond)
		}
		g.volatile[id] = v
	}
	return group.Step{}
}

// Rebalance implements group.Group: the next heartbeat of a member finds a new group epoch, and assigns for it.
func (g *Group) Rebalance(now time.Time) group.Step {
	s := g.begin(now)
	s.bump()
	return s.step()
}

// DropMembers implements group.Group.
func (g *Group) DropMembers(now time.Time) group.Step {
	s := g.begin(now)
	s.remove(slices.Sorted(maps.Keys(g.members))...)
	return s.step()
}

// AnswerParked implements group.Group: no request waits.
func (g *Group) AnswerParked(error) {}

// ValidateCommit implements group.Group (spec: streams-groups 16).
func (g *Group) ValidateCommit(c group.Committer) (group.CommitCheck, error) {
	if len(g.members) == 0 && c.Epoch < 0 {
		return nil, nil
	}
	if c.Transactional && c.MemberID == "" && c.Epoch < 0 && c.InstanceID == nil {
		return nil, nil
	}
	m := g.members[c.MemberID]
	switch {
	case m == nil:
		return nil, group.ErrUnknownMember
	case !c.Transactional && !c.KnowsMemberEpochs:
		return nil, group.ErrUnsupportedCommit
	case c.Epoch == m.Epoch:
		return nil, nil
	case c.Epoch > m.Epoch:
		return nil, group.ErrStaleMemberEpoch
	}
	return func(_ [16]byte, topic string, partition int32) error {
		if !g.heldSince(m, topic, partition, c.Epoch) {
			return group.ErrStaleMemberEpoch
		}
		return nil
	}, nil
}

// heldSince reports whether the member has had the task of a partition since an epoch.
func (g *Group) heldSince(m *Member, topic string, partition, epoch int32) bool {
	if g.topology == nil {
		return false
	}
	for i := range g.topology.Subtopologies {
		s := &g.topology.Subtopologies[i]
		if !slices.Contains(s.sources(), topic) {
			continue
		}
		id := TaskID{s.ID, partition}
		for _, tasks := range []ActiveTasks{m.Assigned.Active, m.Pending.Active} {
			if since, ok := tasks[id]; ok && since <= epoch {
				return true
			}
		}
	}
	return false
}

// ValidateFetch implements group.Group.
func (g *Group) ValidateFetch(memberID *string, memberEpoch int32) error {
	if memberID == nil && memberEpoch < 0 {
		return nil
	}
	var m *Member
	if memberID != nil {
		m = g.members[*memberID]
	}
	switch {
	case m == nil:
		return group.ErrUnknownMember
	case m.Epoch != memberEpoch:
		return group.ErrStaleMemberEpoch
	}
	return nil
}

func sortedMembers(members map[string]*Member) []*Member {
	return slices.SortedFunc(maps.Values(members), func(a, b *Member) int { return cmp.Compare(a.ID, b.ID) })
}

// EachSession implements group.Group.
func (g *Group) EachSession(fn func(group.Session)) {
	timeout := g.env.Settings(g.id).SessionTimeout
	for id, m := range g.members {
		fn(group.Session{MemberID: id, ClientID: m.ClientID, Ends: g.volatile[id].session, Timeout: timeout})
	}
}

// EndSession implements group.Group.
func (g *Group) EndSession(memberID string, at time.Time) bool {
	v, ok := g.volatile[memberID]
	if ok {
		v.session = at
		g.volatile[memberID] = v
	}
	return ok
}
