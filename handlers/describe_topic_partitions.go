package handlers

import (
	"context"
	"sort"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/topics"
	"once/wire"
)

// DescribeTopicPartitions v0: topics in order of their names, cut into pages by a cursor (KIP-966).
func (s *Services) describeTopicPartitions(_ context.Context, r *wire.Request) wire.Reply {
	req, resp := r.Body.(*kmsg.DescribeTopicPartitionsRequest), response[*kmsg.DescribeTopicPartitionsResponse](r)
	names, ok := s.pageNames(req)
	if !ok {
		return s.Fail(r, wire.InvalidRequest, "")
	}
	left := max(1, min(int(req.ResponsePartitionLimit), s.Settings.MaxRequestPartitionSizeLimit))
	resp.Topics = []kmsg.DescribeTopicPartitionsResponseTopic{}
	for _, name := range names {
		from := int32(0)
		if req.Cursor != nil && req.Cursor.Topic == name {
			from = req.Cursor.Partition
		}
		topic, code := s.Catalogue.Topic(name)
		if left == 0 {
			resp.NextCursor = &kmsg.DescribeTopicPartitionsResponseNextCursor{Topic: name, Partition: from}
			break
		}
		rt := kmsg.NewDescribeTopicPartitionsResponseTopic()
		rt.Topic, rt.AuthorizedOperations = kmsg.StringPtr(name), topicOperations
		rt.Partitions = []kmsg.DescribeTopicPartitionsResponseTopicPartition{}
		if code != wire.NoError {
			rt.ErrorCode = int16(code)
			if topics.CheckName(name) != nil {
				rt.ErrorCode = int16(wire.InvalidTopicException)
			}
			resp.Topics = append(resp.Topics, rt)
			continue
		}
		rt.TopicID, rt.IsInternal = topic.ID, topic.Internal
		partitions := topic.Partitions()
		for i := int(from); i < len(partitions) && left > 0; i++ {
			rt.Partitions = append(rt.Partitions, s.describePartition(int32(i), partitions[i].LeaderEpoch()))
			left--
		}
		resp.Topics = append(resp.Topics, rt)
		if next := int(from) + len(rt.Partitions); next < len(partitions) {
			resp.NextCursor = &kmsg.DescribeTopicPartitionsResponseNextCursor{Topic: name, Partition: int32(next)}
			break
		}
	}
	return wire.Respond(resp)
}

func (s *Services) describePartition(i, leaderEpoch int32) kmsg.DescribeTopicPartitionsResponseTopicPartition {
	p := kmsg.NewDescribeTopicPartitionsResponseTopicPartition()
	replicas := []int32{s.NodeID}
	p.Partition, p.LeaderID, p.LeaderEpoch, p.Replicas, p.ISR = i, s.NodeID, leaderEpoch, replicas, replicas
	p.EligibleLeaderReplicas, p.LastKnownELR, p.OfflineReplicas = []int32{}, []int32{}, []int32{}
	return p
}

// pageNames returns the names still to be described, in order; false for an invalid cursor.
func (s *Services) pageNames(req *kmsg.DescribeTopicPartitionsRequest) ([]string, bool) {
	var names []string
	if len(req.Topics) == 0 {
		for _, t := range s.Catalogue.All() {
			names = append(names, t.Name)
		}
	} else {
		seen := map[string]bool{}
		for i := range req.Topics {
			if name := req.Topics[i].Topic; !seen[name] {
				seen[name] = true
				names = append(names, name)
			}
		}
		sort.Strings(names)
	}
	if req.Cursor == nil {
		return names, true
	}
	if req.Cursor.Partition < 0 || len(req.Topics) > 0 && !contains(names, req.Cursor.Topic) {
		return nil, false
	}
	return names[sort.SearchStrings(names, req.Cursor.Topic):], true
}

func contains(sorted []string, name string) bool {
	i := sort.SearchStrings(sorted, name)
	return i < len(sorted) && sorted[i] == name
}

func failDescribeTopicPartitions(r *wire.Request, code wire.Code, _ string) kmsg.Response {
	req, resp := r.Body.(*kmsg.DescribeTopicPartitionsRequest), response[*kmsg.DescribeTopicPartitionsResponse](r)
	for i := range req.Topics {
		t := kmsg.NewDescribeTopicPartitionsResponseTopic()
		t.Topic, t.ErrorCode = &req.Topics[i].Topic, int16(code)
		resp.Topics = append(resp.Topics, t)
	}
	return resp
}

func aboutDescribeTopicPartitions(_ Catalogue, r *wire.Request) Subjects {
	req := r.Body.(*kmsg.DescribeTopicPartitionsRequest)
	return Subjects{
		AllTopics: len(req.Topics) == 0,
		Topics: eachOf(req.Topics, func(t *kmsg.DescribeTopicPartitionsRequestTopic) TopicSubject {
			return TopicSubject{Name: t.Topic}
		}),
	}
}
