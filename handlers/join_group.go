package handlers

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/groupcoordinator"
	"once/wire"
)

// JoinGroup v0 to v9. v1 rebalance timeout of its own, v4 a dynamic member joins twice (KIP-394),
// v5 static members (KIP-345), v6 flexible, v7 protocol type in the answer, v8 reason, v9 a leader that
// need not assign (KIP-814).
//
// The answer may be parked until the join phase ends, for minutes.
func (s *Services) joinGroup(_ context.Context, r *wire.Request) wire.Reply {
	req, resp := r.Body.(*kmsg.JoinGroupRequest), response[*kmsg.JoinGroupResponse](r)
	join := groupcoordinator.JoinRequest{
		GroupID: req.Group, MemberID: req.MemberID, InstanceID: req.InstanceID,
		ClientID: r.ClientID, ClientHost: clientHost(r.Conn),
		SessionTimeout:   time.Duration(req.SessionTimeoutMillis) * time.Millisecond,
		RebalanceTimeout: time.Duration(req.RebalanceTimeoutMillis) * time.Millisecond,
		ProtocolType:     req.ProtocolType,
		Protocols:        make([]groupcoordinator.Protocol, len(req.Protocols)),
		MemberIDRequired: r.Version >= 4,
		SkipAssignment:   r.Version >= 9,
	}
	if r.Version == 0 {
		join.RebalanceTimeout = join.SessionTimeout
	}
	for i, p := range req.Protocols {
		join.Protocols[i] = groupcoordinator.Protocol{Name: p.Name, Metadata: p.Metadata}
	}
	join.Protocols = namedOnce(join.Protocols)
	failed := func(err error) groupcoordinator.JoinResult {
		return groupcoordinator.JoinResult{Err: err, MemberID: req.MemberID}
	}
	return await(s.Groups.Join(&join), failed, func(j groupcoordinator.JoinResult) kmsg.Response {
		fillJoinGroup(resp, &j, r.Version)
		return resp
	})
}

// namedOnce leaves out protocols that a member names more than once, because Kafka counts names. If none would be left,
// it keeps all.
func namedOnce(all []groupcoordinator.Protocol) []groupcoordinator.Protocol {
	times := counts(all, func(p *groupcoordinator.Protocol) string { return p.Name })
	once := slices.DeleteFunc(slices.Clone(all), func(p groupcoordinator.Protocol) bool { return times[p.Name] > 1 })
	if len(once) == 0 {
		return all
	}
	return once
}

func fillJoinGroup(resp *kmsg.JoinGroupResponse, j *groupcoordinator.JoinResult, version int16) {
	resp.MemberID = j.MemberID
	if j.Err != nil {
		resp.ErrorCode = int16(codeFor(j.Err, int16(kmsg.JoinGroup), version))
		resp.Generation, resp.Protocol, resp.LeaderID = cmp.Or(j.Generation, -1), j.ProtocolName, j.LeaderID
		if version < 7 && resp.Protocol == nil {
			none := ""
			resp.Protocol = &none
		}
		return
	}
	resp.Generation = j.Generation
	resp.ProtocolType, resp.Protocol = j.ProtocolType, j.ProtocolName
	resp.LeaderID, resp.SkipAssignment = j.LeaderID, j.SkipAssignment
	for _, m := range j.Members {
		x := kmsg.NewJoinGroupResponseMember()
		x.MemberID, x.InstanceID, x.ProtocolMetadata = m.MemberID, m.InstanceID, m.Metadata
		resp.Members = append(resp.Members, x)
	}
}

func failJoinGroup(r *wire.Request, code wire.Code, _ string) kmsg.Response {
	resp := response[*kmsg.JoinGroupResponse](r)
	resp.ErrorCode, resp.Generation = int16(code), -1
	return resp
}

var aboutJoinGroup = aboutGroup(func(r *kmsg.JoinGroupRequest) string { return r.Group })
