package groupcoordinator

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/groupcoordinator/group"
	"once/internal/invariant"
	"once/log/batch"
)

// applyLocked applies one stored record. It is called for a record just appended and, at a restart, for every record of
// the log in order. producerID is that of a transactional batch, else -1.
func (s *shard) applyLocked(r *record, recordOffset, producerID int64) {
	switch r.kind {
	case kindOffset:
		s.applyOffsetLocked(r, recordOffset, producerID)
	case kindGroup:
		s.applyGroupLocked(r.own)
	}
}

func (s *shard) applyOffsetLocked(r *record, recordOffset, producerID int64) {
	o := &s.mu.offsets
	if r.tombstone {
		o.erase(r.group, r.topic, r.partition)
		return
	}
	c := r.offset
	c.recordOffset = recordOffset
	c.metadata = strings.Clone(c.metadata)
	id := s.groupOrSimpleLocked(r.group).ID()
	if producerID >= 0 {
		o.stage(producerID, id, r.topic, r.partition, c)
		return
	}
	o.commit(id, r.topic, r.partition, c)
}

// groupOrSimpleLocked returns the group. Offsets of an unknown group make a simple one, which has no record of its own
// and exists as long as its offsets (spec: groups 10).
func (s *shard) groupOrSimpleLocked(groupID string) *entry {
	if at := s.mu.groups[groupID]; at != nil {
		return at
	}
	return s.putGroupLocked(s.c.newGroup(group.Classic, groupID))
}

func (s *shard) putGroupLocked(g group.Group) *entry {
	if s.mu.groups == nil {
		s.mu.groups = make(map[string]*entry)
	}
	at := &entry{Group: g, heapIndex: -1}
	s.mu.groups[g.ID()] = at
	return at
}

// finishTransactionLocked applies a marker.
func (s *shard) finishTransactionLocked(producerID int64, commit bool) {
	for _, id := range s.mu.offsets.finish(producerID, commit) {
		s.groupOrSimpleLocked(id)
	}
}

// applyGroupLocked applies a record of a group's own state. A tombstone is for a group of its type only: the records of
// a group that has changed its type come before those of the new one.
func (s *shard) applyGroupLocked(r group.Record) {
	at := s.mu.groups[r.GroupID()]
	if r.IsTombstone() {
		switch {
		case at == nil || at.Type() != r.GroupType():
		case r.EndsGroup():
			s.removeGroupLocked(at)
		default:
			at.Apply(r)
		}
		return
	}
	switch {
	case at == nil:
		at = s.putGroupLocked(s.c.newGroup(r.GroupType(), r.GroupID()))
	case at.Type() != r.GroupType() && isSimple(at.Group):
		at.Group = s.c.newGroup(r.GroupType(), r.GroupID())
	case at.Type() != r.GroupType():
		s.c.cfg.Logger.Error("record passed over: the group has another type", "group", r.GroupID(), "key_type", r.KeyType())
		return
	}
	at.Apply(r)
}

func (s *shard) removeGroupLocked(at *entry) {
	s.wakeAtLocked(at, time.Time{})
	delete(s.mu.groups, at.ID())
}

func isSimple(g group.Group) bool {
	c, ok := g.(*classicGroup)
	return ok && c.isSimple()
}

// applyRecord gives the group the state of its record. Members that stay keep their soft state; a restart begins with
// no members.
func (g *classicGroup) applyRecord(v *kmsg.GroupMetadataValue) {
	g.generation = v.Generation
	g.protocolType = strings.Clone(v.ProtocolType)
	g.protocolName = cloneOptional(v.Protocol)
	g.stateTimestamp = v.CurrentStateTimestamp
	before := g.byID
	g.members, g.byID, g.static, g.leaderID = nil, nil, nil, ""
	if v.Leader != nil {
		g.leaderID = strings.Clone(*v.Leader)
	}
	for i := range v.Members {
		x := &v.Members[i]
		m := before[x.MemberID]
		if m == nil {
			m = &member{id: strings.Clone(x.MemberID), instanceID: cloneOptional(x.InstanceID)}
		}
		m.applyRecord(x, g.protocolName)
		g.add(m)
	}
	if len(g.members) == 0 {
		g.state = Empty
	} else {
		g.state = Stable
	}
	g.subscribed = g.subscribedTopics()
}

// applyRecord gives the member the state of its record, which has the chosen protocol only. If that is unchanged, the
// member keeps its other protocols.
func (m *member) applyRecord(x *kmsg.GroupMetadataValueMember, protocolName *string) {
	if m.clientID != x.ClientID || m.clientHost != x.ClientHost {
		m.clientID, m.clientHost = strings.Clone(x.ClientID), strings.Clone(x.ClientHost)
	}
	m.sessionTimeout = milliseconds(x.SessionTimeoutMillis)
	m.rebalanceTimeout = milliseconds(x.RebalanceTimeoutMillis)
	if x.RebalanceTimeoutMillis == -1 {
		m.rebalanceTimeout = m.sessionTimeout
	}
	if protocolName != nil && !(m.supports(*protocolName) && bytes.Equal(m.metadataFor(*protocolName), x.Subscription)) {
		m.protocols = []Protocol{{Name: *protocolName, Metadata: bytes.Clone(x.Subscription)}}
	}
	if !bytes.Equal(m.assignment, x.Assignment) {
		m.assignment = bytes.Clone(x.Assignment)
	}
}

// Load reads every partition of __consumer_offsets and then serves requests. An unreadable record is logged and
// skipped; an unreadable state log ends Load with its error. Reload does it again.
func (c *Coordinator) Load(ctx context.Context) error {
	for _, s := range c.shards {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := s.load(); err != nil {
			return fmt.Errorf("load groups of partition %d: %w", s.partition, err)
		}
	}
	c.retention = c.cfg.Clock.Every(c.cfg.RetentionCheckInterval,
		func() time.Duration { return c.cfg.RetentionCheckInterval }, c.expireOffsets)
	return nil
}

func (s *shard) load() error {
	stateLog := s.c.cfg.StateLogs(s.partition)
	// The state is built in a copy, so that requests are answered with ErrLoading meanwhile instead of waiting.
	building := &shard{c: s.c, partition: s.partition}
	building.mu.firing = true // no timers before the state is whole
	err := stateLog.Scan(stateLog.LogStartOffset(), stateLog.LogEndOffset(), building.replayBatch)
	if err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.closed {
		return ErrClosed
	}
	s.mu.stateLog, s.mu.groups, s.mu.offsets = stateLog, building.mu.groups, building.mu.offsets
	s.mu.loaded, s.mu.offline = true, false
	s.continueGenerationsLocked()
	now := s.c.cfg.Members.Now()
	for _, at := range s.mu.groups {
		if err := s.carryOutLocked(at, at.Resume(now)); err != nil {
			return err
		}
	}
	return nil
}

func (s *shard) replayBatch(h batch.Header, raw []byte) error {
	if h.IsControl() {
		m, isMarker, err := batch.ParseMarker(raw)
		if err != nil {
			return fmt.Errorf("marker at offset %d: %w", h.BaseOffset, err)
		}
		if isMarker {
			s.finishTransactionLocked(m.ProducerID, m.Type == batch.Commit)
		}
		return nil
	}
	producerID := int64(-1)
	if h.IsTransactional() {
		producerID = h.ProducerID
	}
	for b, err := range batch.Records(raw, s.c.cfg.MaxInflatedBytes) {
		if err != nil {
			return fmt.Errorf("batch at offset %d: %w", h.BaseOffset, err)
		}
		offset := h.BaseOffset + int64(b.OffsetDelta)
		r, err := decodeRecord(b.Key, b.Value)
		if err != nil {
			s.c.cfg.Logger.Error("record passed over", "partition", s.partition, "offset", offset, "error", err)
			continue
		}
		s.applyLocked(&r, offset, producerID)
	}
	invariant.Check(s.mu.timer == nil, "a timer runs while groups are loaded")
	return nil
}
