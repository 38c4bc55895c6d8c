package handlers

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/groupcoordinator"
	"once/wire"
)

// LeaveGroup v0 to v5. v3 several members, also static ones by their instance ID alone, v4 flexible,
// v5 reason. Before v3 the one member's error stands at the top.
func (s *Services) leaveGroup(_ context.Context, r *wire.Request) wire.Reply {
	req, resp := r.Body.(*kmsg.LeaveGroupRequest), response[*kmsg.LeaveGroupResponse](r)
	leave := groupcoordinator.LeaveRequest{GroupID: req.Group}
	if r.Version < 3 {
		leave.Members = []groupcoordinator.LeaveMember{{MemberID: req.MemberID}}
	}
	for _, m := range req.Members {
		leave.Members = append(leave.Members, groupcoordinator.LeaveMember{MemberID: m.MemberID, InstanceID: m.InstanceID})
	}
	failed := func(err error) groupcoordinator.LeaveResult { return groupcoordinator.LeaveResult{Err: err} }
	return await(s.Groups.Leave(&leave), failed, func(result groupcoordinator.LeaveResult) kmsg.Response {
		resp.ErrorCode = int16(codeFor(result.Err, r.Key, r.Version))
		if result.Err != nil {
			return resp
		}
		if r.Version < 3 {
			resp.ErrorCode = int16(codeFor(result.Members[0], r.Key, r.Version))
			return resp
		}
		for i, m := range leave.Members {
			x := kmsg.NewLeaveGroupResponseMember()
			x.MemberID, x.InstanceID = m.MemberID, m.InstanceID
			x.ErrorCode = int16(codeFor(result.Members[i], r.Key, r.Version))
			resp.Members = append(resp.Members, x)
		}
		return resp
	})
}

var failLeaveGroup = failAtTop(func(r *kmsg.LeaveGroupResponse) (*int16, **string) { return &r.ErrorCode, nil })

var aboutLeaveGroup = aboutGroup(func(r *kmsg.LeaveGroupRequest) string { return r.Group })
