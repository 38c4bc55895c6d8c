package streamsgroup

import (
	"maps"
	"time"

	"once/groupcoordinator/group"
)

// step collects a transition: work is the changed copy of the group, to which each record has been applied already.
type step struct {
	before  *Group
	work    *Group
	now     time.Time
	set     Settings
	records []group.Record
}

func (g *Group) begin(now time.Time) *step {
	return &step{before: g, work: g.clone(), now: now, set: g.env.Settings(g.id)}
}

// write adds a record and applies it.
func (s *step) write(r group.Record) {
	s.records = append(s.records, r)
	s.work.Apply(r)
}

// step is the result. Records set what they hold, so that it does no harm that they are applied a second time.
func (s *step) step() group.Step { return group.Step{Next: s.work, Records: s.records} }

// bump raises the group epoch.
func (s *step) bump() { s.writeGroup(s.work.epoch + 1) }

func (s *step) writeGroup(epoch int32) {
	g := s.work
	s.write(&groupRecord{recordKey: groupKey(KeyTypeGroup, g.id),
		epoch: epoch, hash: g.metadataHash, validatedEpoch: g.validatedEpoch,
		configs: g.assignmentConfigs})
}

// remove takes members out of the group and raises the group epoch. Nobody is told: the others see it by their next
// heartbeat.
func (s *step) remove(ids ...string) {
	if len(ids) == 0 {
		return
	}
	for _, id := range ids {
		s.forget(id)
	}
	s.bump()
	if len(s.work.members) == 0 {
		s.write(&targetEpochRecord{recordKey: groupKey(KeyTypeTargetEpoch, s.work.id), epoch: s.work.epoch})
	}
}

// forget writes the tombstones of a member.
func (s *step) forget(id string) {
	s.write(&currentRecord{recordKey: memberKey(KeyTypeCurrent, s.work.id, id).removed()})
	s.write(&targetRecord{recordKey: memberKey(KeyTypeTarget, s.work.id, id).removed()})
	s.write(&memberRecord{recordKey: memberKey(KeyTypeMember, s.work.id, id).removed()})
}

// assign computes the target of all members (spec: streams-groups 6).
func (s *step) assign() {
	g := s.work
	targets := map[string]Assignment{}
	if g.ready() && g.checked != nil {
		targets = g.computeTargets(s.set.StandbyReplicas)
	}
	for _, m := range sortedMembers(g.members) {
		target := targets[m.ID]
		if old, ok := g.targets[m.ID]; !ok || !old.equal(target) {
			s.write(&targetRecord{recordKey: memberKey(KeyTypeTarget, g.id, m.ID), target: target})
		}
	}
	s.write(&targetEpochRecord{recordKey: groupKey(KeyTypeTargetEpoch, g.id),
		epoch: g.epoch, timeMs: s.now.UnixMilli()})
}

func (g *Group) computeTargets(replicas int) map[string]Assignment {
	stateful := map[string]bool{}
	for i := range g.topology.Subtopologies {
		sub := &g.topology.Subtopologies[i]
		stateful[sub.ID] = sub.stateful()
	}
	members := make([]assignorMember, 0, len(g.members))
	for _, m := range sortedMembers(g.members) {
		members = append(members, assignorMember{id: m.ID, process: m.ProcessID, assigned: m.Assigned.assignment(),
			offsets: g.volatile[m.ID].offsets})
	}
	return assign(members, g.checked.tasks, stateful, replicas)
}

// reconcile brings a member one step nearer to its target, without a task being run twice (spec: streams-groups 9).
// owned is what the member has reported; nil: nothing.
func (s *step) reconcile(m *Member, owned *Assignment) *Member {
	g := s.work
	if m.State == Stable && m.Epoch == g.assignmentEpoch {
		return m
	}
	switch m.State {
	case UnrevokedTasks:
		if owned == nil || !owned.disjointFrom(m.Pending.assignment()) {
			return m
		}
		return s.next(m, m.Epoch+1, owned)
	default:
		return s.next(m, m.Epoch, owned)
	}
}

// next is one step of reconciliation of a member that has nothing to revoke any more.
func (s *step) next(m *Member, epoch int32, owned *Assignment) *Member {
	g := s.work
	target := g.targets[m.ID]
	assigned, pending := m.divide(target)
	missing, blocked := g.missingTasks(m, assigned, target)

	// An active task that becomes a standby of the same member needs no release.
	for id := range missing.Standby {
		if has(pending.Active, id) {
			assigned.Standby[id] = struct{}{}
		}
	}
	if !pending.empty() && (owned == nil || !owned.disjointFrom(pending.assignment())) {
		return s.writeCurrent(m, epoch, UnrevokedTasks, assigned, pending)
	}
	for id := range missing.Active {
		assigned.Active[id] = g.assignmentEpoch
		delete(assigned.Standby, id)
		delete(assigned.Warmup, id)
	}
	maps.Copy(assigned.Standby, missing.Standby)
	maps.Copy(assigned.Warmup, missing.Warmup)
	state := Stable
	if blocked {
		state = UnreleasedTasks
	}
	return s.writeCurrent(m, g.assignmentEpoch, state, assigned, MemberTasks{})
}

// divide returns the tasks that a member keeps under its target, and those that it has to give up. A standby or warmup
// task that becomes active is kept in its role until then.
func (m *Member) divide(target Assignment) (kept, revoked MemberTasks) {
	kept, revoked = newMemberTasks(), newMemberTasks()
	for id, since := range m.Assigned.Active {
		if has(target.Active, id) {
			kept.Active[id] = since
		} else {
			revoked.Active[id] = since
		}
	}
	divide := func(from, to, kept, revoked TaskSet) {
		for id := range from {
			if has(to, id) || has(target.Active, id) {
				kept[id] = struct{}{}
			} else {
				revoked[id] = struct{}{}
			}
		}
	}
	divide(m.Assigned.Standby, target.Standby, kept.Standby, revoked.Standby)
	divide(m.Assigned.Warmup, target.Warmup, kept.Warmup, revoked.Warmup)
	return kept, revoked
}

// missingTasks returns the tasks of a member's target that it does not have in their role and that it may get now;
// blocked says that it has to wait for others.
func (g *Group) missingTasks(m *Member, assigned MemberTasks, target Assignment) (missing Assignment, blocked bool) {
	free := func(wanted, held TaskSet, isBlocked func(*Member, TaskID) bool) TaskSet {
		tasks := TaskSet{}
		for id := range wanted {
			if has(held, id) {
				continue
			}
			if isBlocked(m, id) {
				blocked = true
			} else {
				tasks[id] = struct{}{}
			}
		}
		return tasks
	}
	missing.Active = free(target.Active, keys(assigned.Active), g.activeBlocked)
	missing.Standby = free(target.Standby, assigned.Standby, g.standbyBlocked)
	missing.Warmup = free(target.Warmup, assigned.Warmup, g.standbyBlocked)
	return missing, blocked
}

// writeCurrent writes the tasks of a member where they, its epoch or its state have changed.
func (s *step) writeCurrent(m *Member, epoch int32, state MemberState, assigned, pending MemberTasks) *Member {
	if m.Epoch == epoch && m.State == state && sameMemberTasks(m.Assigned, assigned) &&
		sameMemberTasks(m.Pending, pending) {
		return m
	}
	s.write(&currentRecord{recordKey: memberKey(KeyTypeCurrent, s.work.id, m.ID),
		epoch: epoch, previousEpoch: m.Epoch, state: state,
		assigned: assigned, pending: pending})
	return s.work.members[m.ID]
}

func sameMemberTasks(a, b MemberTasks) bool {
	return maps.Equal(a.Active, b.Active) && sameTasks(a.Standby, b.Standby) && sameTasks(a.Warmup, b.Warmup)
}

// activeHeld reports whether a member runs the task, or has not released it yet: also this one, when it had to give the
// task up before it gets it back.
func (g *Group) activeHeld(m *Member, id TaskID) bool {
	for _, o := range g.members {
		if has(o.Pending.Active, id) || o.ID != m.ID && has(o.Assigned.Active, id) {
			return true
		}
	}
	return false
}

// activeBlocked reports whether a member has to wait for an active task: another one still runs it, or another member
// of the same process has its state open.
func (g *Group) activeBlocked(m *Member, id TaskID) bool {
	if g.activeHeld(m, id) {
		return true
	}
	for _, o := range g.members {
		if o.ID != m.ID && o.ProcessID == m.ProcessID && (has(o.Assigned.Standby, id) || has(o.Pending.Standby, id) ||
			has(o.Assigned.Warmup, id) || has(o.Pending.Warmup, id)) {
			return true
		}
	}
	return false
}

// standbyBlocked reports whether another member of the same process has the task's state open, or this one had to give
// its own standby up.
func (g *Group) standbyBlocked(m *Member, id TaskID) bool {
	if has(m.Pending.Standby, id) {
		return true
	}
	for _, o := range g.members {
		if o.ID != m.ID && o.ProcessID == m.ProcessID && (o.Assigned.contains(id) || o.Pending.contains(id)) {
			return true
		}
	}
	return false
}
