package handlers

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/topics"
	"once/wire"
)

// DeleteRecords v0 to v2 (v2 flexible): moves log start offsets forward (KIP-107). The move is durable
// before the answer. The request's timeout is for followers, which are not waited for here.
func (s *Services) deleteRecords(_ context.Context, r *wire.Request) wire.Reply {
	req, resp := r.Body.(*kmsg.DeleteRecordsRequest), response[*kmsg.DeleteRecordsResponse](r)
	moved := false
	req.Topics = mergeBy(req.Topics,
		func(t *kmsg.DeleteRecordsRequestTopic) string { return t.Topic },
		func(into, more *kmsg.DeleteRecordsRequestTopic) {
			into.Partitions = append(into.Partitions, more.Partitions...)
		})
	for i := range req.Topics {
		req.Topics[i].Partitions = lastOfEach(req.Topics[i].Partitions,
			func(p *kmsg.DeleteRecordsRequestTopicPartition) int32 { return p.Partition })
		t := kmsg.NewDeleteRecordsResponseTopic()
		t.Topic = req.Topics[i].Topic
		for _, asked := range req.Topics[i].Partitions {
			rp := kmsg.NewDeleteRecordsResponseTopicPartition()
			rp.Partition = asked.Partition
			start, code := s.deleteRecordsOf(t.Topic, asked.Partition, asked.Offset, r.Version)
			rp.LowWatermark, rp.ErrorCode = start, int16(code)
			moved = moved || code == wire.NoError
			t.Partitions = append(t.Partitions, rp)
		}
		resp.Topics = append(resp.Topics, t)
	}
	if !moved {
		return wire.Respond(resp)
	}
	return wire.Reply{Then: func(ctx context.Context) kmsg.Response {
		if err := s.Sync(ctx); err != nil {
			for i := range resp.Topics {
				for j := range resp.Topics[i].Partitions {
					if rp := &resp.Topics[i].Partitions[j]; rp.ErrorCode == 0 {
						rp.LowWatermark, rp.ErrorCode = -1, int16(wire.RequestTimedOut)
					}
				}
			}
		} else if s.RecordsDeleted != nil {
			s.RecordsDeleted()
		}
		return resp
	}}
}

func (s *Services) deleteRecordsOf(topic string, index int32, offset int64, version int16) (int64, wire.Code) {
	t, ok := s.Topics.Lookup(topic)
	if !ok {
		return -1, wire.UnknownTopicOrPartition
	}
	p, ok := t.Partition(index)
	if !ok {
		return -1, wire.UnknownTopicOrPartition
	}
	if topics.IsInternal(topic) {
		return -1, wire.InvalidTopicException
	}
	if c := t.Config(); c.CleanupCompact && !c.CleanupDelete {
		return -1, wire.PolicyViolation
	}
	start, err := p.DeleteRecords(offset)
	if err != nil {
		return -1, codeFor(fmt.Errorf("deleting records: %w", err), int16(kmsg.DeleteRecords), version)
	}
	return start, wire.NoError
}
