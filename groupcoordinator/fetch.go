package groupcoordinator

import (
	"cmp"
	"slices"
	"strings"
)

// FetchRequest asks for committed offsets of one group (spec: groups 11). The caller may reuse strings after
// FetchOffsets has returned.
type FetchRequest struct {
	GroupID       string
	All           bool // every partition that has one; Topics is ignored
	Topics        []FetchTopic
	RequireStable bool // refuse offsets that an open transaction is about to change
	// The sender, if it is a member of a group with member epochs; MemberID nil: it is none.
	MemberID    *string
	MemberEpoch int32
}

// FetchTopic names partitions. A non-zero TopicID must equal that of the stored offset, if that has one: the offset of
// a deleted topic with the same name does not count.
type FetchTopic struct {
	Topic      string
	TopicID    [16]byte
	Partitions []int32
}

// FetchResult answers a FetchOffsets, in the order of the request, or sorted for All.
type FetchResult struct {
	Err    error
	Topics []FetchedTopic
}

// FetchedTopic is the part of a FetchResult for one topic.
type FetchedTopic struct {
	Topic      string
	Partitions []FetchedOffset
}

// FetchedOffset is a committed offset; Offset and LeaderEpoch are -1 when there is none or Err is set.
type FetchedOffset struct {
	Partition   int32
	Offset      int64
	LeaderEpoch int32
	Metadata    string
	Err         error
}

// FetchOffsets returns committed offsets; an unknown group has none. The answer waits until the offsets in it are
// durable.
func (c *Coordinator) FetchOffsets(r *FetchRequest) *Future[FetchResult] {
	s, err := c.lockShard(r.GroupID)
	if err != nil {
		return immediate(FetchResult{Err: err})
	}
	defer s.mu.Unlock()
	if at := s.mu.groups[r.GroupID]; at != nil {
		if err := at.ValidateFetch(r.MemberID, r.MemberEpoch); err != nil {
			return immediate(FetchResult{Err: err})
		}
	}
	if r.All {
		return ready(s.fetchAllLocked(r), s.mu.durable)
	}
	result := FetchResult{Topics: make([]FetchedTopic, len(r.Topics))}
	for i := range r.Topics {
		t := &r.Topics[i]
		out := FetchedTopic{Topic: strings.Clone(t.Topic), Partitions: make([]FetchedOffset, len(t.Partitions))}
		for j, partition := range t.Partitions {
			out.Partitions[j] = s.fetchOneLocked(r, t.Topic, t.TopicID, partition)
		}
		result.Topics[i] = out
	}
	return ready(result, s.mu.durable)
}

// Pending returns the partitions of a group whose offsets an open transaction is about to change, in order. An unknown
// group has none.
func (c *Coordinator) Pending(groupID string) ([]TopicPartition, error) {
	s, err := c.lockShard(groupID)
	if err != nil {
		return nil, err
	}
	defer s.mu.Unlock()
	var pending []TopicPartition
	s.mu.offsets.each(groupID, func(topic string, partition int32) {
		if s.mu.offsets.staged(groupID, topic, partition) {
			pending = append(pending, TopicPartition{topic, partition})
		}
	})
	slices.SortFunc(pending, func(a, b TopicPartition) int {
		return cmp.Or(strings.Compare(a.Topic, b.Topic), cmp.Compare(a.Partition, b.Partition))
	})
	return pending, nil
}

func (s *shard) fetchOneLocked(r *FetchRequest, topic string, topicID [16]byte, partition int32) FetchedOffset {
	none := FetchedOffset{Partition: partition, Offset: -1, LeaderEpoch: -1}
	if r.RequireStable && s.mu.offsets.staged(r.GroupID, topic, partition) {
		none.Err = ErrUnstableOffset
		return none
	}
	c, ok := s.mu.offsets.get(r.GroupID, topic, partition)
	if !ok || anotherTopic(topicID, c.topicID) {
		return none
	}
	return FetchedOffset{Partition: partition, Offset: c.offset, LeaderEpoch: c.leaderEpoch, Metadata: c.metadata}
}

// anotherTopic says that two topic IDs are both known and differ.
func anotherTopic(a, b [16]byte) bool { return a != b && a != [16]byte{} && b != [16]byte{} }

func (s *shard) fetchAllLocked(r *FetchRequest) FetchResult {
	var result FetchResult
	for topic, partitions := range s.mu.offsets.committed[r.GroupID] {
		out := FetchedTopic{Topic: topic}
		for partition := range partitions {
			out.Partitions = append(out.Partitions, s.fetchOneLocked(r, topic, [16]byte{}, partition))
		}
		slices.SortFunc(out.Partitions, func(a, b FetchedOffset) int { return int(a.Partition) - int(b.Partition) })
		result.Topics = append(result.Topics, out)
	}
	slices.SortFunc(result.Topics, func(a, b FetchedTopic) int { return strings.Compare(a.Topic, b.Topic) })
	return result
}
