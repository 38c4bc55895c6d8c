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
	topics, waits := s.acknowledgeAll(group, member, r)
	if req.ShareSessionEpoch == sharepartition.FinalEpoch {
		s.Shares.End(session)
	}
	resp.Topics = topics
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

// acknowledgeAll carries out all acknowledgements of a request. A partition without some is in the answer if it does
// not exist, or if acknowledgements of another one were tried.
func (s *Services) acknowledgeAll(group, member string, r *wire.Request) (
	[]kmsg.ShareAcknowledgeResponseTopic, *shareWaits,
) {
	req := r.Body.(*kmsg.ShareAcknowledgeRequest)
	var topics shareTopics[kmsg.ShareAcknowledgeResponseTopic]
	var others []sharepartition.TopicPartition
	waits, anyTried := &shareWaits{}, false
	add := func(p sharepartition.TopicPartition, code wire.Code) {
		x := kmsg.NewShareAcknowledgeResponseTopicPartition()
		x.Partition, x.ErrorCode = p.Partition, int16(code)
		answered := topics.at(p.TopicID, func() kmsg.ShareAcknowledgeResponseTopic {
			t := kmsg.NewShareAcknowledgeResponseTopic()
			t.TopicID = p.TopicID
			return t
		})
		answered.Partitions = append(answered.Partitions, x)
	}
	for i := range req.Topics {
		t := &req.Topics[i]
		for j := range t.Partitions {
			p := &t.Partitions[j]
			list := shareAcknowledgements(p.AcknowledgementBatches,
				func(b *kmsg.ShareAcknowledgeRequestTopicPartitionAcknowledgementBatch) window.Acknowledgement {
					return window.Acknowledgement{FirstOffset: b.FirstOffset, LastOffset: b.LastOffset, Types: b.AcknowledgeTypes}
				})
			tp := sharepartition.TopicPartition{TopicID: t.TopicID, Partition: p.Partition}
			code, tried := s.acknowledge(group, member, tp, list, req.IsRenewAck, r, waits)
			anyTried = anyTried || tried
			if code == wire.NoError && len(list) == 0 {
				others = append(others, tp)
				continue
			}
			add(tp, code)
		}
	}
	if anyTried {
		for _, tp := range others {
			add(tp, wire.NoError)
		}
	}
	return topics.list, waits
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
