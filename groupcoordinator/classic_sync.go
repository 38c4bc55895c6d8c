package groupcoordinator

import (
	"bytes"
	"time"
)

// SyncRequest asks for the member's assignment; the leader's has the assignments of all members (spec: groups 5). The
// caller may reuse strings and bytes after Sync has returned.
type SyncRequest struct {
	GroupID, MemberID          string
	InstanceID                 *string
	Generation                 int32
	ProtocolType, ProtocolName *string // nil: not given
	Assignments                []Assignment
}

// Assignment is the leader's assignment for one member.
type Assignment struct {
	MemberID   string
	Assignment []byte
}

// SyncResult answers a Sync.
type SyncResult struct {
	Err          error
	ProtocolType *string
	ProtocolName *string
	Assignment   []byte
}

// Sync parks the request until the leader has assigned, or answers at once.
func (c *Coordinator) Sync(r *SyncRequest) *Future[SyncResult] {
	refuse := func(err error) *Future[SyncResult] { return immediate(SyncResult{Err: err}) }
	s, err := c.lockShardOfNamedGroup(r.GroupID)
	if err != nil {
		return refuse(err)
	}
	defer s.mu.Unlock()
	if s.mu.released {
		return refuse(ErrUnknownMember)
	}
	if at, g := s.consumerLocked(r.GroupID); g != nil {
		return s.syncConsumerLocked(at, g, r)
	}
	at, g := s.classicLocked(r.GroupID)
	if g == nil || g.state == Empty {
		return refuse(ErrUnknownMember)
	}
	f := parked[SyncResult]()
	work := g
	if g.state == CompletingRebalance && g.isLeader(r.MemberID) {
		work = g.clone()
	}
	e := s.effectsLocked()
	work.sync(e, r, f)
	if g.byID[r.MemberID] != nil {
		s.heardLocked(r.GroupID, r.MemberID)
	}
	if err := s.finishLocked(at, work, e); err != nil {
		s.assignmentNotStoredLocked(at, g, err)
		return refuse(err)
	}
	return f
}

func (g *classicGroup) sync(e *effects, r *SyncRequest, f *Future[SyncResult]) {
	answer := func(result SyncResult) { e.syncs = append(e.syncs, syncAnswer{f, result}) }
	if err := g.validateSync(r); err != nil {
		answer(SyncResult{Err: err})
		return
	}
	m := g.byID[r.MemberID]
	switch g.state {
	case PreparingRebalance:
		answer(SyncResult{Err: ErrRebalanceInProgress})
	case CompletingRebalance:
		g.answerSync(e, m, SyncResult{Err: ErrRebalanceInProgress}) // an earlier one whose client gave up
		m.sync = f
		g.synced(m.id)
		if g.isLeader(m.id) {
			g.assign(e, r.Assignments)
		}
	default: // Stable
		g.synced(m.id) // the session is not restarted, as in Kafka
		answer(g.assigned(m))
	}
}

func (g *classicGroup) validateSync(r *SyncRequest) error {
	if err := g.validate(r.MemberID, r.InstanceID); err != nil {
		return err
	}
	if r.Generation != g.generation {
		return ErrIllegalGeneration
	}
	if r.ProtocolType != nil && *r.ProtocolType != g.protocolType ||
		r.ProtocolName != nil && g.protocolName != nil && *r.ProtocolName != *g.protocolName {
		return ErrInconsistentProtocol
	}
	return nil
}

func (g *classicGroup) synced(memberID string) {
	delete(g.pendingSync, memberID)
	if len(g.pendingSync) == 0 {
		g.syncDeadline = time.Time{}
	}
}

// assign stores the leader's assignments. Members without one get an empty one; unknown members are ignored.
func (g *classicGroup) assign(e *effects, assignments []Assignment) {
	for _, m := range g.members {
		m.assignment = []byte{}
	}
	for _, a := range assignments {
		if m := g.byID[a.MemberID]; m != nil {
			m.assignment = bytes.Clone(a.Assignment)
		}
	}
	g.enter(Stable, e)
	e.write, e.rebalanced = true, true
	for _, m := range g.members {
		if g.answerSync(e, m, g.assigned(m)) {
			m.deadline = e.now.Add(m.sessionTimeout)
		}
	}
}

func (g *classicGroup) assigned(m *member) SyncResult {
	protocolType := g.protocolType
	return SyncResult{ProtocolType: &protocolType, ProtocolName: g.protocolName, Assignment: m.assignment}
}

// assignmentNotStoredLocked answers all parked Syncs with the error of a failed append, and begins a new phase.
func (s *shard) assignmentNotStoredLocked(at *entry, g *classicGroup, err error) {
	e := s.effectsLocked()
	for _, m := range g.members {
		if g.answerSync(e, m, SyncResult{Err: err}) {
			m.deadline = e.now.Add(m.sessionTimeout)
		}
	}
	g.prepareRebalance(e)
	_ = s.finishLocked(at, g, e) // members remain, so there is nothing to write
}

// HeartbeatRequest keeps a member's session alive.
type HeartbeatRequest struct {
	GroupID, MemberID string
	InstanceID        *string
	Generation        int32
}

// Heartbeat restarts the member's session (spec: groups 6). It never writes.
func (c *Coordinator) Heartbeat(r *HeartbeatRequest) error {
	s, err := c.lockShardOfNamedGroup(r.GroupID)
	switch err {
	case nil:
		defer s.mu.Unlock()
	case ErrLoading:
		return nil // a member that is sent away while its group loads would only rebalance for nothing
	default:
		return err
	}
	if at, g := s.consumerLocked(r.GroupID); g != nil {
		s.heardLocked(r.GroupID, r.MemberID)
		step, err := g.ClassicHeartbeat(r.MemberID, r.InstanceID, r.Generation, s.c.cfg.Members.Now())
		return s.afterErrorLocked(at, step, err)
	}
	at, g := s.classicLocked(r.GroupID)
	if g == nil {
		return ErrUnknownMember
	}
	if err := g.validate(r.MemberID, r.InstanceID); err != nil {
		return err
	}
	if r.Generation != g.generation {
		return ErrIllegalGeneration
	}
	if g.state == Empty {
		return ErrUnknownMember
	}
	s.extendSessionLocked(at, g.byID[r.MemberID])
	if g.state == PreparingRebalance {
		return ErrRebalanceInProgress
	}
	return nil
}
