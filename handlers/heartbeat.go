package handlers

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/groupcoordinator"
	"once/wire"
)

// Heartbeat v0 to v4. v3 static members, v4 flexible.
func (s *Services) heartbeat(_ context.Context, r *wire.Request) wire.Reply {
	req, resp := r.Body.(*kmsg.HeartbeatRequest), response[*kmsg.HeartbeatResponse](r)
	err := s.Groups.Heartbeat(&groupcoordinator.HeartbeatRequest{
		GroupID: req.Group, MemberID: req.MemberID, InstanceID: req.InstanceID, Generation: req.Generation,
	})
	resp.ErrorCode = int16(codeFor(err, r.Key, r.Version))
	return wire.Respond(resp)
}

var failHeartbeat = failAtTop(func(r *kmsg.HeartbeatResponse) (*int16, **string) { return &r.ErrorCode, nil })

var aboutHeartbeat = aboutGroup(func(r *kmsg.HeartbeatRequest) string { return r.Group })
