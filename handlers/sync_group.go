package handlers

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/groupcoordinator"
	"once/wire"
)

// SyncGroup v0 to v5. v3 static members, v4 flexible, v5 protocol type and name, which must be given.
//
// The answer may be parked until the leader has assigned.
func (s *Services) syncGroup(_ context.Context, r *wire.Request) wire.Reply {
	req, resp := r.Body.(*kmsg.SyncGroupRequest), response[*kmsg.SyncGroupResponse](r)
	if r.Version >= 5 && (req.ProtocolType == nil || req.Protocol == nil) {
		return s.Fail(r, wire.InconsistentGroupProtocol, "")
	}
	sync := groupcoordinator.SyncRequest{
		GroupID: req.Group, MemberID: req.MemberID, InstanceID: req.InstanceID, Generation: req.Generation,
		ProtocolType: req.ProtocolType, ProtocolName: req.Protocol,
		Assignments: make([]groupcoordinator.Assignment, len(req.GroupAssignment)),
	}
	for i, a := range req.GroupAssignment {
		sync.Assignments[i] = groupcoordinator.Assignment{MemberID: a.MemberID, Assignment: a.MemberAssignment}
	}
	failed := func(err error) groupcoordinator.SyncResult { return groupcoordinator.SyncResult{Err: err} }
	return await(s.Groups.Sync(&sync), failed, func(result groupcoordinator.SyncResult) kmsg.Response {
		resp.ErrorCode = int16(codeFor(result.Err, r.Key, r.Version))
		resp.ProtocolType, resp.Protocol = result.ProtocolType, result.ProtocolName
		resp.MemberAssignment = result.Assignment
		return resp
	})
}

var failSyncGroup = failAtTop(func(r *kmsg.SyncGroupResponse) (*int16, **string) { return &r.ErrorCode, nil })

var aboutSyncGroup = aboutGroup(func(r *kmsg.SyncGroupRequest) string { return r.Group })
