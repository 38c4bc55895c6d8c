package groupcoordinator

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"once/groupcoordinator/group"
	"once/groupcoordinator/sharegroup"
	"once/log/batch"
)

// DeleteResult answers a deletion: Err for all of it, else one error (or nil) for each offset in the request.
type DeleteResult struct {
	Err     error
	Offsets []error
}

// DeleteGroup removes an empty group with its committed and pending offsets (spec: groups 14).
func (c *Coordinator) DeleteGroup(groupID string) *Future[DeleteResult] {
	refuse := func(err error) *Future[DeleteResult] { return immediate(DeleteResult{Err: err}) }
	s, err := c.lockShard(groupID)
	if err != nil {
		return refuse(err)
	}
	defer s.mu.Unlock()
	at := s.mu.groups[groupID]
	switch {
	case at == nil:
		return refuse(ErrGroupNotFound)
	case !at.IsEmpty():
		return refuse(ErrGroupNotEmpty)
	}
	if g, ok := at.Group.(*sharegroup.Group); ok {
		if err := s.removeShareStatesLocked(g, func([16]byte) bool { return true }); err != nil {
			return refuse(err)
		}
	}
	if err := s.appendLocked(noProducer, s.groupTombstonesLocked(at), nil); err != nil {
		return refuse(err)
	}
	return ready(DeleteResult{}, s.mu.durable)
}

// groupTombstonesLocked returns the tombstones of a group's offsets and then the group's own.
func (s *shard) groupTombstonesLocked(at *entry) []record {
	var records []record
	s.mu.offsets.each(at.ID(), func(topic string, partition int32) {
		records = append(records, offsetTombstone(at.ID(), topic, partition))
	})
	return appendTombstones(records, at)
}

func appendTombstones(records []record, g group.Group) []record {
	for _, r := range g.Tombstones() {
		records = append(records, ownRecord(r))
	}
	return records
}

// eraseLocked appends and applies tombstones, in as many batches as the limits of the log need. After a crash between
// two batches the rest is erased later. A deletion by a client is one batch, as in Kafka.
func (s *shard) eraseLocked(records []record) error {
	for most := len(records); len(records) > 0; {
		n := min(most, tombstonesForBatch(records, &s.c.cfg))
		err := s.appendLocked(noProducer, records[:n], nil)
		switch {
		case errors.Is(err, batch.ErrTooLarge) && n > 1:
			most = n / 2
		case err != nil:
			return err
		default:
			records = records[n:]
		}
	}
	return nil
}

// tombstonesForBatch returns the number of tombstones for the next batch, at least one.
func tombstonesForBatch(records []record, cfg *Config) int {
	n, bytes := 1, records[0].maxBytes()
	for n < min(len(records), cfg.TombstonesPerBatch) {
		if bytes += records[n].maxBytes(); bytes > cfg.MaxBatchBytes {
			break
		}
		n++
	}
	return n
}

// DeleteOffsetsRequest removes offsets of single partitions.
type DeleteOffsetsRequest struct {
	GroupID string
	Offsets []TopicPartition
}

// TopicPartition names a partition by topic name.
type TopicPartition struct {
	Topic     string
	Partition int32
}

// DeleteOffsets removes committed and pending offsets of topics that the group is not subscribed to (spec: groups 14).
// A missing offset is no error.
func (c *Coordinator) DeleteOffsets(r *DeleteOffsetsRequest) *Future[DeleteResult] {
	refuse := func(err error) *Future[DeleteResult] { return immediate(DeleteResult{Err: err}) }
	s, err := c.lockShardOfNamedGroup(r.GroupID)
	if err != nil {
		return refuse(err)
	}
	defer s.mu.Unlock()
	g := s.mu.groups[r.GroupID]
	switch {
	case g == nil || g.Type() == group.Share:
		return refuse(ErrGroupNotFound)
	case g.Type() == group.Classic && !g.IsEmpty() && g.ProtocolType() != consumerProtocolType:
		return refuse(ErrGroupNotEmpty)
	}
	result := DeleteResult{Offsets: make([]error, len(r.Offsets))}
	var records []record
	for i, o := range r.Offsets {
		if g.IsSubscribedTo(o.Topic) {
			result.Offsets[i] = ErrSubscribed
		} else if _, ok := s.mu.offsets.get(g.ID(), o.Topic, o.Partition); ok ||
			s.mu.offsets.staged(g.ID(), o.Topic, o.Partition) {
			records = append(records, offsetTombstone(g.ID(), o.Topic, o.Partition))
		}
	}
	if len(records) > 0 {
		if err := s.appendLocked(noProducer, records, nil); err != nil {
			return refuse(err)
		}
	}
	return ready(result, s.mu.durable)
}

// OnTopicDeleted erases the committed and pending offsets of a deleted topic in every group. Offsets with the ID of
// another topic of the same name stay.
func (c *Coordinator) OnTopicDeleted(name string, topicID [16]byte) error {
	c.reloading.RLock()
	defer c.reloading.RUnlock()
	var errs []error
	for _, s := range c.shards {
		if err := s.topicDeleted(name, topicID); err != nil {
			errs = append(errs, fmt.Errorf("erase offsets of topic %q in partition %d: %w", name, s.partition, err))
		}
	}
	return errors.Join(errs...)
}

func (s *shard) topicDeleted(name string, topicID [16]byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.usableLocked(); err != nil {
		return err
	}
	records := s.offsetsLocked(func(topic string, of [16]byte) bool { return topic == name && !anotherTopic(topicID, of) })
	return errors.Join(s.eraseLocked(records), s.shareTopicDeletedLocked(topicID))
}

// offsetsLocked returns tombstones for the committed and pending offsets that are picked by topic.
func (s *shard) offsetsLocked(pick func(topic string, topicID [16]byte) bool) (tombstones []record) {
	type key struct {
		group string
		TopicPartition
	}
	found := make(map[key]bool)
	collect := func(group string, topics topicOffsets) {
		for topic, partitions := range topics {
			for partition, c := range partitions {
				if pick(topic, c.topicID) {
					found[key{group, TopicPartition{topic, partition}}] = true
				}
			}
		}
	}
	for group, topics := range s.mu.offsets.committed {
		collect(group, topics)
	}
	for _, groups := range s.mu.offsets.pending {
		for group, topics := range groups {
			collect(group, topics)
		}
	}
	for k := range found {
		tombstones = append(tombstones, offsetTombstone(k.group, k.Topic, k.Partition))
	}
	return tombstones
}

// ForgetDeletedTopics erases the offsets of topics that do not exist any more, or have another ID now. A process that
// died after it had deleted a topic, or a power cut, may have left them. It is called once, after Load. topicID returns
// the ID of a topic that exists.
func (c *Coordinator) ForgetDeletedTopics(topicID func(name string) (id [16]byte, exists bool)) error {
	var errs []error
	for _, s := range c.shards {
		s.mu.Lock()
		err := s.eraseLocked(s.offsetsLocked(func(topic string, of [16]byte) bool {
			id, exists := topicID(topic)
			return !exists || anotherTopic(id, of)
		}))
		s.mu.Unlock()
		if err != nil {
			errs = append(errs, fmt.Errorf("erase offsets of deleted topics in partition %d: %w", s.partition, err))
		}
	}
	return errors.Join(errs...)
}

// Retention (spec: groups 13).

// expireOffsets removes the offsets whose retention is over, and empty groups that have none left. It
// runs every RetentionCheckInterval by itself.
func (c *Coordinator) expireOffsets() {
	for _, s := range c.shards {
		if c.closed.Load() {
			return
		}
		s.expire(c.cfg.Clock.Now())
	}
}

func (s *shard) expire(now time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.usableLocked() != nil {
		return
	}
	var records []record
	expired := 0
	for _, g := range s.mu.groups {
		before := len(records)
		var left bool
		records, left = s.expiredLocked(g, now.UnixMilli(), records)
		expired += len(records) - before
		if !left && g.IsUnused() {
			records = appendTombstones(records, g)
		}
	}
	if err := s.eraseLocked(records); err != nil {
		s.c.cfg.Logger.Error("expired offsets not removed", "partition", s.partition, "error", err)
		return
	}
	s.c.metrics.expiredOffsets.Add(float64(expired))
	if expired > 0 {
		s.c.cfg.Clock.Did("expired offsets", slog.Int("partition", int(s.partition)), slog.Int("offsets", expired))
	}
}

// expiredLocked adds tombstones for the expired offsets of a group; left says that the group still has offsets.
func (s *shard) expiredLocked(g *entry, nowMs int64, records []record) (_ []record, left bool) {
	id := g.ID()
	left = len(s.mu.offsets.open[id]) > 0
	for topic, partitions := range s.mu.offsets.committed[id] {
		for partition, c := range partitions {
			baseMs, may := g.ExpiryBase(topic, c.commitTimestampMs)
			over := nowMs-baseMs >= s.c.cfg.OffsetsRetention.Milliseconds()
			if c.expireTimestampMs >= 0 {
				over = nowMs >= c.expireTimestampMs
			}
			if may && over && !s.mu.offsets.staged(id, topic, partition) {
				records = append(records, offsetTombstone(id, topic, partition))
			} else {
				left = true
			}
		}
	}
	return records, left
}
