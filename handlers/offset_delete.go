package handlers

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/groupcoordinator"
	"once/wire"
)

// OffsetDelete v0 (KIP-496).
func (s *Services) offsetDelete(_ context.Context, r *wire.Request) wire.Reply {
	req, resp := r.Body.(*kmsg.OffsetDeleteRequest), response[*kmsg.OffsetDeleteResponse](r)
	del := groupcoordinator.DeleteOffsetsRequest{GroupID: req.Group}
	refused := false // a partition, here and not by the group
	var where []*int16
	resp.Topics = make([]kmsg.OffsetDeleteResponseTopic, len(req.Topics))
	for i := range req.Topics {
		t, out := &req.Topics[i], &resp.Topics[i]
		*out = kmsg.NewOffsetDeleteResponseTopic()
		out.Topic = t.Topic
		topic, missing := s.offsetTopic(t.Topic, [16]byte{}, false)
		out.Partitions = make([]kmsg.OffsetDeleteResponseTopicPartition, len(t.Partitions))
		for j := range t.Partitions {
			p, answer := t.Partitions[j].Partition, &out.Partitions[j]
			*answer = kmsg.NewOffsetDeleteResponseTopicPartition()
			answer.Partition = p
			if answer.ErrorCode = int16(offsetPartition(topic, p, missing)); answer.ErrorCode != 0 {
				refused = true
				continue
			}
			del.Offsets = append(del.Offsets, groupcoordinator.TopicPartition{Topic: topic.Name, Partition: p})
			where = append(where, &answer.ErrorCode)
		}
	}
	failed := func(err error) groupcoordinator.DeleteResult { return groupcoordinator.DeleteResult{Err: err} }
	return await(s.Groups.DeleteOffsets(&del), failed, func(result groupcoordinator.DeleteResult) kmsg.Response {
		if result.Err != nil {
			return s.Fail(r, codeFor(result.Err, r.Key, r.Version), "").Response
		}
		for i, code := range where {
			*code = int16(codeFor(result.Offsets[i], r.Key, r.Version))
		}
		if refused {
			resp.Topics = mergeBy(resp.Topics,
				func(t *kmsg.OffsetDeleteResponseTopic) string { return t.Topic },
				func(into, more *kmsg.OffsetDeleteResponseTopic) {
					into.Partitions = append(into.Partitions, more.Partitions...)
				})
		}
		return resp
	})
}

var failOffsetDelete = failAtTop(func(r *kmsg.OffsetDeleteResponse) (*int16, **string) { return &r.ErrorCode, nil })

func aboutOffsetDelete(_ Catalogue, r *wire.Request) Subjects {
	req := r.Body.(*kmsg.OffsetDeleteRequest)
	return Subjects{
		Groups: []string{req.Group},
		Topics: eachOf(req.Topics, func(t *kmsg.OffsetDeleteRequestTopic) TopicSubject {
			indexes := eachOf(t.Partitions,
				func(p *kmsg.OffsetDeleteRequestTopicPartition) int32 { return p.Partition })
			return TopicSubject{Name: t.Topic, Partitions: indexes}
		}),
	}
}
