package streamsgroup

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"once/groupcoordinator/group"
)

// Heartbeat decides about a heartbeat that Validate has found good. The group of a first join is a new one.
func (g *Group) Heartbeat(now time.Time, h *Heartbeat) (group.Step, *Answer, error) {
	if h.MemberEpoch < 0 {
		return g.leave(now, h)
	}
	s := &heartbeatStep{step: g.begin(now), h: h}
	if err := s.run(); err != nil {
		return group.Step{}, nil, err
	}
	return s.step.step(), s.answer, nil
}

type heartbeatStep struct {
	*step
	h      *Heartbeat
	m      *Member
	joined bool // it was not a member before
	raise  bool // the group epoch
	owned  *Assignment

	oldTasks    MemberTasks // of the member before this heartbeat
	oldEndpoint *Endpoint

	status []Status
	answer *Answer
}

func (s *heartbeatStep) run() error {
	g, h := s.work, s.h
	g.isNew = len(s.before.members) == 0 && s.before.topology == nil
	wasEmpty := len(g.members) == 0
	if err := s.findMember(); err != nil {
		return err
	}
	if err := s.checkEpoch(); err != nil {
		return err
	}
	s.oldTasks, s.oldEndpoint = s.m.Assigned, s.m.Endpoint
	s.owned = h.Owned
	if h.MemberEpoch == JoinEpoch {
		s.owned = &Assignment{}
	}
	s.mergeMember()
	if err := s.storeTopology(); err != nil {
		return err
	}
	if err := s.checkTopics(); err != nil {
		return err
	}
	if err := s.checkTasks(); err != nil {
		return err
	}
	s.raiseEpoch()
	if wasEmpty && s.set.InitialRebalanceDelay > 0 && g.initialDelay.IsZero() {
		g.initialDelay = s.now.Add(s.set.InitialRebalanceDelay)
	}
	s.target()
	s.m = s.reconcile(s.m, s.owned)
	s.startTimers()
	if h.Shutdown {
		g.shutdownBy = s.m.ID
	}
	s.reply()
	return nil
}

// findMember finds the member, or makes it at a join.
func (s *heartbeatStep) findMember() error {
	g, h := s.work, s.h
	known := g.members[h.MemberID]
	var holder *Member
	if h.InstanceID != nil {
		holder = g.static(*h.InstanceID)
	}
	if h.MemberEpoch == JoinEpoch && known == nil && holder == nil && len(g.members) >= s.set.MaxSize {
		return fmt.Errorf("%w: it has %d members", group.ErrGroupFull, len(g.members))
	}
	switch {
	case known != nil && (h.InstanceID == nil || holder == nil && h.MemberEpoch == JoinEpoch):
		s.m = known
	case h.InstanceID == nil && h.MemberEpoch != JoinEpoch:
		return group.ErrUnknownMember
	case holder == nil && h.InstanceID != nil && h.MemberEpoch != JoinEpoch:
		return group.ErrUnknownMember
	case holder != nil && h.MemberEpoch == JoinEpoch:
		if holder.Epoch != StaticLeaveEpoch {
			return fmt.Errorf("%w: %s is used by member %s", group.ErrUnreleasedInstance, *h.InstanceID, holder.ID)
		}
		s.replace(holder)
	case holder != nil && holder.ID != h.MemberID:
		return group.ErrFencedInstance
	case holder != nil:
		s.m = holder
	default:
		s.m, s.joined = &Member{ID: h.MemberID, InstanceID: h.InstanceID, State: Stable, RebalanceTimeoutMs: -1}, true
	}
	return nil
}

// replace gives all that a static member had to the one that takes its place.
func (s *heartbeatStep) replace(old *Member) {
	g := s.work
	target, hasTarget := g.targets[old.ID]
	v := g.volatile[old.ID]
	s.forget(old.ID)
	m := old.clone()
	m.ID, m.Epoch, m.PreviousEpoch = s.h.MemberID, 0, 0
	s.write(&memberRecord{recordKey: memberKey(KeyTypeMember, g.id, m.ID), metadata: m})
	if hasTarget {
		s.write(&targetRecord{recordKey: memberKey(KeyTypeTarget, g.id, m.ID), target: target})
	}
	s.write(&currentRecord{recordKey: memberKey(KeyTypeCurrent, g.id, m.ID),
		state: m.State, assigned: m.Assigned.withEpoch(0),
		pending: m.Pending.withEpoch(0)})
	g.volatile[m.ID] = v
	s.m = g.members[m.ID]
}

// withEpoch returns the tasks with another assignment epoch.
func (t MemberTasks) withEpoch(epoch int32) MemberTasks {
	active := make(ActiveTasks, len(t.Active))
	for id := range t.Active {
		active[id] = epoch
	}
	t.Active = active
	return t
}

func (s *heartbeatStep) checkEpoch() error {
	h, m := s.h, s.m
	if h.MemberEpoch == JoinEpoch || h.MemberEpoch == m.Epoch {
		return nil
	}
	lostAnswer := h.MemberEpoch == m.PreviousEpoch && h.MemberEpoch < m.Epoch && h.Owned != nil &&
		h.Owned.subsetOf(m.Assigned.assignment())
	if !lostAnswer {
		return fmt.Errorf("%w: it is at epoch %d, and the request at %d", group.ErrFencedMemberEpoch, m.Epoch, h.MemberEpoch)
	}
	return nil
}

// mergeMember takes over the fields that are given.
func (s *heartbeatStep) mergeMember() {
	h, m := s.h, s.m.clone()
	m.ClientID, m.ClientHost = h.ClientID, h.ClientHost
	if h.InstanceID != nil {
		m.InstanceID = h.InstanceID
	}
	if h.RackID != nil {
		m.RackID = h.RackID
	}
	if h.RebalanceTimeoutMs >= 0 {
		m.RebalanceTimeoutMs = h.RebalanceTimeoutMs
	}
	if h.Topology != nil {
		m.TopologyEpoch = h.Topology.Epoch
	}
	if h.ProcessID != nil {
		m.ProcessID = *h.ProcessID
	}
	if h.Endpoint != nil || h.MemberEpoch == JoinEpoch {
		m.Endpoint = h.Endpoint
	}
	if h.ClientTags != nil {
		m.ClientTags = h.ClientTags
	}
	changed, target := m.differs(s.m)
	if s.joined || changed {
		s.write(&memberRecord{recordKey: memberKey(KeyTypeMember, s.work.id, m.ID), metadata: m})
		s.m = s.work.members[m.ID]
	}
	s.raise = s.joined || target || changed && !m.isStatic()
}

func (s *heartbeatStep) storeTopology() error {
	g, t := s.work, s.h.Topology
	switch {
	case t == nil:
	case g.topology == nil:
		s.write(&topologyRecord{recordKey: groupKey(KeyTypeTopology, g.id), topology: t})
		g.checked = nil
	case t.Epoch < g.topology.Epoch: // the group's is used
	case t.Epoch > g.topology.Epoch || !equalTopologies(t, g.topology):
		return fmt.Errorf("%w: topology updates are not supported", group.ErrInvalidRequest)
	}
	return nil
}

// checkTopics looks at the topics again where they may have changed.
func (s *heartbeatStep) checkTopics() error {
	g := s.work
	if g.topology == nil {
		return nil
	}
	version := g.env.Topics.Version()
	if g.checked != nil && g.checkedVersion == version {
		return nil
	}
	checked, err := checkTopics(g.topology, func(topic string) (int32, bool) {
		t, ok := g.env.Topics.Lookup(topic)
		return t.Partitions, ok
	})
	if err != nil {
		return err
	}
	validated := int32(-1)
	if checked.problem == nil {
		validated = g.topology.Epoch
	}
	hash := g.hashOfTopics()
	if hash != g.metadataHash || validated != g.validatedEpoch {
		s.raise = true
	}
	g.checked, g.checkedVersion, g.metadataHash, g.validatedEpoch = checked, version, hash, validated
	return nil
}

// checkTasks refuses tasks that the topology does not have, and keeps the reported offsets.
func (s *heartbeatStep) checkTasks() error {
	g, h := s.work, s.h
	if h.Owned != nil && g.ready() && g.checked != nil {
		for _, role := range []TaskSet{h.Owned.Active, h.Owned.Standby, h.Owned.Warmup} {
			for id := range role {
				if n, ok := g.checked.tasks[id.Subtopology]; !ok || id.Partition < 0 || id.Partition >= n {
					return fmt.Errorf("%w: task %s_%d is not in the topology", group.ErrInvalidRequest, id.Subtopology,
						id.Partition)
				}
			}
		}
	}
	v := g.volatile[s.m.ID]
	if h.Offsets != nil {
		v.offsets = h.Offsets
	}
	if h.EndOffsets != nil {
		v.ends = h.EndOffsets
	}
	g.volatile[s.m.ID] = v
	return nil
}

func (s *heartbeatStep) raiseEpoch() {
	g := s.work
	configs := s.set.assignmentConfigs()
	if !slices.Equal(configs, g.assignmentConfigs) {
		s.raise = true
	}
	if s.raise {
		g.assignmentConfigs = configs
		s.bump()
	}
}

// target computes a new target, unless it has to wait.
func (s *heartbeatStep) target() {
	g := s.work
	if g.epoch <= g.assignmentEpoch {
		return
	}
	since := s.now.UnixMilli() - g.assignmentTimeMs
	switch {
	case !g.initialDelay.IsZero():
		s.addStatus(AssignmentDelayed, "Assignment delayed due to the configured initial rebalance delay.")
	case g.assignmentTimeMs > 0 && since < s.set.AssignmentInterval.Milliseconds():
		s.addStatus(AssignmentDelayed, "Assignment delayed due to the configured assignment interval.")
	default:
		s.assign()
	}
}

func (s *heartbeatStep) addStatus(code StatusCode, format string, args ...any) {
	s.status = append(s.status, Status{code, fmt.Sprintf(format, args...)})
}

func (s *heartbeatStep) startTimers() {
	v := s.work.volatile[s.m.ID]
	v.session = s.now.Add(s.set.SessionTimeout)
	switch {
	case s.m.State != UnrevokedTasks:
		v.rebalance = time.Time{}
	case v.rebalance.IsZero() || s.m.Epoch != s.before.memberEpoch(s.m.ID):
		v.rebalance = s.now.Add(time.Duration(s.m.RebalanceTimeoutMs) * time.Millisecond)
	}
	s.work.volatile[s.m.ID] = v
}

// memberEpoch is the epoch of a member, -1 for one that is not there.
func (g *Group) memberEpoch(id string) int32 {
	if m := g.members[id]; m != nil {
		return m.Epoch
	}
	return -1
}

func (s *heartbeatStep) reply() {
	g, m := s.work, s.m
	changed := !sameTasks(s.oldTasks.Active, m.Assigned.Active) || !sameTasks(s.oldTasks.Standby, m.Assigned.Standby) ||
		!sameTasks(s.oldTasks.Warmup, m.Assigned.Warmup)
	// Kafka counts this for a new group as well, and forgets it: the answer has the endpoints, with epoch 0.
	moved := !equalOptional(s.oldEndpoint, m.Endpoint) || m.Endpoint != nil && changed
	if moved && !g.isNew {
		g.endpointEpoch++
	}
	a := &Answer{MemberID: m.ID, MemberEpoch: m.Epoch, HeartbeatInterval: s.set.HeartbeatInterval,
		TaskOffsetInterval: s.set.TaskOffsetInterval, AcceptableRecoveryLag: s.set.AcceptableRecoveryLag}
	if changed || s.h.MemberEpoch == JoinEpoch {
		tasks := m.Assigned.assignment()
		a.Tasks = &tasks
	}
	a.EndpointEpoch = g.endpointEpoch
	if s.h.EndpointEpoch != a.EndpointEpoch || moved && g.isNew {
		a.Endpoints = g.endpoints()
	}
	if g.checked != nil {
		a.Missing = g.checked.missing
	}
	a.Status = s.allStatus()
	s.answer = a
}

// allStatus returns the status in Kafka's order. Those of a delayed assignment are there already.
func (s *heartbeatStep) allStatus() []Status {
	g, m := s.work, s.m
	delayed := s.status
	s.status = []Status{}
	if g.topology != nil && m.TopologyEpoch < g.topology.Epoch {
		s.addStatus(StaleTopology, "The member's topology epoch %d is behind the group's topology epoch %d.", m.TopologyEpoch,
			g.topology.Epoch)
	}
	s.status = append(s.status, delayed...)
	if g.checked != nil && g.checked.problem != nil {
		s.status = append(s.status, *g.checked.problem)
	}
	if g.shutdownBy != "" {
		s.addStatus(ShutdownApplication, "Streams group member %s encountered a fatal error and requested a shutdown for "+
			"the entire application.", g.shutdownBy)
	}
	if missing := m.missingTags(s.set.RackAwareTags); len(missing) > 0 && s.h.KnowsClientTags {
		s.addStatus(MissingClientTags, "The member's client tags lack the configured rack.aware.assignment.tags: %s.",
			strings.Join(missing, ", "))
	}
	return s.status
}

// leave handles the epochs -1 and -2 (spec: streams-groups 12).
func (g *Group) leave(now time.Time, h *Heartbeat) (group.Step, *Answer, error) {
	m := g.members[h.MemberID]
	if h.InstanceID != nil {
		switch m = g.static(*h.InstanceID); {
		case m == nil:
			return group.Step{}, nil, group.ErrUnknownMember
		case m.ID != h.MemberID:
			return group.Step{}, nil, group.ErrFencedInstance
		}
	}
	if m == nil {
		return group.Step{}, nil, group.ErrUnknownMember
	}
	s := g.begin(now)
	if h.Shutdown {
		s.work.shutdownBy = m.ID
	}
	if h.MemberEpoch == StaticLeaveEpoch {
		s.write(&currentRecord{recordKey: memberKey(KeyTypeCurrent, g.id, m.ID),
			epoch: StaticLeaveEpoch, previousEpoch: m.Epoch,
			state: m.State, assigned: m.Assigned.withEpoch(0)})
		v := s.work.volatile[m.ID] // its session goes on from its last heartbeat
		v.rebalance = time.Time{}
		s.work.volatile[m.ID] = v
	} else {
		s.remove(m.ID)
	}
	return s.step(), &Answer{MemberID: h.MemberID, MemberEpoch: h.MemberEpoch, AcceptableRecoveryLag: -1,
		Status: []Status{}}, nil
}
