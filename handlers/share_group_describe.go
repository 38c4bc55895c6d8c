package handlers

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/groupcoordinator/sharegroup"
	"once/wire"
)

// ShareGroupDescribe v1 (KIP-932).
func (s *Services) shareGroupDescribe(_ context.Context, r *wire.Request) wire.Reply {
	req, resp := r.Body.(*kmsg.ShareGroupDescribeRequest), response[*kmsg.ShareGroupDescribeResponse](r)
	if !s.shareEnabled() {
		return s.Fail(r, wire.UnsupportedVersion, "")
	}
	for _, id := range req.GroupIDs {
		g := kmsg.NewShareGroupDescribeResponseGroup()
		g.GroupID = id
		d, err := s.Groups.DescribeShare(id)
		if err != nil {
			g.ErrorCode = int16(codeFor(err, r.Key, r.Version))
			if wire.Code(g.ErrorCode) == wire.GroupIDNotFound {
				g.ErrorMessage = errorMessage(err.Error())
			}
			resp.Groups = append(resp.Groups, g)
			continue
		}
		g.GroupState, g.GroupEpoch, g.AssignmentEpoch, g.Assignor = d.State, d.Epoch, d.AssignmentEpoch, sharegroup.Assignor
		if req.IncludeAuthorizedOperations {
			g.AuthorizedOperations = groupOperations
		}
		for i := range d.Members {
			g.Members = append(g.Members, s.describeShareMember(&d.Members[i]))
		}
		resp.Groups = append(resp.Groups, g)
	}
	return wire.Respond(resp)
}

func (s *Services) describeShareMember(m *sharegroup.MemberDescription) kmsg.ShareGroupDescribeResponseGroupMember {
	x := kmsg.NewShareGroupDescribeResponseGroupMember()
	x.MemberID, x.RackID, x.MemberEpoch, x.ClientID, x.ClientHost = m.MemberID, m.RackID, m.MemberEpoch, m.ClientID,
		m.ClientHost
	x.SubscribedTopicNames = m.Subscribed
	for _, t := range m.Assignment.InOrder() {
		found, code := s.Catalogue.TopicByID(t.ID)
		if code != wire.NoError {
			continue
		}
		p := kmsg.NewShareGroupDescribeResponseGroupMemberAssignmentTopicPartition()
		p.TopicID, p.Topic, p.Partitions = t.ID, found.Name, t.Partitions
		x.Assignment.TopicPartitions = append(x.Assignment.TopicPartitions, p)
	}
	return x
}

func failShareGroupDescribe(r *wire.Request, code wire.Code, _ string) kmsg.Response {
	req, resp := r.Body.(*kmsg.ShareGroupDescribeRequest), response[*kmsg.ShareGroupDescribeResponse](r)
	for _, id := range req.GroupIDs {
		g := kmsg.NewShareGroupDescribeResponseGroup()
		g.GroupID, g.ErrorCode = id, int16(code)
		resp.Groups = append(resp.Groups, g)
	}
	return resp
}

func aboutShareGroupDescribe(_ Catalogue, r *wire.Request) Subjects {
	return Subjects{Groups: r.Body.(*kmsg.ShareGroupDescribeRequest).GroupIDs}
}
