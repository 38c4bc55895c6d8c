package groupcoordinator

import (
	"container/heap"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"once/durability"
	"once/groupcoordinator/group"
	"once/internal/clock"
	"once/internal/fault"
	"once/internal/invariant"
	"once/log/batch"
)

// retryAfterFailedAppend is the pause, in real time, before a group retries a failed append.
const retryAfterFailedAppend = time.Second

// shard holds the groups of one partition of __consumer_offsets.
//
// Locking: mu orders all changes of these groups and appends to the state log. It is held across an append but never
// across a wait for its durability. docs/architecture.md has the order of all locks.
type shard struct {
	c         *Coordinator
	partition int32

	mu struct {
		sync.Mutex
		loaded   bool
		offline  bool // the partition is offline: nothing is loaded
		closed   bool
		released bool // nobody is parked any more
		stateLog StateLog
		groups   map[string]*entry // nil until the first one
		offsets  offsetStore
		durable  durability.Ticket // of the last append that may have changed what an answer shows

		timers  timerHeap
		timer   clock.Timer // nil when none is set
		timerAt time.Time
		firing  bool                      // the timer's function runs and arms it again at its end
		retries map[*clock.Timer]struct{} // in real time, of groups whose append failed

		generations map[string]givenGeneration // of the classic groups that were dropped, until the shard is loaded
	}
}

func (s *shard) usableLocked() error {
	switch {
	case s.mu.closed:
		return ErrClosed
	case s.mu.offline:
		return ErrNotCoordinator
	case !s.mu.loaded:
		return ErrLoading
	}
	return nil
}

func (s *shard) effectsLocked() *effects {
	return newEffects(s.c.cfg.Members.Now(), &s.c.cfg)
}

// entry is a group in its shard, and its place among the shard's timers.
type entry struct {
	group.Group           // replaced by transitions that make a copy
	heapIndex   int       // in the timers; -1 when not there
	wake        time.Time // what the timers hold
	// heard is when members were heard last, in real time; not of all, and of some that have left.
	heard map[string]time.Time
}

// classicLocked returns the classic group of an ID, nil if there is none or one of another type.
func (s *shard) classicLocked(groupID string) (*entry, *classicGroup) {
	at := s.mu.groups[groupID]
	if at == nil {
		return nil, nil
	}
	g, ok := at.Group.(*classicGroup)
	if !ok {
		return nil, nil
	}
	return at, g
}

// carryOutLocked carries out a transition of a group; at is nil for a new group, which is step.Next. With an error
// nothing has changed.
func (s *shard) carryOutLocked(at *entry, step group.Step) error {
	install := func() {
		switch {
		case step.Next == nil:
		case at == nil:
			at = s.putGroupLocked(step.Next)
		default:
			at.Group = step.Next
		}
	}
	if len(step.Records) == 0 {
		install()
	} else {
		records := make([]record, len(step.Records))
		for i, r := range step.Records {
			records[i] = ownRecord(r)
		}
		if err := s.appendLocked(noProducer, records, install); err != nil {
			return err
		}
	}
	if step.After != nil {
		step.After(s.mu.durable)
	}
	switch {
	case s.mu.groups[at.ID()] != at: // the records have ended the group
	case len(step.Records) == 0 && step.Next == nil && !step.WakeBy.IsZero():
		if at.heapIndex < 0 || step.WakeBy.Before(at.wake) {
			s.wakeAtLocked(at, step.WakeBy)
		}
	default:
		s.rescheduleLocked(at)
	}
	return nil
}

// finishLocked carries out a transition of a classic group: work is the changed group, a copy if a record is needed.
func (s *shard) finishLocked(at *entry, work *classicGroup, e *effects) error {
	invariant.Check(!e.write || at.Group != group.Group(work), "a record is needed, yet the group was changed in place")
	if err := s.carryOutLocked(at, work.step(e)); err != nil {
		return err
	}
	if e.rebalanced {
		s.c.metrics.rebalances.Inc()
	}
	for _, a := range e.joins {
		if a.result.Err == nil {
			s.heardLocked(work.id, a.result.MemberID)
		}
	}
	return nil
}

// createGroupLocked makes a classic group for its first Join, in place of old, an empty one of another type, if there
// is one. Its record keeps it in listings after a restart, before a member has joined.
func (s *shard) createGroupLocked(groupID string, old *entry) error {
	g := newClassicGroup(&s.c.cfg, groupID, s.c.cfg.Clock.Now().UnixMilli())
	var records []record
	if old != nil {
		records = appendTombstones(records, old)
	}
	return s.appendLocked(noProducer, append(records, ownRecord(g.record())), nil)
}

// isReplaceable says that a group is empty and that a classic one may take its place; its offsets stay.
func isReplaceable(g group.Group) bool {
	return g.IsEmpty() && (g.Type() == group.Consumer || g.Type() == group.Streams)
}

// producer is the producer of a batch to append.
type producer struct {
	id    int64
	epoch int16
	guard Guard
}

var noProducer = producer{id: -1, epoch: -1}

// appendLocked writes records as one batch and applies them. before runs between the two. With an error nothing has
// changed.
func (s *shard) appendLocked(p producer, records []record, before func()) error {
	size := 0
	for i := range records {
		size += records[i].maxBytes()
	}
	// A record repeats the group ID, which may be much longer than the request's bytes for one offset.
	if size > s.c.cfg.MaxBatchBytes {
		return fmt.Errorf("%w: %d records take %d bytes, %d allowed", ErrBatchTooLarge, len(records), size,
			s.c.cfg.MaxBatchBytes)
	}
	raw := encodeBatch(p, s.c.cfg.Clock.Now().UnixMilli(), records, size)
	if err := s.c.cfg.Faults.Hit(fault.GroupAppend, s.attributes(records)); err != nil {
		return fmt.Errorf("%w: %w", ErrNotWritten, err)
	}
	var at Appended
	var err error
	if p.id >= 0 {
		at, err = s.mu.stateLog.AppendTransactionalOffsets(raw, p.guard)
	} else {
		at, err = s.mu.stateLog.AppendCoordinator(raw, durability.GroupChanged)
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNotWritten, err)
	}
	if invariant.Enabled {
		checkEncoding(raw, records)
	}
	_ = s.c.cfg.Faults.Hit(fault.GroupAppended, s.attributes(records)) // what is stored is stored
	if before != nil {
		before()
	}
	for i := range records {
		s.applyLocked(&records[i], at.BaseOffset+int64(i), p.id)
	}
	s.mu.durable = at.Durable
	return nil
}

// offsetsTopic is the topic that the state logs are partitions of.
const offsetsTopic = "__consumer_offsets"

func (s *shard) attributes(records []record) fault.Attributes {
	at := fault.Attributes{Topic: offsetsTopic, Partition: s.partition}
	if len(records) > 0 {
		at.Group = records[0].group
	}
	return at
}

// applyMarkerLocked writes the end of a transaction and makes its pending offsets visible, or drops them.
func (s *shard) applyMarkerLocked(m batch.Marker, transactionVersion int16) error {
	if _, err := s.mu.stateLog.AppendMarker(m, transactionVersion); err != nil {
		return fmt.Errorf("append marker of producer %d: %w", m.ProducerID, err)
	}
	// The marker's own ticket is not kept: the transaction log already has the decision, so a power cut cannot take
	// back the offsets (spec: reliability 2.1).
	s.finishTransactionLocked(m.ProducerID, m.Type == batch.Commit)
	return nil
}

// Timers.

// timerHeap orders groups by their next wake.
type timerHeap []*entry

func (h timerHeap) Len() int           { return len(h) }
func (h timerHeap) Less(i, j int) bool { return h[i].wake.Before(h[j].wake) }
func (h timerHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].heapIndex, h[j].heapIndex = i, j
}

// Push implements heap.Interface.
func (h *timerHeap) Push(x any) {
	g := x.(*entry)
	g.heapIndex = len(*h)
	*h = append(*h, g)
}

// Pop implements heap.Interface.
func (h *timerHeap) Pop() any {
	old := *h
	g := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	g.heapIndex = -1
	return g
}

// rescheduleLocked recomputes the next wake of a group.
func (s *shard) rescheduleLocked(g *entry) { s.wakeAtLocked(g, g.NextWake()) }

func (s *shard) wakeAtLocked(g *entry, at time.Time) {
	switch {
	case at.IsZero() && g.heapIndex < 0:
		return
	case at.IsZero():
		heap.Remove(&s.mu.timers, g.heapIndex)
	case g.heapIndex < 0:
		g.wake = at
		heap.Push(&s.mu.timers, g)
	case !g.wake.Equal(at):
		g.wake = at
		heap.Fix(&s.mu.timers, g.heapIndex)
	default:
		return
	}
	s.armLocked()
}

// extendSessionLocked restarts a member's session. Usually the deadline only moves later, and the timer notices when it
// fires: so a heartbeat does not walk over the members.
func (s *shard) extendSessionLocked(g *entry, m *member) {
	s.heardLocked(g.ID(), m.id)
	m.deadline = s.c.cfg.Members.Now().Add(m.sessionTimeout)
	if g.heapIndex < 0 || m.deadline.Before(g.wake) {
		s.wakeAtLocked(g, m.deadline)
	}
}

// armLocked sets the shard's one timer to the first deadline; a timer that fires too early is harmless.
func (s *shard) armLocked() {
	if len(s.mu.timers) == 0 || s.mu.closed || s.mu.firing {
		return
	}
	first := s.mu.timers[0].wake
	if s.mu.timer != nil {
		if !first.Before(s.mu.timerAt) || !s.mu.timer.Stop() {
			return // set early enough, or about to run and arm again
		}
		s.c.running.Done()
	}
	s.c.running.Add(1)
	s.mu.timerAt = first
	s.mu.timer = s.c.cfg.Members.AfterFunc(first.Sub(s.c.cfg.Members.Now()), s.timerFired)
}

func (s *shard) timerFired() {
	defer s.c.running.Done()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.timer = nil
	if s.mu.closed {
		return
	}
	s.dueLocked()
}

// dueLocked handles the deadlines that have passed, and sets the timer to the next one.
func (s *shard) dueLocked() {
	s.mu.firing = true
	now := s.c.cfg.Members.Now()
	for len(s.mu.timers) > 0 && !s.mu.timers[0].wake.After(now) {
		g := s.mu.timers[0]
		step := g.Due(now)
		if err := s.carryOutLocked(g, step); err != nil {
			s.c.cfg.Logger.Error("group state not written; trying again", "group", g.ID(), "error", err)
			s.retryLocked(g)
			continue
		}
		for _, id := range step.Dropped {
			s.c.cfg.Clock.Did("removed member", slog.String("group", g.ID()), slog.String("member", id))
		}
	}
	s.mu.firing = false
	s.armLocked()
}

// retryLocked schedules a retry for a group whose append failed.
func (s *shard) retryLocked(g *entry) {
	s.wakeAtLocked(g, time.Time{})
	s.c.running.Add(1)
	timer := new(clock.Timer)
	*timer = s.c.cfg.RealTime.AfterFunc(retryAfterFailedAppend, func() {
		defer s.c.running.Done()
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.mu.retries, timer)
		if g := s.mu.groups[g.ID()]; g != nil && !s.mu.closed {
			s.rescheduleLocked(g)
		}
	})
	if s.mu.retries == nil {
		s.mu.retries = map[*clock.Timer]struct{}{}
	}
	s.mu.retries[timer] = struct{}{}
}

func (s *shard) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.closed {
		return
	}
	s.mu.closed = true
	s.stopTimersLocked()
	s.answerParkedLocked(ErrClosed)
}

// stopTimersLocked stops the timer and the retries of the shard. Those that have fired already wait for the lock.
func (s *shard) stopTimersLocked() {
	if s.mu.timer != nil && s.mu.timer.Stop() {
		s.c.running.Done()
		s.mu.timer = nil
	}
	for timer := range s.mu.retries {
		if (*timer).Stop() {
			s.c.running.Done()
		}
	}
	s.mu.retries = nil
}

// answerParkedLocked answers all parked requests.
func (s *shard) answerParkedLocked(err error) {
	for _, at := range s.mu.groups {
		at.AnswerParked(err)
	}
}
