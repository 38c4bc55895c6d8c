package handlers

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/wire"
)

// OffsetForLeaderEpoch v2 to v4. v3 replica ID, v4 flexible. Consumers send it after a leader epoch has grown, to find
// out whether the records that they have read are still there (KIP-320).
func (s *Services) offsetForLeaderEpoch(_ context.Context, r *wire.Request) wire.Reply {
	req, resp := r.Body.(*kmsg.OffsetForLeaderEpochRequest), response[*kmsg.OffsetForLeaderEpochResponse](r)
	for i := range req.Topics {
		t := kmsg.NewOffsetForLeaderEpochResponseTopic()
		t.Topic = req.Topics[i].Topic
		for _, asked := range req.Topics[i].Partitions {
			rp := kmsg.NewOffsetForLeaderEpochResponseTopicPartition()
			rp.Partition = asked.Partition
			if p, code := s.Catalogue.Partition(t.Topic, asked.Partition); code != wire.NoError {
				rp.ErrorCode = int16(code)
			} else if asked.CurrentLeaderEpoch < -1 { // which is older than any, here; Fetch takes it for none
				rp.ErrorCode = int16(wire.FencedLeaderEpoch)
			} else if err := p.CheckLeaderEpoch(asked.CurrentLeaderEpoch); err != nil {
				rp.ErrorCode = int16(codeFor(err, r.Key, r.Version))
			} else if end, err := p.EndOffsetForEpoch(asked.LeaderEpoch); err != nil {
				rp.ErrorCode = int16(codeFor(err, r.Key, r.Version))
			} else {
				rp.LeaderEpoch, rp.EndOffset = end.LeaderEpoch, end.EndOffset
			}
			t.Partitions = append(t.Partitions, rp)
		}
		resp.Topics = append(resp.Topics, t)
	}
	return wire.Respond(resp)
}

func failOffsetForLeaderEpoch(r *wire.Request, code wire.Code, _ string) kmsg.Response {
	req, resp := r.Body.(*kmsg.OffsetForLeaderEpochRequest), response[*kmsg.OffsetForLeaderEpochResponse](r)
	for i := range req.Topics {
		t := kmsg.NewOffsetForLeaderEpochResponseTopic()
		t.Topic = req.Topics[i].Topic
		for j := range req.Topics[i].Partitions {
			p := kmsg.NewOffsetForLeaderEpochResponseTopicPartition()
			p.Partition, p.ErrorCode = req.Topics[i].Partitions[j].Partition, int16(code)
			t.Partitions = append(t.Partitions, p)
		}
		resp.Topics = append(resp.Topics, t)
	}
	return resp
}

func aboutOffsetForLeaderEpoch(_ Catalogue, r *wire.Request) Subjects {
	req := r.Body.(*kmsg.OffsetForLeaderEpochRequest)
	return Subjects{
		Topics: eachOf(req.Topics, func(t *kmsg.OffsetForLeaderEpochRequestTopic) TopicSubject {
			indexes := eachOf(t.Partitions,
				func(p *kmsg.OffsetForLeaderEpochRequestTopicPartition) int32 { return p.Partition })
			return TopicSubject{Name: t.Topic, Partitions: indexes}
		}),
	}
}
