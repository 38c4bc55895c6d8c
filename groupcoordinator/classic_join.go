package groupcoordinator

import (
	"bytes"
	"strings"
	"time"
)

// JoinRequest asks to become or stay a member (spec: groups 3). The caller may reuse strings and bytes after Join has
// returned.
type JoinRequest struct {
	GroupID, MemberID    string
	InstanceID           *string
	ClientID, ClientHost string
	SessionTimeout       time.Duration
	RebalanceTimeout     time.Duration
	ProtocolType         string
	Protocols            []Protocol
	// MemberIDRequired makes a new dynamic member join twice (KIP-394, from version 4).
	MemberIDRequired bool
	// SkipAssignment says that the client understands a leader that need not assign (KIP-814, version 9).
	SkipAssignment bool
}

// JoinResult answers a Join. If Err is set, only MemberID, or the present state of the group, may be set, too.
type JoinResult struct {
	Err            error
	Generation     int32
	ProtocolType   *string
	ProtocolName   *string
	LeaderID       string
	MemberID       string
	SkipAssignment bool
	Members        []JoinMember // for the leader
}

// JoinMember is a member as the leader sees it.
type JoinMember struct {
	MemberID   string
	InstanceID *string
	Metadata   []byte // for the protocol chosen
}

// Join parks the request until the join phase ends, or answers at once.
func (c *Coordinator) Join(r *JoinRequest) *Future[JoinResult] {
	refuse := func(err error) *Future[JoinResult] {
		return immediate(JoinResult{Err: err, MemberID: strings.Clone(r.MemberID)})
	}
	if err := requireGroupID(r.GroupID); err != nil {
		return refuse(err)
	}
	if r.SessionTimeout < c.cfg.MinSessionTimeout || r.SessionTimeout > c.cfg.MaxSessionTimeout {
		return refuse(ErrSessionTimeout)
	}
	s, err := c.lockShard(r.GroupID)
	if err != nil {
		return refuse(err)
	}
	defer s.mu.Unlock()
	if s.mu.released {
		return refuse(ErrUnknownMember)
	}
	if at, g := s.consumerLocked(r.GroupID); g != nil && !g.IsEmpty() {
		return s.joinConsumerLocked(at, g, r)
	}
	if old := s.mu.groups[r.GroupID]; old == nil || isReplaceable(old) {
		if r.MemberID != "" {
			return refuse(ErrUnknownMember)
		}
		if err := s.createGroupLocked(r.GroupID, old); err != nil {
			return refuse(err)
		}
	}
	at, g := s.classicLocked(r.GroupID)
	if g == nil { // a group of another type: Kafka does not repeat the member ID
		return immediate(JoinResult{Err: ErrInconsistentProtocol})
	}
	f := parked[JoinResult]()
	// Only the replacement of a static member can need a record.
	work := g
	if r.MemberID == "" && r.InstanceID != nil && g.static[*r.InstanceID] != "" {
		work = g.clone()
	}
	e := s.effectsLocked()
	work.join(e, r, f)
	if err := s.finishLocked(at, work, e); err != nil { // the member that was to be replaced stays
		return immediate(JoinResult{Err: err, Generation: g.generation, ProtocolName: g.protocolName, LeaderID: g.leaderID})
	}
	return f
}

// hasRoom says whether the maximum size allows a Join (spec: groups 3.2, row 4).
func (g *classicGroup) hasRoom(memberID string, maxSize int) bool {
	m := g.byID[memberID]
	switch g.state {
	case PreparingRebalance:
		// Only members that have joined in this phase count: so a group that is too large loses the last to join.
		return m != nil && m.join != nil || g.awaitingJoin() < maxSize
	case CompletingRebalance, Stable:
		return m != nil || len(g.members) < maxSize
	default:
		return true
	}
}

// join handles a Join; f is resolved now or later.
func (g *classicGroup) join(e *effects, r *JoinRequest, f *Future[JoinResult]) {
	answer := func(result JoinResult) { e.joins = append(e.joins, joinAnswer{f, result}) }
	refuse := func(err error) { answer(JoinResult{Err: err, MemberID: strings.Clone(r.MemberID)}) }
	if !g.hasRoom(r.MemberID, e.cfg.MaxSize) {
		if m := g.byID[r.MemberID]; m != nil {
			g.drop(e, m)
			g.completeIfAllJoined(e)
		}
		delete(g.pendingJoin, r.MemberID)
		answer(JoinResult{Err: ErrGroupFull})
		return
	}
	if !g.supportsProtocols(r.ProtocolType, r.Protocols) {
		refuse(ErrInconsistentProtocol)
		return
	}
	if r.MemberID == "" {
		g.joinUnknown(e, r, f)
		return
	}
	if _, pending := g.pendingJoin[r.MemberID]; pending {
		if r.InstanceID != nil {
			refuse(ErrUnknownMember) // such an ID was handed to a dynamic member
			return
		}
		g.addAndRebalance(e, r, strings.Clone(r.MemberID), f)
		return
	}
	if err := g.validate(r.MemberID, r.InstanceID); err != nil {
		refuse(err)
		return
	}
	g.rejoin(e, r, g.byID[r.MemberID], f)
}

// joinUnknown handles a Join without a member ID.
func (g *classicGroup) joinUnknown(e *effects, r *JoinRequest, f *Future[JoinResult]) {
	if r.InstanceID != nil {
		id := e.cfg.NewMemberID(*r.InstanceID)
		if old := g.byID[g.static[*r.InstanceID]]; old != nil {
			g.replaceStatic(e, r, old, id, f)
			return
		}
		g.addAndRebalance(e, r, id, f)
		return
	}
	id := e.cfg.NewMemberID(r.ClientID)
	if !r.MemberIDRequired {
		g.addAndRebalance(e, r, id, f)
		return
	}
	if g.pendingJoin == nil {
		g.pendingJoin = make(map[string]time.Time)
	}
	g.pendingJoin[id] = e.now.Add(r.SessionTimeout)
	e.joins = append(e.joins, joinAnswer{f, JoinResult{Err: ErrMemberIDRequired, MemberID: id}})
}

func (g *classicGroup) rejoin(e *effects, r *JoinRequest, m *member, f *Future[JoinResult]) {
	same := m.matches(r.Protocols)
	switch {
	case g.state == CompletingRebalance && same, g.state == Stable && same && !g.isLeader(m.id):
		// The answer to the last Join was probably lost. In Stable the leader instead asks for a
		// rebalance, for changes that metadata does not show.
		e.joins = append(e.joins, joinAnswer{f, g.joined(m)})
	case g.state == Empty:
		e.joins = append(e.joins, joinAnswer{f, JoinResult{Err: ErrUnknownMember, MemberID: m.id}})
	default:
		g.update(e, m, r, f)
		g.rebalanceOrComplete(e)
	}
}

// update stores the protocols of a Join and parks it. An earlier parked Join of the member is refused.
func (g *classicGroup) update(e *effects, m *member, r *JoinRequest, f *Future[JoinResult]) {
	g.answerJoin(e, m, JoinResult{Err: ErrRebalanceInProgress, MemberID: m.id})
	m.protocols = cloneProtocols(r.Protocols)
	m.rebalanceTimeout, m.sessionTimeout = r.RebalanceTimeout, r.SessionTimeout
	m.join = f
}

func (g *classicGroup) addAndRebalance(e *effects, r *JoinRequest, id string, f *Future[JoinResult]) {
	if len(g.members) == 0 && g.protocolType != r.ProtocolType {
		g.protocolType = strings.Clone(r.ProtocolType)
	}
	if g.state == PreparingRebalance && g.initial {
		g.memberAdded = true
	}
	g.add(&member{
		id: id, instanceID: cloneOptional(r.InstanceID),
		clientID: strings.Clone(r.ClientID), clientHost: strings.Clone(r.ClientHost),
		rebalanceTimeout: r.RebalanceTimeout, sessionTimeout: r.SessionTimeout,
		protocols: cloneProtocols(r.Protocols),
		deadline:  e.now.Add(newMemberJoinTimeout), isNew: true, join: f,
	})
	g.rebalanceOrComplete(e)
}

// replaceStatic replaces a static member by its next incarnation (spec: groups 8). The old one's parked requests are
// fenced; leadership and assignment are inherited.
func (g *classicGroup) replaceStatic(e *effects, r *JoinRequest, m *member, id string, f *Future[JoinResult]) {
	g.answerJoin(e, m, JoinResult{Err: ErrFencedInstance, MemberID: m.id})
	g.answerSync(e, m, SyncResult{Err: ErrFencedInstance})
	oldLeader := g.leaderID
	delete(g.byID, m.id)
	delete(g.pendingSync, m.id)
	wasLeader := g.isLeader(m.id)
	m.id = id
	g.byID[id] = m
	g.static[*m.instanceID] = id
	if wasLeader {
		g.leaderID = id
	}
	g.update(e, m, r, f)
	m.deadline = e.now.Add(m.sessionTimeout)
	switch {
	case g.state == CompletingRebalance:
		// The leader may be assigning to the old ID at this moment.
		g.prepareRebalance(e)
	case g.state == Stable && g.protocolName != nil && *g.protocolName == g.selectProtocol():
		// Nothing changes for the other members.
		g.subscribed = g.subscribedTopics()
		answer := g.joined(m)
		if r.SkipAssignment {
			answer.SkipAssignment = wasLeader
		} else {
			// An older client that reads its own ID as the leader's would assign anew.
			answer.LeaderID, answer.Members = oldLeader, nil
		}
		g.answerJoin(e, m, answer)
		e.write = true
	case g.state == Stable:
		g.prepareRebalance(e)
	default:
		g.completeIfAllJoined(e)
	}
}

func cloneProtocols(list []Protocol) []Protocol {
	out := make([]Protocol, len(list))
	for i, p := range list {
		out[i] = Protocol{Name: strings.Clone(p.Name), Metadata: bytes.Clone(p.Metadata)}
	}
	return out
}
