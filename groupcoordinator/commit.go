package groupcoordinator

import (
	"time"

	"once/log/batch"
)

// OffsetCommit is one offset to store. The value is not checked: Kafka stores what it is given.
type OffsetCommit struct {
	Topic       string
	TopicID     [16]byte // zero when not known
	Partition   int32
	Offset      int64
	LeaderEpoch int32 // -1 unknown
	Metadata    string
}

// CommitRequest commits offsets of a group (spec: groups 10). Strings may be reused by the caller
// once the call has returned.
type CommitRequest struct {
	GroupID, MemberID string
	InstanceID        *string
	Generation        int32 // negative: not a member
	// Retention, when not negative, sets an explicit expiry (versions 2 to 4); else the broker's rule holds.
	Retention time.Duration
	Offsets   []OffsetCommit
}

// TxnCommitRequest stages offsets of a group in a producer's open transaction (spec: transactions 9.1).
type TxnCommitRequest struct {
	GroupID, MemberID string
	InstanceID        *string
	Generation        int32
	ProducerID        int64
	ProducerEpoch     int16
	Offsets           []OffsetCommit
}

// CommitResult answers a commit: Err for all of it, else one error (or nil) an offset in the order of
// the request; Offsets is nil when all are stored.
type CommitResult struct {
	Err     error
	Offsets []error
}

// CommitOffsets stores offsets. In a group with members only they may commit, and it keeps their
// session alive.
func (c *Coordinator) CommitOffsets(r *CommitRequest) *Future[CommitResult] {
	refuse := func(err error) *Future[CommitResult] { return immediate(CommitResult{Err: err}) }
	s, err := c.lockShard(r.GroupID)
	if err != nil {
		return refuse(err)
	}
	defer s.mu.Unlock()
	g := s.mu.groups[r.GroupID]
	switch {
	case g != nil:
		if err := g.validateCommit(r.MemberID, r.InstanceID, r.Generation); err != nil {
			return refuse(err)
		}
		if m := g.byID[r.MemberID]; m != nil && g.state != CompletingRebalance {
			s.extendSessionLocked(g, m)
		}
	case r.Generation >= 0:
		return refuse(ErrGroupNotFound)
	}
	expireMs := int64(-1)
	if r.Retention >= 0 {
		expireMs = c.cfg.Clock.Now().Add(r.Retention).UnixMilli()
	}
	return s.storeOffsetsLocked(noProducer, r.GroupID, r.Offsets, expireMs)
}

// validateCommit is who may commit to a group that exists.
func (g *classicGroup) validateCommit(memberID string, instanceID *string, generation int32) error {
	if generation < 0 && g.state == Empty {
		return nil // an administrator, or a consumer that assigns itself
	}
	if generation < 0 && memberID == "" && instanceID == nil {
		return ErrUnknownMember
	}
	if err := g.validateGeneration(memberID, instanceID, generation); err != nil {
		return err
	}
	if g.state == CompletingRebalance {
		return ErrRebalanceInProgress
	}
	return nil
}

func (g *classicGroup) validateGeneration(memberID string, instanceID *string, generation int32) error {
	if err := g.validate(memberID, instanceID); err != nil {
		return err
	}
	if generation != g.generation {
		return ErrIllegalGeneration
	}
	return nil
}

// TxnCommitOffsets stages offsets until the producer's transaction ends. The caller has made sure
// that the transaction contains PartitionFor(GroupID), and passes what that gave as guard. Errors of
// the state log (a fenced producer, a transaction that is over) come wrapped.
func (c *Coordinator) TxnCommitOffsets(r *TxnCommitRequest, guard Guard) *Future[CommitResult] {
	refuse := func(err error) *Future[CommitResult] { return immediate(CommitResult{Err: err}) }
	s, err := c.lockShardOfNamedGroup(r.GroupID)
	if err != nil {
		return refuse(err)
	}
	defer s.mu.Unlock()
	g := s.mu.groups[r.GroupID]
	switch {
	case g != nil:
		if err := g.validateTxnCommit(r.MemberID, r.InstanceID, r.Generation); err != nil {
			return refuse(err)
		}
	case r.Generation >= 0:
		return refuse(ErrGroupNotFound)
	}
	p := producer{id: r.ProducerID, epoch: r.ProducerEpoch, guard: guard}
	return s.storeOffsetsLocked(p, r.GroupID, r.Offsets, -1)
}

// validateTxnCommit is who may stage offsets: also a member in the middle of a rebalance, and an old
// producer that does not say who it is.
func (g *classicGroup) validateTxnCommit(memberID string, instanceID *string, generation int32) error {
	if generation < 0 && (g.state == Empty || memberID == "" && instanceID == nil) {
		return nil
	}
	return g.validateGeneration(memberID, instanceID, generation)
}

// storeOffsetsLocked appends what is small enough and applies it.
func (s *shard) storeOffsetsLocked(p producer, group string, offsets []OffsetCommit, expireMs int64) *Future[CommitResult] {
	nowMs := s.c.cfg.Clock.Now().UnixMilli()
	var result CommitResult
	records := make([]record, 0, len(offsets))
	for i := range offsets {
		o := &offsets[i]
		if len(o.Metadata) > s.c.cfg.OffsetMetadataMaxBytes && utf16Len(o.Metadata) > s.c.cfg.OffsetMetadataMaxBytes {
			if result.Offsets == nil {
				result.Offsets = make([]error, len(offsets))
			}
			result.Offsets[i] = ErrMetadataTooLarge
			continue
		}
		c := committed{
			offset: o.Offset, leaderEpoch: o.LeaderEpoch, metadata: o.Metadata,
			commitTimestampMs: nowMs, expireTimestampMs: expireMs, topicID: o.TopicID,
		}
		if expireMs >= 0 {
			c.leaderEpoch, c.topicID = -1, [16]byte{} // the record with an expiry has no room for them
		}
		records = append(records, record{kind: kindOffset, group: group, topic: o.Topic, partition: o.Partition, offset: c})
	}
	if len(records) == 0 {
		return immediate(result)
	}
	if err := s.appendLocked(p, records, nil); err != nil {
		return immediate(CommitResult{Err: err})
	}
	s.c.metrics.offsetCommits.Add(float64(len(records)))
	return ready(result, s.mu.durable)
}

// OffsetsPartition is one partition of __consumer_offsets as the transaction coordinator sees it.
type OffsetsPartition struct{ s *shard }

// Participant returns the partition that takes markers for staged offsets. partition must be one of
// 0 … Partitions()-1.
func (c *Coordinator) Participant(partition int32) *OffsetsPartition {
	return &OffsetsPartition{c.shards[partition]}
}

// ApplyMarker writes the marker and makes the producer's staged offsets visible, or drops them,
// before it returns: an EndTxn that has succeeded is seen by every later OffsetFetch (spec:
// reliability P21). A producer without staged offsets gets its marker all the same. With an error
// neither has happened.
func (p *OffsetsPartition) ApplyMarker(m batch.Marker, transactionVersion int16) error {
	p.s.mu.Lock()
	defer p.s.mu.Unlock()
	if err := p.s.usableLocked(); err != nil {
		return err
	}
	return p.s.applyMarkerLocked(m, transactionVersion)
}
