package consumergroup

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/durability"
	"once/groupcoordinator/assignment"
	"once/groupcoordinator/group"
)

// Members that speak the classic protocol (spec: groups 20). Such a member joins, gets its current assignment by a
// Sync, and is told by a Heartbeat to join again when there is something to do. Nobody waits: a Join is answered at
// once, and there is no leader.

// JoinRequest is a JoinGroup. Strings and bytes may be reused after the call.
type JoinRequest struct {
	MemberID             string
	InstanceID           *string
	ClientID, ClientHost string
	SessionTimeout       time.Duration
	RebalanceTimeout     time.Duration
	ProtocolType         string
	Protocols            []group.Protocol
	MemberIDRequired     bool // a new dynamic member joins twice
}

// JoinResult answers a JoinGroup. With group.ErrMemberIDRequired only MemberID is set.
type JoinResult struct {
	MemberID     string
	Generation   int32
	ProtocolName string
}

// Join decides about the Join of a member that speaks the classic protocol.
func (g *Group) Join(r *JoinRequest, now time.Time) (JoinResult, group.Step, error) {
	fail := func(err error) (JoinResult, group.Step, error) { return JoinResult{}, group.Step{}, err }
	if !g.cfg.AllowsClassic {
		return fail(fmt.Errorf("%w: migration of groups is disabled", group.ErrInconsistentProtocol))
	}
	id := r.MemberID
	if id == "" {
		id = g.cfg.NewMemberID()
	}
	if err := g.hasRoom(id, r.InstanceID); err != nil {
		return fail(err)
	}
	if !g.supportsProtocols(r.ProtocolType, r.Protocols) {
		return fail(group.ErrInconsistentProtocol)
	}
	if r.MemberIDRequired && r.MemberID == "" && r.InstanceID == nil {
		return JoinResult{MemberID: id}, group.Step{}, group.ErrMemberIDRequired
	}
	t, err := g.beginJoin(r, id, now)
	if err != nil {
		return fail(err)
	}
	var subscription kmsg.ConsumerMemberMetadata
	if err := subscription.ReadFrom(r.Protocols[0].Metadata); err != nil {
		return fail(fmt.Errorf("%w: subscription: %w", group.ErrInconsistentProtocol, err))
	}
	if err := t.setMember(classicMeta(t.old.meta, r, &subscription)); err != nil {
		return fail(err)
	}
	t.updateGroupEpoch(t.regexChanged)
	result := JoinResult{MemberID: t.id, ProtocolName: strings.Clone(r.Protocols[0].Name)}
	if step, ok := t.downgradeWithJoined(g.ownedBy(&subscription)); ok {
		result.Generation = t.current.MemberEpoch
		return result, step, nil
	}
	t.assign()
	if err := t.reconcile(g.ownedBy(&subscription)); err != nil {
		return fail(err)
	}
	result.Generation = t.current.MemberEpoch
	step := t.step(now.Add(r.SessionTimeout))
	step.WakeBy = earlier(step.WakeBy, now.Add(r.RebalanceTimeout))
	after := step.After
	step.After = func(stored durability.Ticket) {
		after(stored)
		m := g.members[t.id]
		m.join, m.sync = time.Time{}, now.Add(r.RebalanceTimeout)
	}
	return result, step, nil
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// beginJoin finds or makes the member of a Join.
func (g *Group) beginJoin(r *JoinRequest, id string, now time.Time) (*transition, error) {
	t := g.newTransition(id, now)
	if r.InstanceID == nil {
		if t.old == nil {
			t.addMember()
		}
		return t, nil
	}
	present := g.members[g.static[*r.InstanceID]]
	switch {
	case r.MemberID != "":
		return t, checkStatic(present, r.MemberID, *r.InstanceID)
	case present == nil:
		t.addMember()
	default:
		t.replaceStatic(present)
	}
	return t, nil
}

// classicMeta is the subscription of a member after its Join.
func classicMeta(meta MemberValue, r *JoinRequest, subscription *kmsg.ConsumerMemberMetadata) MemberValue {
	noRegex := ""
	meta.SubscribedRegex = &noRegex
	if r.InstanceID != nil {
		meta.InstanceID = r.InstanceID
	}
	if subscription.Rack != nil {
		meta.RackID = subscription.Rack
	}
	meta.ClientID, meta.ClientHost = r.ClientID, r.ClientHost
	meta.RebalanceTimeoutMs = int32(r.RebalanceTimeout.Milliseconds())
	meta.SubscribedTopics = sortedNames(subscription.Topics)
	meta.Classic = &ClassicValue{SessionTimeoutMs: int32(r.SessionTimeout.Milliseconds()), Protocols: r.Protocols}
	return meta
}

// ownedBy are the partitions that a subscription says the member owns.
func (g *Group) ownedBy(subscription *kmsg.ConsumerMemberMetadata) assignment.Set {
	owned := assignment.Set{}
	for _, o := range subscription.OwnedPartitions {
		if topic, ok := g.cfg.Topics.Lookup(o.Topic); ok {
			owned.Add(topic.ID, o.Partitions...)
		}
	}
	return owned
}

// supportsProtocols says whether all members that speak the classic protocol support one of these.
func (g *Group) supportsProtocols(protocolType string, protocols []group.Protocol) bool {
	if protocolType != g.ProtocolType() || len(protocols) == 0 {
		return false
	}
	return slices.ContainsFunc(protocols, func(p group.Protocol) bool {
		for _, m := range g.members {
			if m.isClassic() && !slices.ContainsFunc(m.meta.Classic.Protocols,
				func(q group.Protocol) bool { return q.Name == p.Name }) {
				return false
			}
		}
		return true
	})
}

// classicMember returns the member of a Sync or Heartbeat.
func (g *Group) classicMember(memberID string, instanceID *string, generation int32) (*member, error) {
	m := g.members[memberID]
	if instanceID != nil {
		m = g.members[g.static[*instanceID]]
		if err := checkStatic(m, memberID, *instanceID); err != nil {
			return nil, err
		}
	}
	switch {
	case m == nil:
		return nil, group.ErrUnknownMember
	case !m.isClassic():
		return nil, fmt.Errorf("%w: it speaks the consumer protocol", group.ErrUnknownMember)
	case m.current.MemberEpoch != generation:
		return nil, fmt.Errorf("%w: it is %d", group.ErrIllegalGeneration, m.current.MemberEpoch)
	}
	return m, nil
}

// Sync returns the assignment of a member that speaks the classic protocol, as it expects it.
func (g *Group) Sync(
	memberID string, instanceID *string, generation int32, protocolType, protocolName *string, now time.Time,
) ([]byte, group.Step, error) {
	m, err := g.classicMember(memberID, instanceID, generation)
	if err != nil {
		return nil, group.Step{}, err
	}
	chosen := m.meta.Classic.Protocols[0]
	if protocolType != nil && *protocolType != g.ProtocolType() || protocolName != nil && *protocolName != chosen.Name {
		return nil, group.Step{}, group.ErrInconsistentProtocol
	}
	if g.assignmentEpoch > m.current.MemberEpoch && m.current.State != UnrevokedPartitions {
		return nil, g.expectJoin(m, now), group.ErrRebalanceInProgress
	}
	session := now.Add(milliseconds(m.meta.Classic.SessionTimeoutMs))
	step := group.Step{WakeBy: session, After: func(durability.Ticket) { m.session, m.sync = session, time.Time{} }}
	return EncodeAssignment(m.current.Assigned.Set, chosen.Metadata, g.cfg.Topics), step, nil
}

// expectJoin bounds the time until the member joins again.
func (g *Group) expectJoin(m *member, now time.Time) group.Step {
	if !m.join.IsZero() {
		return group.Step{}
	}
	join := now.Add(milliseconds(m.meta.RebalanceTimeoutMs))
	return group.Step{WakeBy: join, After: func(durability.Ticket) { m.join = join }}
}

// ClassicHeartbeat keeps the session of a member that speaks the classic protocol. With group.ErrRebalanceInProgress
// the step is to be carried out all the same, as with that error of Sync.
func (g *Group) ClassicHeartbeat(
	memberID string, instanceID *string, generation int32, now time.Time,
) (group.Step, error) {
	m, err := g.classicMember(memberID, instanceID, generation)
	if err != nil {
		return group.Step{}, err
	}
	session := now.Add(milliseconds(m.meta.Classic.SessionTimeoutMs))
	step := group.Step{WakeBy: session, After: func(durability.Ticket) { m.session = session }}
	rejoin := m.current.MemberEpoch < g.assignmentEpoch || m.current.State == UnrevokedPartitions ||
		m.current.State == UnreleasedPartitions && !g.waitsForOthers(m)
	if !rejoin {
		return step, nil
	}
	expect := g.expectJoin(m, now)
	if expect.After != nil {
		extend := step.After
		step.After = func(stored durability.Ticket) { extend(stored); expect.After(stored) }
		step.WakeBy = earlier(session, expect.WakeBy)
	}
	return step, group.ErrRebalanceInProgress
}

// waitsForOthers says that another member still has a partition of the member's target assignment.
func (g *Group) waitsForOthers(m *member) bool {
	for topic, partitions := range g.targets[m.id] {
		for _, index := range partitions {
			if owner := g.owners[partition{topic, index}]; owner != "" && owner != m.id {
				return true
			}
		}
	}
	return false
}

// Leave decides about a LeaveGroup, which may also name members that speak the consumer protocol. It returns an error,
// or nil, for each.
func (g *Group) Leave(members []LeavingMember, now time.Time) ([]error, group.Step) {
	errs := make([]error, len(members))
	var leaving []*member
	for i, l := range members {
		m := g.members[l.MemberID]
		if l.InstanceID != nil {
			m = g.members[g.static[*l.InstanceID]]
		}
		switch {
		case m == nil:
			errs[i] = group.ErrUnknownMember
		case l.InstanceID != nil && l.MemberID != "" && l.MemberID != m.id:
			errs[i] = group.ErrFencedInstance
		case !slices.Contains(leaving, m):
			leaving = append(leaving, m)
		}
	}
	if len(leaving) == 0 {
		return errs, group.Step{}
	}
	return errs, g.removeMembers(leaving, now)
}

// LeavingMember names a member of a LeaveGroup.
type LeavingMember struct {
	MemberID   string
	InstanceID *string
}

// EncodeAssignment encodes partitions as a ConsumerProtocolAssignment of the version that a member's subscription has.
// Partitions of topics that do not exist any more are left out.
func EncodeAssignment(partitions assignment.Set, subscription []byte, topics group.Topics) []byte {
	a := kmsg.NewConsumerMemberAssignment()
	if len(subscription) >= 2 {
		a.Version = int16(subscription[0])<<8 | int16(subscription[1])
	}
	a.Version = min(max(a.Version, 0), highestAssignmentVersion)
	for _, id := range partitions.Topics() {
		if topic, ok := topics.LookupID(id); ok {
			t := kmsg.NewConsumerMemberAssignmentTopic()
			t.Topic, t.Partitions = topic.Name, partitions[id]
			a.Topics = append(a.Topics, t)
		}
	}
	return a.AppendTo(nil)
}

// highestAssignmentVersion is the highest version of ConsumerProtocolAssignment; all have the same fields.
const highestAssignmentVersion = 3
