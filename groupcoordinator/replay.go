package groupcoordinator

import (
	"bytes"
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

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
		s.applyGroupLocked(r)
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
	g := s.groupOrSimpleLocked(r.group)
	if producerID >= 0 {
		o.stage(producerID, g.id, r.topic, r.partition, c)
		return
	}
	o.commit(g.id, r.topic, r.partition, c)
}

// groupOrSimpleLocked returns the group. Offsets of an unknown group make a simple one, which has no record of its own
// and exists as long as its offsets (spec: groups 10).
func (s *shard) groupOrSimpleLocked(groupID string) *classicGroup {
	g := s.mu.groups[groupID]
	if g == nil {
		g = newClassicGroup(strings.Clone(groupID), -1)
		s.putGroupLocked(g)
	}
	return g
}

func (s *shard) putGroupLocked(g *classicGroup) {
	if s.mu.groups == nil {
		s.mu.groups = make(map[string]*classicGroup)
	}
	s.mu.groups[g.id] = g
}

// finishTransactionLocked applies a marker.
func (s *shard) finishTransactionLocked(producerID int64, commit bool) {
	for _, group := range s.mu.offsets.finish(producerID, commit) {
		s.groupOrSimpleLocked(group)
	}
}

func (s *shard) applyGroupLocked(r *record) {
	g := s.mu.groups[r.group]
	if r.tombstone {
		if g != nil {
			s.wakeAtLocked(g, time.Time{})
			delete(s.mu.groups, r.group)
		}
		return
	}
	if g == nil {
		g = newClassicGroup(strings.Clone(r.group), -1)
		s.putGroupLocked(g)
	}
	g.applyRecord(r)
}

// applyRecord gives the group the state of its record. Members that stay keep their soft state; a restart begins with
// no members.
func (g *classicGroup) applyRecord(r *record) {
	v := r.meta
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
// skipped; an unreadable state log ends Load with its error.
func (c *Coordinator) Load(ctx context.Context) error {
	for _, s := range c.shards {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := s.load(); err != nil {
			return fmt.Errorf("load groups of partition %d: %w", s.partition, err)
		}
	}
	c.retention = c.cfg.Clock.Every(c.cfg.RetentionCheckInterval, func() time.Duration { return c.cfg.RetentionCheckInterval }, c.expireOffsets)
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
	s.mu.loaded = true
	for _, g := range s.mu.groups {
		s.resumeLocked(g)
	}
	return nil
}

// resumeLocked starts the timers of a restored group: its members get a full session timeout.
func (s *shard) resumeLocked(g *classicGroup) {
	e := s.effectsLocked()
	g.restored = true
	for _, m := range g.members {
		m.deadline = e.now.Add(m.sessionTimeout)
	}
	if len(g.members) > s.c.cfg.MaxSize {
		g.prepareRebalance(e) // the maximum has been lowered: those who join last stay outside
	}
	_ = s.finishLocked(g, g, e) // nothing to write: the group has members, or has not changed
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
