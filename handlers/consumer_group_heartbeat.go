package handlers

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/groupcoordinator"
	"once/groupcoordinator/assignment"
	"once/wire"
)

// ConsumerGroupHeartbeat v0 to v1 (KIP-848). v1 member IDs made by the client, regular expressions.
func (s *Services) consumerGroupHeartbeat(_ context.Context, r *wire.Request) wire.Reply {
	req := r.Body.(*kmsg.ConsumerGroupHeartbeatRequest)
	heartbeat := groupcoordinator.ConsumerHeartbeatRequest{
		GroupID: req.Group, MemberID: req.MemberID, MemberEpoch: req.MemberEpoch, MemberIDRequired: r.Version >= 1,
		ClientID: r.ClientID, ClientHost: clientHost(r.Conn),
		InstanceID: req.InstanceID, RackID: req.RackID, RebalanceTimeoutMs: req.RebalanceTimeoutMillis,
		Topics: req.SubscribedTopicNames, Regex: req.SubscribedTopicRegex, Assignor: req.ServerAssignor,
		Owned: ownedPartitions(req.Topics),
	}
	failed := func(err error) groupcoordinator.ConsumerHeartbeatResult {
		return groupcoordinator.ConsumerHeartbeatResult{Err: err}
	}
	f := s.Groups.ConsumerHeartbeat(&heartbeat)
	return await(f, failed, func(result groupcoordinator.ConsumerHeartbeatResult) kmsg.Response {
		resp := response[*kmsg.ConsumerGroupHeartbeatResponse](r)
		if result.Err != nil {
			resp.ErrorCode = int16(codeFor(result.Err, r.Key, r.Version))
			resp.ErrorMessage = errorMessage(result.Err.Error())
			return resp
		}
		resp.MemberID, resp.MemberEpoch = &result.MemberID, result.MemberEpoch
		resp.HeartbeatIntervalMillis = int32(result.HeartbeatInterval.Milliseconds())
		if result.Assignment != nil {
			assigned := kmsg.NewConsumerGroupHeartbeatResponseAssignment()
			assigned.Topics = []kmsg.ConsumerGroupHeartbeatResponseAssignmentTopic{}
			for _, id := range result.Assignment.Topics() {
				t := kmsg.NewConsumerGroupHeartbeatResponseAssignmentTopic()
				t.TopicID, t.Partitions = id, result.Assignment[id]
				assigned.Topics = append(assigned.Topics, t)
			}
			resp.Assignment = &assigned
		}
		return resp
	})
}

// ownedPartitions is nil when the member does not say what it owns.
func ownedPartitions(topics []kmsg.ConsumerGroupHeartbeatRequestTopic) assignment.Set {
	if topics == nil {
		return nil
	}
	owned := assignment.Set{}
	for i := range topics {
		owned.Add(topics[i].TopicID, topics[i].Partitions...)
	}
	return owned
}

var failConsumerGroupHeartbeat = failAtTop(func(r *kmsg.ConsumerGroupHeartbeatResponse) (*int16, **string) {
	return &r.ErrorCode, nil
})

func aboutConsumerGroupHeartbeat(_ Catalogue, r *wire.Request) Subjects {
	req := r.Body.(*kmsg.ConsumerGroupHeartbeatRequest)
	return Subjects{
		Groups: []string{req.Group},
		Topics: eachOf(req.SubscribedTopicNames, func(name *string) TopicSubject { return TopicSubject{Name: *name} }),
	}
}
