package streamsgroup

import (
	"cmp"
	"container/list"
	"slices"
	"unicode/utf16"
)

// StickyAssignor is the name of the one assignor there is.
const StickyAssignor = "sticky"

// assignorMember is a member as the assignor sees it.
type assignorMember struct {
	id, process string
	assigned    Assignment       // what it has now, not what the last target gave it
	offsets     map[TaskID]int64 // what it has reported of the changelogs of its tasks
}

// assign distributes the tasks of a topology: tasks is the number of tasks of each subtopology, stateful the
// subtopologies whose tasks can have standbys, replicas the number of standbys of each.
//
// It is Kafka's sticky assignor, down to the order in which Java's hash tables list members and processes, because
// members of a group are moved from one broker to the other with their tasks (spec: streams-groups 10).
func assign(members []assignorMember, tasks map[string]int32, stateful map[string]bool,
	replicas int) map[string]Assignment {
	s := newSticky(members, tasks, stateful, replicas)
	if len(s.members) > 0 {
		s.assignActive()
		if replicas > 0 {
			s.assignStandby(replicas)
		}
	}
	result := make(map[string]Assignment, len(members))
	for _, m := range s.members {
		result[m.id] = Assignment{Active: m.active, Standby: m.standby, Warmup: TaskSet{}}
	}
	return result
}

type stickyMember struct {
	assignorMember
	in      *stickyProcess
	active  TaskSet
	standby TaskSet
}

func (m *stickyMember) count() int { return len(m.active) + len(m.standby) }

type stickyProcess struct {
	id      string
	members []*stickyMember // in the order of Java's table
	tasks   TaskSet         // of all members, in any role
	count   int
	queue   *javaHeap[*stickyMember, int] // of members by count; nil when it has to be made anew
}

func (p *stickyProcess) load() float64 { return float64(p.count) / float64(len(p.members)) }

type sticky struct {
	members   []*stickyMember  // in the order of Java's table
	processes []*stickyProcess // in the order of Java's table
	active    []TaskID
	stateful  []TaskID

	perMemberActive, perMemberTotal quota
}

// quota is the fair number of tasks of a member. A member that has reached it is taken out of the sum, so that the
// others share what is left.
type quota struct{ tasks, members, each int }

func newQuota(tasks, members int) quota {
	q := quota{tasks: tasks, members: members}
	q.divide()
	return q
}

func (q *quota) divide() {
	if q.each = 0; q.members > 0 && q.tasks > 0 {
		q.each = (q.tasks + q.members - 1) / q.members
	}
}

func (q *quota) reached(count int) {
	if count == q.each {
		q.tasks, q.members = q.tasks-count, q.members-1
		q.divide()
	}
}

func newSticky(members []assignorMember, tasks map[string]int32, stateful map[string]bool, replicas int) *sticky {
	s := &sticky{}
	processes := map[string]*stickyProcess{}
	var noted []*stickyProcess
	for _, m := range inHashOrder(members, 16, func(m assignorMember) string { return m.id }) {
		p := processes[m.process]
		if p == nil {
			p = &stickyProcess{id: m.process, tasks: TaskSet{}}
			processes[m.process], noted = p, append(noted, p)
		}
		member := &stickyMember{assignorMember: m, in: p, active: TaskSet{}, standby: TaskSet{}}
		p.members, s.members = append(p.members, member), append(s.members, member)
	}
	slices.Reverse(noted) // equal ones come out in the reverse order
	size := 1
	for size < len(members) {
		size *= 2
	}
	for n := range noted {
		if n > size*3/4 {
			size *= 2
		}
	}
	s.processes = noted
	slices.SortStableFunc(s.processes, func(a, b *stickyProcess) int {
		return cmp.Compare(spread(a.id)&uint32(size-1), spread(b.id)&uint32(size-1))
	})
	for _, p := range s.processes {
		p.members = inHashOrder(p.members, 16, func(m *stickyMember) string { return m.id })
	}
	for subtopology, n := range tasks {
		for partition := range n {
			id := TaskID{subtopology, partition}
			s.active = append(s.active, id)
			if stateful[subtopology] {
				s.stateful = append(s.stateful, id)
			}
		}
	}
	s.perMemberActive = newQuota(len(s.active), len(members))
	s.perMemberTotal = newQuota(len(s.active)+replicas*len(s.stateful), len(members))
	return s
}

// give assigns a task.
func (s *sticky) give(m *stickyMember, id TaskID, active bool) {
	if active {
		m.active[id] = struct{}{}
	} else {
		m.standby[id] = struct{}{}
	}
	m.in.tasks[id] = struct{}{}
	m.in.count++
	m.in.queue = nil
}

// giveToLeastLoaded gives a task to the member with the fewest. The process's queue of members lives on.
func (s *sticky) giveToLeastLoaded(p *stickyProcess, id TaskID, give func(*stickyMember, TaskID)) {
	m := p.pollMember()
	queue := p.queue
	give(m, id)
	p.queue = queue
	p.offerMember(m)
}

func (s *sticky) giveActive(m *stickyMember, id TaskID) {
	s.give(m, id, true)
	s.perMemberActive.reached(m.count())
	s.perMemberTotal.reached(m.count())
}

func (s *sticky) giveStandby(m *stickyMember, id TaskID) {
	s.give(m, id, false)
	s.perMemberTotal.reached(m.count())
}

func (s *sticky) assignActive() {
	byPartition(s.active)
	left := list.New()
	for _, id := range s.active {
		left.PushBack(id)
	}
	pass := func(choose func(TaskID) *stickyMember) {
		for e := left.Front(); e != nil; {
			next := e.Next()
			if m := choose(e.Value.(TaskID)); m != nil && m.count() < s.perMemberActive.each {
				s.giveActive(m, e.Value.(TaskID))
				left.Remove(e)
			}
			e = next
		}
	}
	pass(s.activeOwner)
	pass(func(id TaskID) *stickyMember { return s.bestCandidate(id, func(*stickyMember) bool { return true }) })

	var rest []TaskID
	for e := left.Front(); e != nil; e = e.Next() {
		rest = append(rest, e.Value.(TaskID))
	}
	bySubtopology(rest)
	heap := newJavaHeap(s.processes, (*stickyProcess).load)
	for _, id := range rest {
		p, _ := heap.poll()
		s.giveToLeastLoaded(p, id, s.giveActive)
		heap.add(p)
	}
}

// activeOwner is the member that runs the task now.
func (s *sticky) activeOwner(id TaskID) *stickyMember {
	for _, m := range s.members {
		if has(m.assigned.Active, id) {
			return m
		}
	}
	return nil
}

// bestCandidate is the member with a copy of the task's state: one that has it as a standby, else one that has reported
// an offset of it, the higher the better. A later candidate is better only if both it and its process have less to do.
func (s *sticky) bestCandidate(id TaskID, eligible func(*stickyMember) bool) *stickyMember {
	var standbys, reporters []*stickyMember
	for _, m := range s.members {
		if _, reported := m.offsets[id]; has(m.assigned.Standby, id) {
			standbys = append(standbys, m)
		} else if reported {
			reporters = append(reporters, m)
		}
	}
	higher := func(a, b *stickyMember) int { return cmp.Compare(b.offsets[id], a.offsets[id]) }
	slices.SortStableFunc(standbys, higher)
	slices.SortStableFunc(reporters, higher)
	var best *stickyMember
	for _, m := range append(standbys, reporters...) {
		if !eligible(m) {
			continue
		}
		if best == nil || m.in.load() < best.in.load() && m.count() < best.count() {
			best = m
		}
	}
	return best
}

func (s *sticky) assignStandby(replicas int) {
	type missing struct {
		id TaskID
		n  int
	}
	var left []missing
	byPartition(s.stateful)
	slices.Reverse(s.stateful)
	for _, id := range s.stateful {
		without := func(m *stickyMember) bool { return !has(m.in.tasks, id) }
		for n := range replicas {
			m := s.activeOwner(id)
			if m == nil || !without(m) || m.count() >= s.perMemberTotal.each {
				m = s.bestCandidate(id, without)
			}
			if m == nil || m.count() >= s.perMemberTotal.each {
				left = append(left, missing{id, replicas - n})
				break
			}
			s.giveStandby(m, id)
		}
	}
	slices.SortFunc(left, func(a, b missing) int { return -compareTasks(a.id, b.id) })
	heap := newJavaHeap(s.processes, (*stickyProcess).load)
	for _, l := range left {
		for range l.n {
			if !s.standbyToLeastLoaded(heap, l.id) {
				break // all processes have the task
			}
		}
	}
}

// standbyToLeastLoaded gives the task to the least loaded process that does not have it.
func (s *sticky) standbyToLeastLoaded(heap *javaHeap[*stickyProcess, float64], id TaskID) bool {
	p, ok := heap.poll()
	if !ok {
		return false
	}
	given := !has(p.tasks, id)
	if given {
		s.giveToLeastLoaded(p, id, s.giveStandby)
	} else {
		given = s.standbyToLeastLoaded(heap, id)
	}
	heap.add(p)
	return given
}

// pollMember takes the member with the fewest tasks out of the process's queue; offerMember puts it back with one more.
func (p *stickyProcess) pollMember() *stickyMember {
	if p.queue == nil {
		p.queue = newJavaHeap(p.members, (*stickyMember).count)
	}
	m, _ := p.queue.poll()
	return m
}

func (p *stickyProcess) offerMember(m *stickyMember) { p.queue.add(m) }

func compareTasks(a, b TaskID) int {
	return cmp.Or(cmp.Compare(a.Subtopology, b.Subtopology), cmp.Compare(a.Partition, b.Partition))
}

func bySubtopology(ids []TaskID) { slices.SortFunc(ids, compareTasks) }

func byPartition(ids []TaskID) {
	slices.SortFunc(ids, func(a, b TaskID) int {
		return cmp.Or(cmp.Compare(a.Partition, b.Partition), cmp.Compare(a.Subtopology, b.Subtopology))
	})
}

// javaHeap is java.util.PriorityQueue: which of several equal items comes first depends on how its heap is arranged.
type javaHeap[T any, L cmp.Ordered] struct {
	queue []T
	load  func(T) L
}

func newJavaHeap[T any, L cmp.Ordered](items []T, load func(T) L) *javaHeap[T, L] {
	h := &javaHeap[T, L]{load: load}
	for _, item := range items {
		h.add(item)
	}
	return h
}

func (h *javaHeap[T, L]) add(item T) {
	h.queue = append(h.queue, item)
	k := len(h.queue) - 1
	for k > 0 {
		parent := (k - 1) / 2
		if h.load(item) >= h.load(h.queue[parent]) {
			break
		}
		h.queue[k], k = h.queue[parent], parent
	}
	h.queue[k] = item
}

func (h *javaHeap[T, L]) poll() (top T, ok bool) {
	if len(h.queue) == 0 {
		return top, false
	}
	n := len(h.queue) - 1
	top, last := h.queue[0], h.queue[n]
	h.queue = h.queue[:n]
	if n == 0 {
		return top, true
	}
	k := 0
	for k < n/2 {
		child := 2*k + 1
		if right := child + 1; right < n && h.load(h.queue[child]) > h.load(h.queue[right]) {
			child = right
		}
		if h.load(last) <= h.load(h.queue[child]) {
			break
		}
		h.queue[k], k = h.queue[child], child
	}
	h.queue[k] = last
	return top, true
}

// inHashOrder returns items in the order in which a Java HashMap of this initial size lists them. Items of one bucket
// keep their order.
func inHashOrder[T any](items []T, size int, key func(T) string) []T {
	for len(items) > size*3/4 {
		size *= 2
	}
	ordered := slices.Clone(items)
	slices.SortStableFunc(ordered, func(a, b T) int {
		return cmp.Compare(spread(key(a))&uint32(size-1), spread(key(b))&uint32(size-1))
	})
	return ordered
}

// spread is the hash of a string as Java's HashMap uses it.
func spread(s string) uint32 {
	var h uint32
	for _, unit := range utf16.Encode([]rune(s)) {
		h = 31*h + uint32(unit)
	}
	return h ^ h>>16
}
