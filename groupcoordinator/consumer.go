package groupcoordinator

import (
	"cmp"
	"slices"
	"strings"

	"once/durability"
	"once/groupcoordinator/consumergroup"
	"once/groupcoordinator/group"
)

// Groups of the consumer protocol (spec: groups 17-20).

// The requests and results of consumer groups, whose state machine is in package consumergroup.
type (
	ConsumerHeartbeatRequest = consumergroup.HeartbeatRequest
	ConsumerSettings         = consumergroup.Settings
	ConsumerDescription      = consumergroup.Description
)

// DefaultConsumerSettings are Kafka's defaults, without an interval between assignments.
var DefaultConsumerSettings = ConsumerSettings{
	SessionTimeout: defaultConsumerSession, HeartbeatInterval: defaultConsumerHeartbeat,
}

// MigrationPolicy says which way groups may change between the classic and the consumer protocol while they have
// members.
type MigrationPolicy struct{ NoUpgrade, NoDowngrade bool }

func (c *Coordinator) consumerConfig() consumergroup.Config {
	policy := c.cfg.MigrationPolicy
	cfg := consumergroup.Config{
		Topics: c.cfg.Topics, MaxSize: c.cfg.ConsumerGroupMaxSize, Assignors: c.cfg.ConsumerAssignors,
		AllowsClassic:        !policy.NoUpgrade || !policy.NoDowngrade,
		RegexRefreshInterval: c.cfg.RegexRefreshInterval, Settings: c.cfg.ConsumerSettings,
		NewMemberID: func() string { return strings.TrimPrefix(c.cfg.NewMemberID(""), "-") },
	}
	if !policy.NoDowngrade {
		cfg.Downgrade = c.downgrade
	}
	return cfg
}

// ConsumerHeartbeatResult answers a ConsumerHeartbeat.
type ConsumerHeartbeatResult struct {
	consumergroup.HeartbeatResult
	Err error
}

// ConsumerHeartbeat joins a group of the consumer protocol, stays in it, or leaves it. The answer is there at once, but
// for its durability.
func (c *Coordinator) ConsumerHeartbeat(r *ConsumerHeartbeatRequest) *Future[ConsumerHeartbeatResult] {
	refuse := func(err error) *Future[ConsumerHeartbeatResult] { return immediate(ConsumerHeartbeatResult{Err: err}) }
	if c.cfg.ConsumerProtocol != nil && !c.cfg.ConsumerProtocol() {
		return refuse(ErrProtocolNotServed)
	}
	if err := c.consumer.Validate(r); err != nil {
		return refuse(err)
	}
	s, err := c.lockShard(r.GroupID)
	if err != nil {
		return refuse(err)
	}
	defer s.mu.Unlock()
	at, g, before, err := s.consumerForHeartbeatLocked(r)
	if err != nil {
		return refuse(err)
	}
	result, step, err := g.Heartbeat(r, s.c.cfg.Members.Now())
	if err != nil {
		return refuse(err)
	}
	if err := s.carryOutLocked(at, before.followedBy(g, step)); err != nil {
		return refuse(err)
	}
	s.heardLocked(r.GroupID, result.MemberID)
	return ready(ConsumerHeartbeatResult{HeartbeatResult: result}, s.mu.durable)
}

// prelude is what comes before a heartbeat makes or converts a group.
type prelude struct {
	g       *consumergroup.Group // the new group; nil: the heartbeat's group exists
	records []group.Record
	after   func(durability.Ticket)
}

func (p *prelude) followedBy(g *consumergroup.Group, step group.Step) group.Step {
	if p.g == nil {
		return step
	}
	step.Next, step.Records = g, append(p.records, step.Records...)
	if p.after != nil {
		after := step.After
		step.After = func(stored durability.Ticket) {
			p.after(stored)
			after(stored)
		}
	}
	return step
}

// consumerForHeartbeatLocked returns the group of a heartbeat; at is nil when there was none.
func (s *shard) consumerForHeartbeatLocked(r *ConsumerHeartbeatRequest) (
	at *entry, g *consumergroup.Group, before prelude, err error,
) {
	at = s.mu.groups[r.GroupID]
	switch {
	case at != nil && at.Type() == group.Consumer:
		return at, at.Group.(*consumergroup.Group), prelude{}, nil
	case !r.Joins(), at != nil && at.Type() != group.Classic:
		return nil, nil, prelude{}, s.noGroupLocked(r.GroupID, group.Consumer)
	case at != nil && !at.IsEmpty():
		before, err = s.upgradeLocked(at.Group.(*classicGroup))
		return at, before.g, before, err
	}
	if at != nil && !isSimple(at.Group) {
		before.records = at.Tombstones()
	}
	before.g = s.c.newGroup(group.Consumer, r.GroupID).(*consumergroup.Group)
	return at, before.g, before, nil
}

// consumerLocked returns the consumer group of an ID, nil if there is none or one of another type.
func (s *shard) consumerLocked(groupID string) (*entry, *consumergroup.Group) {
	at := s.mu.groups[groupID]
	if at == nil {
		return nil, nil
	}
	g, ok := at.Group.(*consumergroup.Group)
	if !ok {
		return nil, nil
	}
	return at, g
}

// DescribeConsumer returns a description of a consumer group, or ErrGroupNotFound.
func (c *Coordinator) DescribeConsumer(groupID string) (ConsumerDescription, error) {
	if c.cfg.ConsumerProtocol != nil && !c.cfg.ConsumerProtocol() {
		return ConsumerDescription{}, ErrProtocolNotServed
	}
	s, err := c.lockShardOfNamedGroup(groupID)
	if err != nil {
		return ConsumerDescription{}, err
	}
	defer s.mu.Unlock()
	_, g := s.consumerLocked(groupID)
	if g == nil {
		return ConsumerDescription{}, s.noGroupLocked(groupID, group.Consumer)
	}
	return g.Describe(), nil
}

// Members that speak the classic protocol in a consumer group.

func (s *shard) joinConsumerLocked(at *entry, g *consumergroup.Group, r *JoinRequest) *Future[JoinResult] {
	result, step, err := g.Join(&consumergroup.JoinRequest{
		MemberID: r.MemberID, InstanceID: r.InstanceID, ClientID: r.ClientID, ClientHost: r.ClientHost,
		SessionTimeout: r.SessionTimeout, RebalanceTimeout: r.RebalanceTimeout, ProtocolType: r.ProtocolType,
		Protocols: r.Protocols, MemberIDRequired: r.MemberIDRequired,
	}, s.c.cfg.Members.Now())
	if err == nil {
		err = s.carryOutLocked(at, step)
	}
	if err != nil {
		return immediate(JoinResult{Err: err, MemberID: result.MemberID})
	}
	protocolType := g.ProtocolType()
	return ready(JoinResult{
		MemberID: result.MemberID, Generation: result.Generation, ProtocolType: &protocolType,
		ProtocolName: &result.ProtocolName,
	}, s.mu.durable)
}

func (s *shard) syncConsumerLocked(at *entry, g *consumergroup.Group, r *SyncRequest) *Future[SyncResult] {
	assigned, step, err := g.Sync(r.MemberID, r.InstanceID, r.Generation, r.ProtocolType, r.ProtocolName,
		s.c.cfg.Members.Now())
	if err := s.afterErrorLocked(at, step, err); err != nil {
		return immediate(SyncResult{Err: err})
	}
	return ready(SyncResult{
		ProtocolType: cloneOptional(r.ProtocolType), ProtocolName: cloneOptional(r.ProtocolName), Assignment: assigned,
	}, s.mu.durable)
}

// afterErrorLocked carries out a step that may come with an error, and returns that error, or its own.
func (s *shard) afterErrorLocked(at *entry, step group.Step, err error) error {
	if err != nil && step.After == nil {
		return err
	}
	return cmp.Or(s.carryOutLocked(at, step), err)
}

func (s *shard) leaveConsumerLocked(at *entry, g *consumergroup.Group, r *LeaveRequest) *Future[LeaveResult] {
	leaving := make([]consumergroup.LeavingMember, len(r.Members))
	for i, m := range r.Members {
		leaving[i] = consumergroup.LeavingMember(m)
	}
	errs, step := g.Leave(leaving, s.c.cfg.Members.Now())
	if len(step.Records) > 0 {
		if err := s.carryOutLocked(at, step); err != nil {
			return immediate(LeaveResult{Err: err})
		}
	}
	return ready(LeaveResult{Members: errs}, s.mu.durable)
}

// Migration.

// upgradeLocked makes a consumer group of a classic one with members. What they wait for is answered with
// ErrRebalanceInProgress, so that they join again.
func (s *shard) upgradeLocked(g *classicGroup) (prelude, error) {
	if s.c.cfg.MigrationPolicy.NoUpgrade || g.protocolType != consumerProtocolType || g.protocolName == nil {
		return prelude{}, consumergroup.ErrNotUpgradable
	}
	members := make([]consumergroup.ClassicMember, len(g.members))
	for i, m := range g.members {
		members[i] = consumergroup.ClassicMember{
			ID: m.id, InstanceID: m.instanceID, ClientID: m.clientID, ClientHost: m.clientHost,
			SessionTimeout: m.sessionTimeout, RebalanceTimeout: m.rebalanceTimeout, Protocols: m.protocols,
			Subscription: m.metadataFor(*g.protocolName), Assignment: m.assignment,
		}
	}
	work, records, err := consumergroup.FromClassic(&s.c.consumer, g.id, g.generation, members, s.c.cfg.Members.Now())
	if err != nil {
		return prelude{}, err
	}
	after := func(durability.Ticket) { g.AnswerParked(ErrRebalanceInProgress) }
	return prelude{g: work, records: append(g.Tombstones(), records...), after: after}, nil
}

// downgrade makes a classic group of the members of a consumer group, Stable with their target assignments; out of date
// ones begin a rebalance.
func (c *Coordinator) downgrade(d consumergroup.Downgrade) (group.Step, bool) {
	if len(d.Members) > c.cfg.MaxSize {
		return group.Step{}, false
	}
	g := newClassicGroup(&c.cfg, d.GroupID, d.Now.UnixMilli())
	g.state, g.generation, g.protocolType = Stable, d.Generation, consumerProtocolType
	for _, m := range d.Members {
		g.add(&member{
			id: m.ID, instanceID: m.InstanceID, clientID: m.ClientID, clientHost: m.ClientHost,
			sessionTimeout: m.SessionTimeout, rebalanceTimeout: m.RebalanceTimeout, protocols: m.Protocols,
			deadline: d.Now.Add(m.SessionTimeout),
		})
	}
	name := g.selectProtocol()
	g.protocolName = &name
	for i, m := range d.Members {
		g.members[i].assignment = consumergroup.EncodeAssignment(m.Target, g.members[i].metadataFor(name), c.cfg.Topics)
	}
	g.subscribed = g.subscribedTopics()
	step := group.Step{Next: g, Records: append(slices.Clip(d.Tombstones), g.record())}
	if d.Rebalance {
		step.After = func(durability.Ticket) {
			e := newEffects(d.Now, g.cfg)
			g.prepareRebalance(e) // nobody has joined yet, so this needs no record
		}
	}
	return step, true
}
