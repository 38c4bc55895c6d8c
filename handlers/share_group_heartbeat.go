package handlers

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/groupcoordinator"
	"once/groupcoordinator/sharegroup"
	"once/wire"
)

// ShareGroupHeartbeat v1 (KIP-932).
func (s *Services) shareGroupHeartbeat(_ context.Context, r *wire.Request) wire.Reply {
	req, resp := r.Body.(*kmsg.ShareGroupHeartbeatRequest), response[*kmsg.ShareGroupHeartbeatResponse](r)
	switch {
	case !s.shareEnabled():
		return s.Fail(r, wire.UnsupportedVersion, "")
	case !isShareMemberID(req.MemberID):
		return s.Fail(r, wire.InvalidRequest, "")
	}
	if err := s.ShareStates.Ensure(); err != nil {
		s.Logger.Error("topic for share group state is not created", "error", err)
		return s.Fail(r, wire.CoordinatorNotAvailable, "")
	}
	future := s.Groups.ShareHeartbeat(&sharegroup.Heartbeat{
		GroupID: req.GroupID, MemberID: req.MemberID, MemberEpoch: req.MemberEpoch, RackID: req.RackID,
		Subscribed: req.SubscribedTopicNames,
		ClientID:   r.ClientID, ClientHost: clientHost(r.Conn),
	})
	failed := func(err error) groupcoordinator.ShareHeartbeatResult {
		return groupcoordinator.ShareHeartbeatResult{Err: err}
	}
	return await(future, failed, func(result groupcoordinator.ShareHeartbeatResult) kmsg.Response {
		if result.Err != nil {
			resp.ErrorCode = int16(codeFor(result.Err, r.Key, r.Version))
			resp.ErrorMessage = errorMessage(result.Err.Error())
			return resp
		}
		resp.MemberID, resp.MemberEpoch = &req.MemberID, result.MemberEpoch
		resp.HeartbeatIntervalMillis = int32(result.HeartbeatInterval.Milliseconds())
		if result.Assignment != nil {
			assignment := kmsg.NewShareGroupHeartbeatResponseAssignment()
			assignment.TopicPartitions = []kmsg.ShareGroupHeartbeatResponseAssignmentTopicPartition{}
			for _, t := range result.Assignment.InOrder() {
				x := kmsg.NewShareGroupHeartbeatResponseAssignmentTopicPartition()
				x.TopicID, x.Partitions = t.ID, t.Partitions
				assignment.TopicPartitions = append(assignment.TopicPartitions, x)
			}
			resp.Assignment = &assignment
		}
		return resp
	})
}

var failShareGroupHeartbeat = failAtTop(func(r *kmsg.ShareGroupHeartbeatResponse) (*int16, **string) {
	return &r.ErrorCode, nil
})

func aboutShareGroupHeartbeat(_ Catalogue, r *wire.Request) Subjects {
	req := r.Body.(*kmsg.ShareGroupHeartbeatRequest)
	return Subjects{Groups: []string{req.GroupID},
		Topics: eachOf(req.SubscribedTopicNames, func(name *string) TopicSubject {
			return TopicSubject{Name: *name}
		})}
}
