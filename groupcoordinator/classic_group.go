package groupcoordinator

import (
	"slices"
	"time"

	"once/durability"
	"once/groupcoordinator/group"
	"once/internal/invariant"
)

// The classic group as a group.Group.

// ID implements group.Group.
func (g *classicGroup) ID() string { return g.id }

// Type implements group.Group.
func (g *classicGroup) Type() group.Type { return group.Classic }

// State implements group.Group.
func (g *classicGroup) State() string { return g.state.String() }

// ProtocolType implements group.Group.
func (g *classicGroup) ProtocolType() string { return g.protocolType }

// Members implements group.Group.
func (g *classicGroup) Members() int { return len(g.members) }

// IsEmpty implements group.Group.
func (g *classicGroup) IsEmpty() bool { return g.state == Empty }

// IsUnused implements group.Group.
func (g *classicGroup) IsUnused() bool { return g.state == Empty && len(g.pendingJoin) == 0 }

// IsSubscribedTo says whether members use offsets of the topic; a consumer group whose subscriptions cannot be read
// counts as subscribed to everything.
func (g *classicGroup) IsSubscribedTo(topic string) bool {
	if g.subscribed == nil {
		return g.protocolType == consumerProtocolType
	}
	return g.subscribed[topic]
}

// ExpiryBase implements group.Group (spec: groups 13).
func (g *classicGroup) ExpiryBase(topic string, commitTimestampMs int64) (baseMs int64, may bool) {
	switch {
	case g.IsSubscribedTo(topic):
		return 0, false
	case g.protocolType == "":
		return commitTimestampMs, g.isSimple()
	case g.state == Empty && g.stateTimestamp != -1:
		return g.stateTimestamp, true
	case g.state == Empty:
		return commitTimestampMs, true
	case g.state == Stable && g.protocolType == consumerProtocolType && g.subscribed != nil:
		return commitTimestampMs, true
	}
	return 0, false
}

// ValidateCommit implements group.Group. A commit keeps the member's session alive, unless it is part of a transaction.
func (g *classicGroup) ValidateCommit(c group.Committer) (group.CommitCheck, error) {
	if c.Transactional {
		return nil, g.validateTxnCommit(c.MemberID, c.InstanceID, c.Epoch)
	}
	return nil, g.validateCommit(c.MemberID, c.InstanceID, c.Epoch)
}

// ValidateFetch implements group.Group: classic groups ignore member and epoch.
func (g *classicGroup) ValidateFetch(*string, int32) error { return nil }

// Apply implements group.Group.
func (g *classicGroup) Apply(r group.Record) { g.applyRecord(r.(classicRecord).meta) }

// Tombstones implements group.Group.
func (g *classicGroup) Tombstones() []group.Record {
	return []group.Record{classicRecord{groupID: g.id}}
}

// Due implements group.Group.
func (g *classicGroup) Due(now time.Time) group.Step {
	work, e := g.clone(), newEffects(now, g.cfg)
	work.due(e)
	return work.step(e)
}

// Resume implements group.Group: members get a full session timeout.
func (g *classicGroup) Resume(now time.Time) group.Step {
	work, e := g.clone(), newEffects(now, g.cfg)
	work.restored = work.restored || work.given == 0
	for _, m := range work.members {
		m.deadline = now.Add(m.sessionTimeout)
	}
	if len(work.members) > g.cfg.MaxSize {
		work.prepareRebalance(e) // the maximum has been lowered: the last to join stay outside
	}
	return work.step(e) // without a record: the group has members, or has not changed
}

// DropMembers implements group.Group.
func (g *classicGroup) DropMembers(now time.Time) group.Step {
	if len(g.members) == 0 {
		return group.Step{}
	}
	work, e := g.clone(), newEffects(now, g.cfg)
	for _, m := range slices.Clone(work.members) {
		work.drop(e, m)
	}
	work.afterRemoval(e)
	return work.step(e)
}

// Rebalance implements group.Group, as if a member had changed its subscription.
func (g *classicGroup) Rebalance(now time.Time) group.Step {
	work, e := g.clone(), newEffects(now, g.cfg)
	work.rebalanceOrComplete(e)
	return work.step(e)
}

// AnswerParked implements group.Group.
func (g *classicGroup) AnswerParked(err error) {
	for _, m := range g.members {
		if m.join != nil {
			m.join.resolve(JoinResult{Err: err, MemberID: m.id}, durability.Ticket{})
			m.join = nil
		}
		if m.sync != nil {
			m.sync.resolve(SyncResult{Err: err}, durability.Ticket{})
			m.sync = nil
		}
	}
}

// step is the transition to g with its effects.
func (g *classicGroup) step(e *effects) group.Step {
	step := group.Step{Next: g, Dropped: e.dropped}
	if e.write {
		invariant.Check(g.state == Empty || g.state == Stable, "group record in state %v", g.state)
		step.Records = []group.Record{g.record()}
	}
	if len(e.joins)+len(e.syncs) > 0 {
		step.After = func(stored durability.Ticket) {
			for _, a := range e.joins {
				a.to.resolve(a.result, stored)
			}
			for _, a := range e.syncs {
				a.to.resolve(a.result, stored)
			}
		}
	}
	return step
}
