package groupcoordinator

import (
	"time"

	"once/groupcoordinator/group"
	"once/log/batch"
)

// OffsetCommit is one offset to store. Its value is not checked, as in Kafka.
type OffsetCommit struct {
	Topic       string
	TopicID     [16]byte // zero when not known
	Partition   int32
	Offset      int64
	LeaderEpoch int32 // -1 unknown
	Metadata    string
}

// CommitRequest commits offsets of a group (spec: groups 10). The caller may reuse strings after the call has returned.
type CommitRequest struct {
	GroupID, MemberID string
	InstanceID        *string
	Generation        int32 // or member epoch; negative: not a member
	KnowsMemberEpochs bool  // the version has the errors of KIP-848 (from version 9)
	// Retention, when not negative, sets an explicit expiry (versions 2 to 4); else the broker's retention applies.
	Retention time.Duration
	Offsets   []OffsetCommit
}

// TxnCommitRequest stores pending offsets of a group in a producer's open transaction (spec: transactions 9.1).
type TxnCommitRequest struct {
	GroupID, MemberID string
	InstanceID        *string
	Generation        int32 // or member epoch
	KnowsMemberEpochs bool  // the version has the errors of KIP-848 (from version 6)
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

// CommitOffsets stores offsets. In a group with members only members may commit, and a commit keeps their session
// alive.
func (c *Coordinator) CommitOffsets(r *CommitRequest) *Future[CommitResult] {
	refuse := func(err error) *Future[CommitResult] { return immediate(CommitResult{Err: err}) }
	s, err := c.lockShard(r.GroupID)
	if err != nil {
		return refuse(err)
	}
	defer s.mu.Unlock()
	check, err := s.validateCommitLocked(r.GroupID, group.Committer{
		MemberID: r.MemberID, InstanceID: r.InstanceID, Epoch: r.Generation, KnowsMemberEpochs: r.KnowsMemberEpochs,
	})
	if err != nil {
		return refuse(err)
	}
	if at, g := s.classicLocked(r.GroupID); g != nil && g.byID[r.MemberID] != nil {
		s.extendSessionLocked(at, g.byID[r.MemberID])
	}
	expireMs := int64(-1)
	if r.Retention >= 0 {
		expireMs = c.cfg.Clock.Now().Add(r.Retention).UnixMilli()
	}
	return s.storeOffsetsLocked(noProducer, r.GroupID, r.Offsets, expireMs, check)
}

// validateCommitLocked asks the group whether the sender may commit. An unknown group comes up for a sender that is no
// member.
func (s *shard) validateCommitLocked(groupID string, c group.Committer) (group.CommitCheck, error) {
	at := s.mu.groups[groupID]
	if at == nil {
		if c.Epoch >= 0 {
			return nil, ErrGroupNotFound
		}
		return nil, nil
	}
	c.Now = s.c.cfg.Clock.Now()
	return at.ValidateCommit(c)
}

// validateCommit checks whether the sender may commit to an existing group.
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

// TxnCommitOffsets stores pending offsets until the producer's transaction ends. The caller has made sure that the
// transaction contains PartitionFor(GroupID), and passes the verification guard. Errors of the state log (a fenced
// producer, an ended transaction) come wrapped.
func (c *Coordinator) TxnCommitOffsets(r *TxnCommitRequest, guard Guard) *Future[CommitResult] {
	refuse := func(err error) *Future[CommitResult] { return immediate(CommitResult{Err: err}) }
	s, err := c.lockShardOfNamedGroup(r.GroupID)
	if err != nil {
		return refuse(err)
	}
	defer s.mu.Unlock()
	check, err := s.validateCommitLocked(r.GroupID, group.Committer{
		MemberID: r.MemberID, InstanceID: r.InstanceID, Epoch: r.Generation, Transactional: true,
		KnowsMemberEpochs: r.KnowsMemberEpochs,
	})
	if err != nil {
		return refuse(err)
	}
	p := producer{id: r.ProducerID, epoch: r.ProducerEpoch, guard: guard}
	return s.storeOffsetsLocked(p, r.GroupID, r.Offsets, -1, check)
}

// validateTxnCommit checks whether the sender may store pending offsets: also a member during a rebalance, and an old
// producer without member ID and generation.
func (g *classicGroup) validateTxnCommit(memberID string, instanceID *string, generation int32) error {
	if generation < 0 && (g.state == Empty || memberID == "" && instanceID == nil) {
		return nil
	}
	return g.validateGeneration(memberID, instanceID, generation)
}

// storeOffsetsLocked appends the offsets whose metadata is short enough and applies them. If check, where there is one,
// refuses one of them, none is stored.
func (s *shard) storeOffsetsLocked(
	p producer, groupID string, offsets []OffsetCommit, expireMs int64, check group.CommitCheck,
) *Future[CommitResult] {
	for i := range offsets {
		if check == nil {
			break
		}
		if err := check(offsets[i].TopicID, offsets[i].Topic, offsets[i].Partition); err != nil {
			return immediate(CommitResult{Err: err})
		}
	}
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
		records = append(records, record{kind: kindOffset, group: groupID, topic: o.Topic, partition: o.Partition, offset: c})
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

// OffsetsPartition is the transaction coordinator's view of one partition of __consumer_offsets.
type OffsetsPartition struct{ s *shard }

// Participant returns the partition that takes markers for pending offsets. partition must be one of 0 …
// Partitions()-1.
func (c *Coordinator) Participant(partition int32) *OffsetsPartition {
	return &OffsetsPartition{c.shards[partition]}
}

// ApplyMarker writes the marker and makes the producer's pending offsets visible, or drops them, before it returns:
// every OffsetFetch after a successful EndTxn sees them (spec: reliability P21). A producer without pending offsets
// gets its marker all the same. With an error nothing has changed.
func (p *OffsetsPartition) ApplyMarker(m batch.Marker, transactionVersion int16) error {
	p.s.c.reloading.RLock()
	defer p.s.c.reloading.RUnlock()
	p.s.mu.Lock()
	defer p.s.mu.Unlock()
	if err := p.s.usableLocked(); err != nil {
		return err
	}
	return p.s.applyMarkerLocked(m, transactionVersion)
}
