package consumergroup

import (
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/durability"
	"once/groupcoordinator/assignment"
	"once/groupcoordinator/group"
)

// Groups change between the classic and the consumer protocol while their members stay (spec: groups 20).

// ClassicMember is a member that moves between the two.
type ClassicMember struct {
	ID                   string
	InstanceID           *string
	ClientID, ClientHost string
	SessionTimeout       time.Duration
	RebalanceTimeout     time.Duration
	Protocols            []group.Protocol
	Target               assignment.Set // of a group that becomes a classic one
	Subscription         []byte         // of a group that was a classic one: the metadata of the chosen protocol
	Assignment           []byte         // and the assignment, as the member knows it
}

// Downgrade is a consumer group that is about to become a classic one.
type Downgrade struct {
	GroupID    string
	Generation int32
	Members    []ClassicMember // ordered by ID
	Rebalance  bool            // the assignments are out of date
	Tombstones []group.Record  // of the consumer group
	Now        time.Time
}

// ErrNotUpgradable: the group cannot become a consumer group.
var ErrNotUpgradable = fmt.Errorf("%w: it is no consumer group, and cannot become one", group.ErrGroupNotFound)

// FromClassic makes a consumer group of a classic one and its records; its members keep what they are assigned.
func FromClassic(cfg *Config, id string, generation int32, members []ClassicMember,
	now time.Time) (*Group, []group.Record, error) {
	if len(members) > cfg.MaxSize {
		return nil, nil, fmt.Errorf("%w: too many members", ErrNotUpgradable)
	}
	g := New(cfg, id)
	var targets, currents []group.Record
	var records []group.Record
	topics := map[string]bool{}
	for i := range members {
		m := &members[i]
		var subscription kmsg.ConsumerMemberMetadata
		if err := subscription.ReadFrom(m.Subscription); err != nil {
			return nil, nil, fmt.Errorf("%w: subscription of %q: %w", ErrNotUpgradable, m.ID, err)
		}
		assigned, err := decodeAssignment(m.Assignment, cfg.Topics)
		if err != nil {
			return nil, nil, fmt.Errorf("%w: assignment of %q: %w", ErrNotUpgradable, m.ID, err)
		}
		for _, name := range subscription.Topics {
			topics[name] = true
		}
		meta := MemberValue{
			InstanceID: m.InstanceID, RackID: subscription.Rack, ClientID: m.ClientID, ClientHost: m.ClientHost,
			SubscribedTopics: sortedNames(subscription.Topics), RebalanceTimeoutMs: int32(m.RebalanceTimeout.Milliseconds()),
			Classic: &ClassicValue{SessionTimeoutMs: int32(m.SessionTimeout.Milliseconds()), Protocols: m.Protocols},
		}
		records = append(records, g.record(keyMember, m.ID, meta.clone()))
		targets = append(targets, g.record(keyTarget, m.ID, TargetValue{assigned}))
		currents = append(currents, g.record(keyCurrent, m.ID, CurrentValue{
			MemberEpoch: generation, PreviousMemberEpoch: generation, Assigned: withEpoch(assigned, generation),
		}))
	}
	records = append(records, g.record(keyGroup, "", GroupValue{GroupEpoch: generation, MetadataHash: g.hashOf(topics)}))
	records = append(records, targets...)
	records = append(records, g.record(keyTargetEpoch, "", TargetEpochValue{AssignmentEpoch: generation}))
	records = append(records, currents...)
	for _, r := range records {
		g.Apply(r)
	}
	for i := range members {
		m := g.members[members[i].ID]
		m.session = now.Add(members[i].SessionTimeout)
	}
	return g, records, nil
}

// decodeAssignment reads a ConsumerProtocolAssignment. One with data of a custom assignor is refused: it would be lost.
func decodeAssignment(raw []byte, topics group.Topics) (assignment.Set, error) {
	assigned := assignment.Set{}
	if len(raw) == 0 {
		return assigned, nil
	}
	var a kmsg.ConsumerMemberAssignment
	if err := a.ReadFrom(raw); err != nil {
		return nil, err
	}
	if len(a.UserData) > 0 {
		return nil, fmt.Errorf("it has data of a custom assignor")
	}
	for _, t := range a.Topics {
		if topic, ok := topics.Lookup(t.Topic); ok {
			assigned.Add(topic.ID, t.Partitions...)
		}
	}
	return assigned, nil
}

// downgradeWithout makes a classic group of those members that do not leave, if all of them speak the classic protocol.
func (g *Group) downgradeWithout(leaving map[string]bool, now time.Time) (group.Step, bool) {
	d := Downgrade{GroupID: g.id, Generation: g.groupEpoch, Rebalance: true, Now: now}
	for _, id := range g.memberIDs() {
		m := g.members[id]
		if leaving[id] {
			continue
		}
		if !m.isClassic() {
			return group.Step{}, false
		}
		d.Members = append(d.Members, classicMemberOf(id, &m.meta, g.targets[id]))
	}
	if len(d.Members) == 0 || g.cfg.Downgrade == nil {
		return group.Step{}, false
	}
	d.Tombstones = g.Tombstones()
	return g.cfg.Downgrade(d)
}

// downgradeWithJoined does the same when a member that speaks the classic protocol takes the place of the last static
// one that spoke the other.
func (t *transition) downgradeWithJoined(owned assignment.Set) (group.Step, bool) {
	g := t.g
	replaced := g.members[t.replaced]
	if replaced == nil || replaced.isClassic() || g.cfg.Downgrade == nil {
		return group.Step{}, false
	}
	d := Downgrade{GroupID: g.id, Generation: g.groupEpoch, Rebalance: g.assignmentEpoch < t.groupEpoch, Now: t.now}
	allClassic := true
	t.others(func(m *member) {
		allClassic = allClassic && m.isClassic()
	})
	if !allClassic {
		return group.Step{}, false
	}
	for _, id := range g.memberIDs() {
		if id != t.replaced {
			d.Members = append(d.Members, classicMemberOf(id, &g.members[id].meta, g.targets[id]))
		}
	}
	d.Members = append(d.Members, classicMemberOf(t.id, &t.meta, g.targets[t.replaced]))
	d.Tombstones = g.Tombstones()
	step, ok := g.cfg.Downgrade(d)
	if ok && !d.Rebalance {
		t.assign()
		_ = t.reconcile(owned) // a member that has just joined is in no unknown state
	}
	return step, ok
}

func classicMemberOf(id string, meta *MemberValue, target assignment.Set) ClassicMember {
	return ClassicMember{
		ID: id, InstanceID: meta.InstanceID, ClientID: meta.ClientID, ClientHost: meta.ClientHost,
		SessionTimeout:   milliseconds(meta.Classic.SessionTimeoutMs),
		RebalanceTimeout: milliseconds(meta.RebalanceTimeoutMs), Protocols: meta.Classic.Protocols, Target: target,
	}
}

// changedAfter notes that the group has changed.
func (g *Group) changedAfter(now time.Time) func(durability.Ticket) {
	return func(durability.Ticket) { g.changedAt = now }
}
