package handlers

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/durability"
	"once/partition"
	"once/topics"
	"once/wire"
)

// DeleteRecords v0 to v2 (v2 flexible): moves log start offsets forward (KIP-107). The move is durable before the
// answer. The request's timeout is for followers; there are none.
func (s *Services) deleteRecords(_ context.Context, r *wire.Request) wire.Reply {
	req, resp := r.Body.(*kmsg.DeleteRecordsRequest), response[*kmsg.DeleteRecordsResponse](r)
	var moved []*partition.Partition
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
			p, start, code := s.deleteRecordsOf(t.Topic, asked.Partition, asked.Offset, r.Version)
			rp.LowWatermark, rp.ErrorCode = start, int16(code)
			if code == wire.NoError {
				moved = append(moved, p)
			}
			t.Partitions = append(t.Partitions, rp)
		}
		resp.Topics = append(resp.Topics, t)
	}
	if len(moved) == 0 {
		return wire.Respond(resp)
	}
	ticket := s.Barrier.TicketFor(durability.RecordsDeleted)
	return wire.Reply{Then: func(ctx context.Context) kmsg.Response {
		if err := ticket.Wait(ctx); err != nil {
			for i := range resp.Topics {
				for j := range resp.Topics[i].Partitions {
					if rp := &resp.Topics[i].Partitions[j]; rp.ErrorCode == 0 {
						rp.LowWatermark, rp.ErrorCode = -1, int16(wire.RequestTimedOut)
					}
				}
			}
			return resp
		}
		// The disk may be full, and the request be meant to make room.
		for _, p := range moved {
			if _, err := p.DeleteSegments(); err != nil {
				s.Logger.Warn("segments are not deleted; tried again at the next check of retention", "partition", p.ID().String(),
					"error", err)
			}
		}
		return resp
	}}
}

func (s *Services) deleteRecordsOf(topic string, index int32, offset int64,
	version int16) (*partition.Partition, int64, wire.Code) {
	t, code := s.Catalogue.Topic(topic)
	if code != wire.NoError {
		return nil, -1, code
	}
	p, code := partitionOf(t, index)
	if code != wire.NoError {
		return nil, -1, code
	}
	if topics.IsInternal(topic) {
		return nil, -1, wire.InvalidTopicException
	}
	if c := t.Config(); c.CleanupCompact && !c.CleanupDelete {
		return nil, -1, wire.PolicyViolation
	}
	start, err := p.DeleteRecords(offset)
	if err != nil {
		return nil, -1, codeFor(fmt.Errorf("deleting records: %w", err), int16(kmsg.DeleteRecords), version)
	}
	return p, start, wire.NoError
}

func failDeleteRecords(r *wire.Request, code wire.Code, _ string) kmsg.Response {
	req, resp := r.Body.(*kmsg.DeleteRecordsRequest), response[*kmsg.DeleteRecordsResponse](r)
	for i := range req.Topics {
		t := kmsg.NewDeleteRecordsResponseTopic()
		t.Topic = req.Topics[i].Topic
		for j := range req.Topics[i].Partitions {
			p := kmsg.NewDeleteRecordsResponseTopicPartition()
			p.Partition, p.ErrorCode = req.Topics[i].Partitions[j].Partition, int16(code)
			p.LowWatermark = -1
			t.Partitions = append(t.Partitions, p)
		}
		resp.Topics = append(resp.Topics, t)
	}
	return resp
}

func aboutDeleteRecords(_ Catalogue, r *wire.Request) Subjects {
	req := r.Body.(*kmsg.DeleteRecordsRequest)
	return Subjects{
		Topics: eachOf(req.Topics, func(t *kmsg.DeleteRecordsRequestTopic) TopicSubject {
			indexes := eachOf(t.Partitions,
				func(p *kmsg.DeleteRecordsRequestTopicPartition) int32 { return p.Partition })
			return TopicSubject{Name: t.Topic, Partitions: indexes}
		}),
	}
}
