package handlers

import (
	"context"
	"errors"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/groupcoordinator"
	"once/wire"
)

// DescribeGroups v0 to v6. v3 authorized operations, v4 group instance ID, v5 flexible,
// v6 GROUP_ID_NOT_FOUND with a message; before, an unknown group is Dead.
func (s *Services) describeGroups(_ context.Context, r *wire.Request) wire.Reply {
	req, resp := r.Body.(*kmsg.DescribeGroupsRequest), response[*kmsg.DescribeGroupsResponse](r)
	named := repeats[string]{}
	for _, id := range req.Groups {
		g := kmsg.NewDescribeGroupsResponseGroup()
		g.Group = id
		if named.tooMany(id) {
			g.ErrorCode = int16(wire.InvalidRequest)
		} else {
			s.describeGroup(&g, r)
		}
		if req.IncludeAuthorizedOperations && g.ErrorCode == 0 {
			g.AuthorizedOperations = groupOperations
		}
		resp.Groups = append(resp.Groups, g)
	}
	return wire.Respond(resp)
}

func (s *Services) describeGroup(g *kmsg.DescribeGroupsResponseGroup, r *wire.Request) {
	d, err := s.Groups.Describe(g.Group)
	if err != nil {
		if errors.Is(err, groupcoordinator.ErrGroupNotFound) {
			g.State = groupcoordinator.Dead.String()
			if r.Version < 6 {
				return
			}
			g.ErrorMessage = errorMessage(err.Error())
		}
		g.ErrorCode = int16(codeFor(err, r.Key, r.Version))
		return
	}
	g.State, g.ProtocolType, g.Protocol = d.State.String(), d.ProtocolType, d.Protocol
	for _, m := range d.Members {
		x := kmsg.NewDescribeGroupsResponseGroupMember()
		x.MemberID, x.InstanceID = m.MemberID, m.InstanceID
		x.ClientID, x.ClientHost = m.ClientID, m.ClientHost
		x.ProtocolMetadata, x.MemberAssignment = m.Metadata, m.Assignment
		g.Members = append(g.Members, x)
	}
}

func failDescribeGroups(r *wire.Request, code wire.Code, _ string) kmsg.Response {
	req, resp := r.Body.(*kmsg.DescribeGroupsRequest), response[*kmsg.DescribeGroupsResponse](r)
	for _, id := range req.Groups {
		g := kmsg.NewDescribeGroupsResponseGroup()
		g.Group, g.ErrorCode = id, int16(code)
		resp.Groups = append(resp.Groups, g)
	}
	return resp
}

func aboutDescribeGroups(_ Catalogue, r *wire.Request) Subjects {
	return Subjects{Groups: r.Body.(*kmsg.DescribeGroupsRequest).Groups}
}
