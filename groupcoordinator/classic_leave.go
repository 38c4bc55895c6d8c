package groupcoordinator

import (
	"errors"

	"once/groupcoordinator/group"
)

// LeaveRequest takes members out of a group (spec: groups 7).
type LeaveRequest struct {
	GroupID string
	Members []LeaveMember
}

// LeaveMember names a member by member ID, or, for an administrator, by group instance ID alone.
type LeaveMember struct {
	MemberID   string
	InstanceID *string
}

// LeaveResult answers a Leave: Err for the whole group, else one error (or nil) a member, in the order of the request.
type LeaveResult struct {
	Err     error
	Members []error
}

// Leave removes members and starts a rebalance when any was removed.
func (c *Coordinator) Leave(r *LeaveRequest) *Future[LeaveResult] {
	refuse := func(err error) *Future[LeaveResult] { return immediate(LeaveResult{Err: err}) }
	s, err := c.lockShardOfNamedGroup(r.GroupID)
	if err != nil {
		return refuse(err)
	}
	defer s.mu.Unlock()
	result := LeaveResult{Members: make([]error, len(r.Members))}
	if at, g := s.consumerLocked(r.GroupID); g != nil {
		return s.leaveConsumerLocked(at, g, r)
	}
	at, g := s.classicLocked(r.GroupID)
	if g == nil {
		for i := range result.Members {
			result.Members[i] = ErrUnknownMember
		}
		return immediate(result)
	}
	work, e := g.clone(), s.effectsLocked()
	work.leave(e, r.Members, result.Members)
	if err := s.finishLocked(at, work, e); err != nil {
		return refuse(err)
	}
	return ready(result, s.mu.durable)
}

func (g *classicGroup) leave(e *effects, members []LeaveMember, errs []error) {
	removed := false
	for i, l := range members {
		if errs[i] = g.leaveOne(e, l); errs[i] == nil {
			removed = true
		}
	}
	if removed {
		g.afterRemoval(e)
	}
}

func (g *classicGroup) leaveOne(e *effects, l LeaveMember) error {
	id := l.MemberID
	if id == "" {
		if l.InstanceID == nil || g.static[*l.InstanceID] == "" {
			return ErrUnknownMember
		}
		id = g.static[*l.InstanceID]
	} else if _, pending := g.pendingJoin[id]; pending {
		delete(g.pendingJoin, id)
		return nil
	} else if err := g.validate(id, l.InstanceID); err != nil {
		return err
	}
	g.drop(e, g.byID[id])
	return nil
}

// Description is a group as DescribeGroups shows it (spec: groups 15).
type Description struct {
	State        State
	ProtocolType string
	Protocol     string // the one chosen; only while Stable
	Members      []MemberDescription
}

// MemberDescription is a member of a Description. Metadata is only shown while Stable. Assignment is the member's last
// one, also while the group rebalances: tools use it to show which member still has a partition.
type MemberDescription struct {
	MemberID   string
	InstanceID *string
	ClientID   string
	ClientHost string
	Metadata   []byte
	Assignment []byte
}

// Describe returns a description of a classic group, or ErrGroupNotFound.
func (c *Coordinator) Describe(groupID string) (Description, error) {
	s, err := c.lockShard(groupID)
	if err != nil {
		return Description{}, err
	}
	defer s.mu.Unlock()
	_, g := s.classicLocked(groupID)
	if g == nil {
		return Description{}, s.noGroupLocked(groupID, group.Classic)
	}
	d := Description{State: g.state, ProtocolType: g.protocolType}
	if g.state == Stable && g.protocolName != nil {
		d.Protocol = *g.protocolName
	}
	for _, m := range g.members {
		x := MemberDescription{
			MemberID: m.id, InstanceID: m.instanceID, ClientID: m.clientID, ClientHost: m.clientHost,
			Assignment: m.assignment,
		}
		if g.state == Stable {
			x.Metadata = m.metadataFor(d.Protocol)
		}
		d.Members = append(d.Members, x)
	}
	return d, nil
}

// Listed is a group as ListGroups shows it. Type and State are names on the wire.
type Listed struct {
	GroupID, ProtocolType, Type, State string
}

// List returns all groups, in no particular order. As in Kafka those of a partition that is offline are left out.
func (c *Coordinator) List() ([]Listed, error) {
	var list []Listed
	for _, s := range c.shards {
		s.mu.Lock()
		err := s.usableLocked()
		if errors.Is(err, ErrNotCoordinator) {
			err = nil
		}
		for _, g := range s.mu.groups {
			list = append(list, Listed{
				GroupID: g.ID(), ProtocolType: g.ProtocolType(), Type: string(g.Type()), State: g.State(),
			})
		}
		s.mu.Unlock()
		if err != nil {
			return nil, err
		}
	}
	return list, nil
}
