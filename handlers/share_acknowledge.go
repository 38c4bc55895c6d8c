package handlers

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/sharepartition"
	"once/sharepartition/window"
	"once/wire"
)

// ShareAcknowledge v1 to v2. v2 has renewals, and the lock time in the answer (KIP-1222).
func (s *Services) shareAcknowledge(_ context.Context, r *wire.Request) wire.Reply {
	req, resp := r.Body.(*kmsg.ShareAcknowledgeRequest), response[*kmsg.ShareAcknowledgeResponse](r)
	group, member, code := s.checkShareRequest(req.GroupID, req.MemberID)
	if code != wire.NoError {
		return s.Fail(r, code, "")
	}
	session, _, err := s.Shares.Update(sharepartition.SessionRequest{
		Group: group, Member: member, Epoch: req.ShareSessionEpoch, OnlyAcknowledges: true,
	})
	if err != nil {
		return s.Fail(r, codeFor(err, r.Key, r.Version), "")
	}
	var topics shareTopics[kmsg.ShareAcknowledgeResponseTopic]
	var waits shareWaits
	for i := range req.Topics {
		t := &req.Topics[i]
		for j := range t.Partitions {
			p := &t.Partitions[j]
			list := shareAcknowledgements(p.AcknowledgementBatches,
				func(b *kmsg.ShareAcknowledgeRequestTopicPartitionAcknowledgementBatch) window.Acknowledgement {
					return window.Acknowledgement{FirstOffset: b.FirstOffset, LastOffset: b.LastOffset, Types: b.AcknowledgeTypes}
				})
			tp := sharepartition.TopicPartition{TopicID: t.TopicID, Partition: p.Partition}
			code := s.acknowledge(group, member, tp, list, req.IsRenewAck, r, &waits)
			if code == wire.NoError && len(list) == 0 {
				continue // there was nothing to say
			}
			x := kmsg.NewShareAcknowledgeResponseTopicPartition()
			x.Partition, x.ErrorCode = p.Partition, int16(code)
			answered := topics.at(t.TopicID, func() kmsg.ShareAcknowledgeResponseTopic {
				t2 := kmsg.NewShareAcknowledgeResponseTopic()
				t2.TopicID = t.TopicID
				return t2
			})
			answered.Partitions = append(answered.Partitions, x)
		}
	}
	if req.ShareSessionEpoch == sharepartition.FinalEpoch {
		s.Shares.End(session)
	}
	resp.Topics = topics.list
	resp.AcquisitionLockTimeoutMillis = int32(s.shareGroup(group).LockDuration.Milliseconds())
	if !waits.pending() {
		return wire.Respond(resp)
	}
	return wire.Reply{Then: func(ctx context.Context) kmsg.Response {
		if !waits.wait(ctx) {
			return nil
		}
		return resp
	}}
}

var failShareAcknowledge = failAtTop(func(r *kmsg.ShareAcknowledgeResponse) (*int16, **string) {
	return &r.ErrorCode,
		nil
})

func aboutShareAcknowledge(c Catalogue, r *wire.Request) Subjects {
	req := r.Body.(*kmsg.ShareAcknowledgeRequest)
	return aboutShareGroup(c, req.GroupID, eachOf(req.Topics, func(t *kmsg.ShareAcknowledgeRequestTopic) TopicSubject {
		indexes := eachOf(t.Partitions, func(p *kmsg.ShareAcknowledgeRequestTopicPartition) int32 { return p.Partition })
		return c.subject("", t.TopicID, true, indexes)
	}))
}
