package groupcoordinator

import (
	"slices"
	"time"

	"once/internal/invariant"
)

// The join phase (spec: groups 2, 3.4, 4).

func (g *classicGroup) enter(s State, e *effects) {
	invariant.Check(slices.Contains(legalFrom[s], g.state), "group goes from %v to %v", g.state, s)
	g.previous, g.state = g.state, s
	g.stateTimestamp = e.clockMs
}

// rebalanceOrComplete begins a join phase, or ends the running one if all have joined.
func (g *classicGroup) rebalanceOrComplete(e *effects) {
	if g.state == PreparingRebalance {
		g.completeIfAllJoined(e)
		return
	}
	g.prepareRebalance(e)
}

func (g *classicGroup) prepareRebalance(e *effects) {
	if g.state == CompletingRebalance {
		for _, m := range g.members {
			m.assignment = nil
			if g.answerSync(e, m, SyncResult{Err: ErrRebalanceInProgress}) {
				m.deadline = e.now.Add(m.sessionTimeout)
			}
		}
	}
	g.pendingSync, g.syncDeadline = nil, time.Time{}
	fromEmpty := g.state == Empty
	g.enter(PreparingRebalance, e)
	switch {
	case len(g.members) == 0: // Kafka waits for the longest rebalance timeout of the members: none
		g.completeJoin(e)
	case !fromEmpty && g.allJoined(), fromEmpty && e.cfg.InitialRebalanceDelay <= 0:
		g.completeJoin(e)
	case fromEmpty:
		g.initial, g.memberAdded = true, false
		g.initialDelay = e.cfg.InitialRebalanceDelay
		g.initialRest = max(g.rebalanceTimeout()-g.initialDelay, 0)
		g.joinDeadline = e.now.Add(g.initialDelay)
	default:
		g.joinDeadline = e.now.Add(g.rebalanceTimeout())
	}
}

// completeIfAllJoined ends the join phase early, except for the initial delay, which always runs to its end.
func (g *classicGroup) completeIfAllJoined(e *effects) {
	if g.state == PreparingRebalance && !g.initial && g.allJoined() {
		g.completeJoin(e)
	}
}

// joinDeadlinePassed extends the initial delay if members have joined meanwhile, or ends the phase.
func (g *classicGroup) joinDeadlinePassed(e *effects) {
	if g.initial && g.memberAdded && g.initialRest > 0 {
		g.memberAdded = false
		next := min(e.cfg.InitialRebalanceDelay, g.initialRest)
		g.initialRest = max(g.initialRest-g.initialDelay, 0)
		g.initialDelay = next
		g.joinDeadline = e.now.Add(next)
		return
	}
	g.completeJoin(e)
}

// completeJoin ends the join phase: dynamic members that did not join are removed, a new generation begins, every
// parked Join is answered.
func (g *classicGroup) completeJoin(e *effects) {
	g.joinDeadline, g.initial = time.Time{}, false
	for _, m := range slices.Clone(g.members) {
		if m.join == nil && m.instanceID == nil {
			g.remove(m.id)
			e.dropped = append(e.dropped, m.id)
		}
	}
	if len(g.members) > 0 && !g.electJoinedLeader() {
		// Only silent static members are left. Their session timeouts decide.
		g.joinDeadline = e.now.Add(g.rebalanceTimeout())
		return
	}
	g.nextGeneration(e.now)
	g.pendingSync = nil
	if len(g.members) == 0 {
		g.protocolName = nil
		g.subscribed = g.subscribedTopics()
		g.enter(Empty, e)
		e.write = true
		return
	}
	name := g.selectProtocol()
	g.protocolName = &name
	g.subscribed = g.subscribedTopics()
	g.enter(CompletingRebalance, e)
	g.pendingSync = make(map[string]bool, len(g.members))
	for _, m := range g.members {
		g.answerJoin(e, m, g.joined(m))
		m.deadline = e.now.Add(m.sessionTimeout)
		m.isNew = false
		g.pendingSync[m.id] = true
	}
	g.syncDeadline = e.now.Add(g.rebalanceTimeout())
}

func (g *classicGroup) nextGeneration(now time.Time) {
	next := max(int64(g.generation), int64(g.given)) + 1
	if g.restored {
		next = max(next+generationReserve, now.Unix()-generationEpoch)
		g.restored = false
	}
	if next > lastGeneration {
		next = 1 // rather than hand out what means "none"
	}
	g.generation, g.given = int32(next), 0
}

// electJoinedLeader makes a member that has joined the leader; false when there is none.
func (g *classicGroup) electJoinedLeader() bool {
	if leader := g.byID[g.leaderID]; leader != nil && leader.join != nil {
		return true
	}
	for _, m := range g.members {
		if m.join != nil {
			g.leaderID = m.id
			return true
		}
	}
	return false
}

// joined is the answer to a member's Join in the current generation; only the leader sees the members.
func (g *classicGroup) joined(m *member) JoinResult {
	protocolType := g.protocolType // a copy: the group moves on while the answer is being sent
	r := JoinResult{
		Generation: g.generation, ProtocolType: &protocolType, ProtocolName: g.protocolName,
		LeaderID: g.leaderID, MemberID: m.id,
	}
	if g.isLeader(m.id) {
		r.Members = g.joinMembers()
	}
	return r
}

func (g *classicGroup) joinMembers() []JoinMember {
	list := make([]JoinMember, len(g.members))
	for i, m := range g.members {
		list[i] = JoinMember{MemberID: m.id, InstanceID: m.instanceID, Metadata: m.metadataFor(*g.protocolName)}
	}
	return list
}

// drop removes a member and answers its parked requests. The caller then continues the phase.
func (g *classicGroup) drop(e *effects, m *member) {
	g.answerJoin(e, m, JoinResult{Err: ErrUnknownMember})
	g.answerSync(e, m, SyncResult{Err: ErrUnknownMember})
	g.remove(m.id)
	e.dropped = append(e.dropped, m.id)
}

// afterRemoval continues the phase after members or pending members were removed.
func (g *classicGroup) afterRemoval(e *effects) {
	switch g.state {
	case Stable, CompletingRebalance:
		g.prepareRebalance(e)
	case PreparingRebalance:
		g.completeIfAllJoined(e)
	}
}

// due handles every deadline that has passed at e.now.
func (g *classicGroup) due(e *effects) {
	passed := func(t time.Time) bool { return !t.IsZero() && !t.After(e.now) }
	for id, deadline := range g.pendingJoin {
		if passed(deadline) {
			delete(g.pendingJoin, id)
			g.completeIfAllJoined(e)
		}
	}
	for _, m := range slices.Clone(g.members) {
		if g.byID[m.id] != m || !passed(m.deadline) {
			continue
		}
		if !m.isNew && (m.join != nil || m.sync != nil) {
			m.deadline = time.Time{} // not counted while parked; the answer starts it again
			continue
		}
		g.drop(e, m)
		g.afterRemoval(e)
	}
	if passed(g.joinDeadline) {
		g.joinDeadlinePassed(e)
	}
	if passed(g.syncDeadline) {
		g.syncDeadlinePassed(e)
	}
}

// syncDeadlinePassed removes the members that got an answer to their Join and never synced.
func (g *classicGroup) syncDeadlinePassed(e *effects) {
	g.syncDeadline = time.Time{}
	if len(g.pendingSync) == 0 {
		return
	}
	for _, m := range slices.Clone(g.members) {
		if g.pendingSync[m.id] {
			g.drop(e, m)
		}
	}
	g.prepareRebalance(e)
}

// NextWake implements group.Group: the earliest deadline, zero when there is none.
func (g *classicGroup) NextWake() time.Time {
	var earliest time.Time
	consider := func(t time.Time) {
		if !t.IsZero() && (earliest.IsZero() || t.Before(earliest)) {
			earliest = t
		}
	}
	consider(g.joinDeadline)
	consider(g.syncDeadline)
	for _, deadline := range g.pendingJoin {
		consider(deadline)
	}
	for _, m := range g.members {
		consider(m.deadline)
	}
	return earliest
}
