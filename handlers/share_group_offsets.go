package handlers

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/groupcoordinator"
	"once/groupcoordinator/group"
	"once/sharepartition"
	"once/wire"
)

// DescribeShareGroupOffsets v0 to v1. v1 has the lag (KIP-1226). The group itself is not looked up (spec: share-groups
// 17).
func (s *Services) describeShareGroupOffsets(_ context.Context, r *wire.Request) wire.Reply {
	req, resp := r.Body.(*kmsg.DescribeShareGroupOffsetsRequest), response[*kmsg.DescribeShareGroupOffsetsResponse](r)
	if !s.shareEnabled() {
		return s.Fail(r, wire.UnsupportedVersion, "")
	}
	for i := range req.Groups {
		g := kmsg.NewDescribeShareGroupOffsetsResponseGroup()
		g.GroupID = req.Groups[i].GroupID
		if req.Groups[i].Topics == nil {
			s.describeAllShareOffsets(&g, r)
		} else {
			for j := range req.Groups[i].Topics {
				t := &req.Groups[i].Topics[j]
				g.Topics = append(g.Topics, s.describeShareTopic(g.GroupID, t.Topic, t.Partitions, r.Version))
			}
		}
		resp.Groups = append(resp.Groups, g)
	}
	return wire.Respond(resp)
}

func (s *Services) describeAllShareOffsets(g *kmsg.DescribeShareGroupOffsetsResponseGroup, r *wire.Request) {
	all, err := s.Groups.SharePartitions(g.GroupID)
	if err != nil {
		g.ErrorCode = int16(codeFor(err, r.Key, r.Version))
		return
	}
	for _, t := range all {
		if found, code := s.Catalogue.TopicByID(t.ID); code == wire.NoError {
			g.Topics = append(g.Topics, s.describeShareTopic(g.GroupID, found.Name, t.Partitions, r.Version))
		}
	}
}

func (s *Services) describeShareTopic(groupID, topic string, partitions []int32,
	version int16) kmsg.DescribeShareGroupOffsetsResponseGroupTopic {
	x := kmsg.NewDescribeShareGroupOffsetsResponseGroupTopic()
	x.Topic = topic
	found, code := s.Catalogue.Topic(topic)
	if code == wire.NoError {
		x.TopicID = found.ID
	}
	for _, index := range partitions {
		p := kmsg.NewDescribeShareGroupOffsetsResponseGroupTopicPartition()
		p.Partition, p.StartOffset, p.Lag = index, -1, -1
		if code == wire.NoError {
			start, finished, leaderEpoch, err := s.Shares.State(
				sharepartition.Key{Group: groupID, TopicID: found.ID, Partition: index})
			if log, ok := found.Partition(index); ok && err == nil && start >= 0 {
				p.StartOffset, p.LeaderEpoch = start, leaderEpoch
				if version >= 1 && finished >= 0 {
					p.Lag = log.HighWatermark() - start - finished
				}
			}
		}
		x.Partitions = append(x.Partitions, p)
	}
	return x
}

func failDescribeShareGroupOffsets(r *wire.Request, code wire.Code, message string) kmsg.Response {
	req, resp := r.Body.(*kmsg.DescribeShareGroupOffsetsRequest), response[*kmsg.DescribeShareGroupOffsetsResponse](r)
	for i := range req.Groups {
		g := kmsg.NewDescribeShareGroupOffsetsResponseGroup()
		g.GroupID, g.ErrorCode, g.ErrorMessage = req.Groups[i].GroupID, int16(code), messageOrCode(message, code)
		resp.Groups = append(resp.Groups, g)
	}
	return resp
}

func aboutDescribeShareGroupOffsets(_ Catalogue, r *wire.Request) (s Subjects) {
	for i := range r.Body.(*kmsg.DescribeShareGroupOffsetsRequest).Groups {
		g := &r.Body.(*kmsg.DescribeShareGroupOffsetsRequest).Groups[i]
		s.Groups = append(s.Groups, g.GroupID)
		for j := range g.Topics {
			s.Topics = append(s.Topics, TopicSubject{Name: g.Topics[j].Topic, Partitions: g.Topics[j].Partitions})
		}
	}
	return s
}

// AlterShareGroupOffsets v0. A group that does not exist is created, if one of the topics exists.
func (s *Services) alterShareGroupOffsets(_ context.Context, r *wire.Request) wire.Reply {
	req, resp := r.Body.(*kmsg.AlterShareGroupOffsetsRequest), response[*kmsg.AlterShareGroupOffsetsResponse](r)
	if !s.shareEnabled() {
		return s.Fail(r, wire.UnsupportedVersion, "")
	}
	if err := s.ShareStates.Ensure(); err != nil {
		s.Logger.Error("topic for share group state is not created", "error", err)
		return s.Fail(r, wire.CoordinatorNotAvailable, "")
	}
	var starts []groupcoordinator.ShareStart
	var places []*kmsg.AlterShareGroupOffsetsResponseTopicPartition
	create := false
	for i := range req.Topics {
		t := &req.Topics[i]
		x := kmsg.NewAlterShareGroupOffsetsResponseTopic()
		x.Topic = t.Topic
		x.Partitions = make([]kmsg.AlterShareGroupOffsetsResponseTopicPartition, len(t.Partitions))
		found, code := s.Catalogue.Topic(t.Topic)
		if code == wire.NoError {
			x.TopicID, create = found.ID, true
		}
		for j := range t.Partitions {
			p := &x.Partitions[j]
			p.Partition, p.ErrorCode = t.Partitions[j].Partition, int16(code)
			if code != wire.NoError {
				p.ErrorMessage = errorMessage(unknownTopicMessage)
				continue
			}
			if _, code := partitionOf(found, p.Partition); code != wire.NoError {
				p.ErrorCode, p.ErrorMessage = int16(code), errorMessage(unknownTopicMessage)
				continue
			}
			starts = append(starts, groupcoordinator.ShareStart{
				Topic:     group.Topic{Name: found.Name, ID: found.ID, Partitions: int32(len(found.Partitions()))},
				Partition: p.Partition, Offset: t.Partitions[j].StartOffset,
			})
			places = append(places, p)
		}
		resp.Topics = append(resp.Topics, x)
	}
	future := s.Groups.AlterShareStarts(req.GroupID, starts, create)
	return await(future, failedDeletion, func(result groupcoordinator.DeleteResult) kmsg.Response {
		if result.Err != nil {
			return s.byKey[r.Key].fail(r, codeFor(result.Err, r.Key, r.Version), result.Err.Error())
		}
		for i, err := range result.Offsets {
			if err != nil {
				places[i].ErrorCode, places[i].ErrorMessage = int16(codeFor(err, r.Key, r.Version)), errorMessage(err.Error())
			}
		}
		return resp
	})
}

// unknownTopicMessage is Kafka's text for the code.
const unknownTopicMessage = "This server does not host this topic-partition."

func failedDeletion(err error) groupcoordinator.DeleteResult {
	return groupcoordinator.DeleteResult{Err: err}
}

func failAlterShareGroupOffsets(r *wire.Request, code wire.Code, message string) kmsg.Response {
	resp := response[*kmsg.AlterShareGroupOffsetsResponse](r)
	resp.ErrorCode, resp.ErrorMessage = int16(code), messageOrCode(message, code)
	return resp
}

func aboutAlterShareGroupOffsets(_ Catalogue, r *wire.Request) Subjects {
	req := r.Body.(*kmsg.AlterShareGroupOffsetsRequest)
	return Subjects{Groups: []string{req.GroupID},
		Topics: eachOf(req.Topics, func(t *kmsg.AlterShareGroupOffsetsRequestTopic) TopicSubject {
			indexes := eachOf(t.Partitions, func(p *kmsg.AlterShareGroupOffsetsRequestTopicPartition) int32 {
				return p.Partition
			})
			return TopicSubject{Name: t.Topic, Partitions: indexes}
		})}
}

// DeleteShareGroupOffsets v0.
func (s *Services) deleteShareGroupOffsets(_ context.Context, r *wire.Request) wire.Reply {
	req, resp := r.Body.(*kmsg.DeleteShareGroupOffsetsRequest), response[*kmsg.DeleteShareGroupOffsetsResponse](r)
	if !s.shareEnabled() {
		return s.Fail(r, wire.UnsupportedVersion, "")
	}
	var ids [][16]byte
	var places []int
	seen := map[[16]byte]bool{}
	for i := range req.Topics {
		x := kmsg.NewDeleteShareGroupOffsetsResponseTopic()
		x.Topic = req.Topics[i].Topic
		if found, code := s.Catalogue.Topic(x.Topic); code == wire.NoError {
			x.TopicID = found.ID
			if !seen[found.ID] {
				seen[found.ID] = true
				ids, places = append(ids, found.ID), append(places, i)
			}
		} else {
			x.ErrorCode, x.ErrorMessage = int16(code), errorMessage(unknownTopicMessage)
		}
		resp.Topics = append(resp.Topics, x)
	}
	future := s.Groups.DeleteShareTopics(req.GroupID, ids)
	return await(future, failedDeletion, func(result groupcoordinator.DeleteResult) kmsg.Response {
		if result.Err != nil {
			return s.byKey[r.Key].fail(r, codeFor(result.Err, r.Key, r.Version), result.Err.Error())
		}
		for i, err := range result.Offsets {
			if err != nil {
				x := &resp.Topics[places[i]]
				x.TopicID, x.ErrorCode, x.ErrorMessage = [16]byte{}, int16(codeFor(err, r.Key, r.Version)),
					errorMessage(err.Error())
			}
		}
		return resp
	})
}

func failDeleteShareGroupOffsets(r *wire.Request, code wire.Code, message string) kmsg.Response {
	resp := response[*kmsg.DeleteShareGroupOffsetsResponse](r)
	resp.ErrorCode, resp.ErrorMessage = int16(code), messageOrCode(message, code)
	return resp
}

func aboutDeleteShareGroupOffsets(_ Catalogue, r *wire.Request) Subjects {
	req := r.Body.(*kmsg.DeleteShareGroupOffsetsRequest)
	return Subjects{Groups: []string{req.GroupID},
		Topics: eachOf(req.Topics, func(t *kmsg.DeleteShareGroupOffsetsRequestTopic) TopicSubject {
			return TopicSubject{Name: t.Topic}
		})}
}
