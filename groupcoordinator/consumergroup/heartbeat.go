package consumergroup

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"once/durability"
	"once/groupcoordinator/assignment"
	"once/groupcoordinator/group"
)

// HeartbeatRequest is a ConsumerGroupHeartbeat (spec: groups 17.1). Strings may be reused after the call.
type HeartbeatRequest struct {
	GroupID, MemberID    string
	MemberEpoch          int32
	MemberIDRequired     bool // the member makes its ID, from version 1 on
	ClientID, ClientHost string

	// What has not changed since the last heartbeat is nil, or -1.
	InstanceID, RackID *string
	RebalanceTimeoutMs int32
	Topics             []string
	Regex              *string
	Assignor           *string
	Owned              assignment.Set

	// MayDescribe says which topics a regular expression of the sender may show it; nil: all.
	MayDescribe func(topic string) bool
}

// HeartbeatResult answers a heartbeat.
type HeartbeatResult struct {
	MemberID          string
	MemberEpoch       int32
	HeartbeatInterval time.Duration
	Assignment        assignment.Set // nil: as before
}

// Leaves says that the sender leaves, for good or for a while.
func (r *HeartbeatRequest) Leaves() bool {
	return r.MemberEpoch == epochLeave || r.MemberEpoch == epochStaticLeave
}

// Joins says that the sender joins, or joins again.
func (r *HeartbeatRequest) Joins() bool { return r.MemberEpoch == epochJoin }

// Validate checks what does not depend on the group.
func (c *Config) Validate(r *HeartbeatRequest) error {
	refuse := func(what string) error { return fmt.Errorf("%w: %s", group.ErrInvalidRequest, what) }
	isEmpty := func(s *string) bool { return s != nil && strings.TrimSpace(*s) == "" }
	needsID := r.MemberIDRequired || r.MemberEpoch > 0 || r.MemberEpoch == epochLeave
	switch {
	case needsID && isEmpty(&r.MemberID):
		return refuse("member ID is empty")
	case isEmpty(&r.GroupID):
		return refuse("group ID is empty")
	case isEmpty(r.InstanceID):
		return refuse("instance ID is empty")
	case isEmpty(r.RackID):
		return refuse("rack ID is empty")
	case r.Joins() && r.RebalanceTimeoutMs == -1:
		return refuse("a member that joins has no rebalance timeout")
	case r.Joins() && (r.Owned == nil || len(r.Owned) > 0):
		return refuse("a member that joins has to own no partitions")
	case r.Joins() && r.Topics == nil && r.Regex == nil:
		return refuse("a member that joins has neither topic names nor a regular expression")
	case r.MemberEpoch == epochStaticLeave && r.InstanceID == nil:
		return refuse("only a static member leaves for a while")
	case r.MemberEpoch < epochStaticLeave:
		return refuse("member epoch is below -2")
	case r.Assignor != nil && !slices.Contains(c.Assignors, *r.Assignor):
		return fmt.Errorf("%w: %q is none of %s", ErrUnsupportedAssignor, *r.Assignor, strings.Join(c.Assignors, ", "))
	}
	return nil
}

// Heartbeat decides about a heartbeat that Validate allows.
func (g *Group) Heartbeat(r *HeartbeatRequest, now time.Time) (HeartbeatResult, group.Step, error) {
	fail := func(err error) (HeartbeatResult, group.Step, error) { return HeartbeatResult{}, group.Step{}, err }
	if r.Leaves() {
		step, err := g.leave(r, now)
		return HeartbeatResult{MemberID: strings.Clone(r.MemberID), MemberEpoch: r.MemberEpoch}, step, err
	}
	if err := g.hasRoom(r.MemberID, r.InstanceID); err != nil {
		return fail(err)
	}
	t, err := g.begin(r, now)
	if err != nil {
		return fail(err)
	}
	meta := t.old.meta
	meta.Classic = nil
	meta.ClientID, meta.ClientHost = r.ClientID, r.ClientHost
	meta.update(r)
	if err := t.setMember(meta); err != nil {
		return fail(err)
	}
	t.updateGroupEpoch(false)
	t.assign()
	if err := t.reconcile(r.Owned); err != nil {
		return fail(err)
	}
	settings := g.cfg.Settings(g.id)
	result := HeartbeatResult{
		MemberID: t.id, MemberEpoch: t.current.MemberEpoch, HeartbeatInterval: t.heartbeatInterval(settings),
	}
	isFull := r.RebalanceTimeoutMs != -1 && (r.Topics != nil || r.Regex != nil) && r.Owned != nil
	if r.Joins() || isFull || !t.current.Assigned.Set.Equal(t.old.current.Assigned.Set) {
		if result.Assignment = t.current.Assigned.Set; result.Assignment == nil {
			result.Assignment = assignment.Set{}
		}
	}
	return result, t.step(now.Add(settings.SessionTimeout)), nil
}

// heartbeatInterval is shorter while a group changes: members learn from heartbeats what others have given up.
func (t *transition) heartbeatInterval(s Settings) time.Duration {
	changes := len(t.records) > 0 || t.now.Sub(t.g.changedAt) < 2*s.HeartbeatInterval
	if s.RebalanceHeartbeatInterval > 0 && changes {
		return min(s.RebalanceHeartbeatInterval, s.HeartbeatInterval)
	}
	return s.HeartbeatInterval
}

// hasRoom says whether the maximum size allows a member; a known static one always comes back.
func (g *Group) hasRoom(memberID string, instanceID *string) error {
	if instanceID != nil && g.static[*instanceID] != "" {
		return nil
	}
	if len(g.members) >= g.cfg.MaxSize && g.members[memberID] == nil {
		return fmt.Errorf("%w: %d members", group.ErrGroupFull, g.cfg.MaxSize)
	}
	return nil
}

// begin finds or makes the member of a heartbeat.
func (g *Group) begin(r *HeartbeatRequest, now time.Time) (*transition, error) {
	id := r.MemberID
	if id == "" {
		id = g.cfg.NewMemberID()
	}
	t := g.newTransition(id, now)
	t.mayDescribe = r.MayDescribe
	if r.InstanceID == nil {
		if t.old == nil && !r.Joins() {
			return nil, fmt.Errorf("%w: %q", group.ErrUnknownMember, id)
		}
		if t.old != nil {
			return t, t.old.checkEpoch(r)
		}
		t.addMember()
		return t, nil
	}
	present := g.members[g.static[*r.InstanceID]]
	switch {
	case !r.Joins():
		if err := checkStatic(present, r.MemberID, *r.InstanceID); err != nil {
			return nil, err
		}
		return t, present.checkEpoch(r)
	case present == nil && t.old == nil:
		t.addMember()
	case present == nil: // a dynamic member becomes static
	case present.current.MemberEpoch != epochStaticLeave && !present.isClassic():
		return nil, fmt.Errorf("%w: %q is %q", group.ErrUnreleasedInstance, *r.InstanceID, present.id)
	default:
		t.replaceStatic(present)
	}
	return t, nil
}

// checkStatic checks that a member ID is that of the static member; present is the member with the instance ID.
func checkStatic(present *member, memberID, instanceID string) error {
	switch {
	case present == nil:
		return fmt.Errorf("%w: no instance %q", group.ErrUnknownMember, instanceID)
	case present.id != memberID:
		return fmt.Errorf("%w: %q is %q", group.ErrFencedInstance, instanceID, present.id)
	}
	return nil
}

// checkEpoch allows the member's epoch, and the one before if the answer with the new one may have been lost: then the
// member owns nothing beyond what it is assigned.
func (m *member) checkEpoch(r *HeartbeatRequest) error {
	current := &m.current
	if r.Joins() || r.MemberEpoch == current.MemberEpoch {
		return nil
	}
	if r.MemberEpoch < current.MemberEpoch && r.MemberEpoch == current.PreviousMemberEpoch && r.Owned != nil &&
		r.Owned.IsSubsetOf(current.Assigned.Set) {
		return nil
	}
	return fmt.Errorf("%w: its epoch is %d, not %d", group.ErrFencedMemberEpoch, current.MemberEpoch, r.MemberEpoch)
}

// update changes what a heartbeat names. Strings are the request's.
func (v *MemberValue) update(r *HeartbeatRequest) {
	for _, f := range []struct {
		to   **string
		from *string
	}{
		{&v.InstanceID, r.InstanceID}, {&v.RackID, r.RackID}, {&v.SubscribedRegex, r.Regex}, {&v.ServerAssignor, r.Assignor},
	} {
		if f.from != nil {
			*f.to = f.from
		}
	}
	if r.RebalanceTimeoutMs != -1 {
		v.RebalanceTimeoutMs = r.RebalanceTimeoutMs
	}
	if r.Topics != nil {
		v.SubscribedTopics = sortedNames(r.Topics)
	}
}

// clone returns a copy whose strings are its own.
func (v MemberValue) clone() MemberValue {
	for _, s := range []**string{&v.InstanceID, &v.RackID, &v.SubscribedRegex, &v.ServerAssignor} {
		*s = cloneOptional(*s)
	}
	v.ClientID, v.ClientHost = strings.Clone(v.ClientID), strings.Clone(v.ClientHost)
	topics := make([]string, len(v.SubscribedTopics))
	for i, t := range v.SubscribedTopics {
		topics[i] = strings.Clone(t)
	}
	v.SubscribedTopics = topics
	if v.Classic != nil {
		classic := ClassicValue{SessionTimeoutMs: v.Classic.SessionTimeoutMs}
		for _, p := range v.Classic.Protocols {
			classic.Protocols = append(classic.Protocols,
				group.Protocol{Name: strings.Clone(p.Name), Metadata: slices.Clone(p.Metadata)})
		}
		v.Classic = &classic
	}
	return v
}

func (v *MemberValue) equal(other *MemberValue) bool {
	same := func(a, b *string) bool { return a == b || a != nil && b != nil && *a == *b }
	return same(v.InstanceID, other.InstanceID) && same(v.RackID, other.RackID) && v.ClientID == other.ClientID &&
		v.ClientHost == other.ClientHost && slices.Equal(v.SubscribedTopics, other.SubscribedTopics) &&
		same(v.SubscribedRegex, other.SubscribedRegex) && v.RebalanceTimeoutMs == other.RebalanceTimeoutMs &&
		same(v.ServerAssignor, other.ServerAssignor) && v.Classic.equal(other.Classic)
}

func (v *ClassicValue) equal(other *ClassicValue) bool {
	if v == nil || other == nil {
		return v == other
	}
	return v.SessionTimeoutMs == other.SessionTimeoutMs && slices.EqualFunc(v.Protocols, other.Protocols,
		func(a, b group.Protocol) bool { return a.Name == b.Name && slices.Equal(a.Metadata, b.Metadata) })
}

func (v *MemberValue) regex() string {
	if v.SubscribedRegex == nil {
		return ""
	}
	return *v.SubscribedRegex
}

// step is the transition, with a session of the member until then.
func (t *transition) step(session time.Time) group.Step {
	g := t.g
	return group.Step{Records: t.records, WakeBy: session, After: func(durability.Ticket) {
		if t.sawTopics {
			g.checkedTopics, g.topicsVersion = true, t.topicsVersion
		}
		if t.resolved {
			g.regexesChecked, g.regexVersion = true, t.topicsVersion
		}
		m := g.members[t.id]
		m.session = session
		if t.moved {
			g.watchRevocation(m, t.now)
		}
		if len(t.records) > 0 {
			g.changedAt = t.now
		}
	}}
}
