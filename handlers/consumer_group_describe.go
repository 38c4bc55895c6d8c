package handlers

import (
	"context"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/groupcoordinator"
	"once/groupcoordinator/assignment"
	"once/wire"
)

// ConsumerGroupDescribe v0 to v1 (KIP-848). v1 tells members of the classic protocol apart.
func (s *Services) consumerGroupDescribe(_ context.Context, r *wire.Request) wire.Reply {
	req, resp := r.Body.(*kmsg.ConsumerGroupDescribeRequest), response[*kmsg.ConsumerGroupDescribeResponse](r)
	named := repeats[string]{}
	for _, id := range req.Groups {
		g := kmsg.NewConsumerGroupDescribeResponseGroup()
		g.Group = id
		if named.tooMany(id) {
			g.ErrorCode = int16(wire.InvalidRequest)
		} else if d, err := s.Groups.DescribeConsumer(id); err != nil {
			if g.ErrorCode = int16(codeFor(err, r.Key, r.Version)); wire.Code(g.ErrorCode) == wire.GroupIDNotFound {
				g.ErrorMessage = errorMessage(err.Error())
			}
		} else {
			s.describeConsumerGroup(&g, &d)
			if req.IncludeAuthorizedOperations {
				g.AuthorizedOperations = groupOperations
			}
		}
		resp.Groups = append(resp.Groups, g)
	}
	return wire.Respond(resp)
}

func (s *Services) describeConsumerGroup(g *kmsg.ConsumerGroupDescribeResponseGroup,
	d *groupcoordinator.ConsumerDescription) {
	g.State, g.Epoch, g.AssignmentEpoch, g.AssignorName = d.State, d.GroupEpoch, d.AssignmentEpoch, d.Assignor
	for i := range d.Members {
		m := &d.Members[i]
		x := kmsg.NewConsumerGroupDescribeResponseGroupMember()
		x.MemberID, x.MemberEpoch = m.ID, m.Epoch
		x.InstanceID, x.RackID = m.Meta.InstanceID, m.Meta.RackID
		x.ClientID, x.ClientHost = m.Meta.ClientID, m.Meta.ClientHost
		x.SubscribedTopics, x.SubscribedTopicRegex = m.Meta.SubscribedTopics, m.Meta.SubscribedRegex
		if x.SubscribedTopicRegex == nil { // Kafka has no null here
			x.SubscribedTopicRegex = kmsg.StringPtr("")
		}
		x.MemberType = 1
		if m.Meta.Classic != nil {
			x.MemberType = 0
		}
		x.Assignment.TopicPartitions = s.namedPartitions(m.Current)
		x.TargetAssignment.TopicPartitions = s.namedPartitions(m.Target)
		g.Members = append(g.Members, x)
	}
}

// namedPartitions leaves out topics that do not exist any more.
func (s *Services) namedPartitions(set assignment.Set) []kmsg.AssignmentTopicPartition {
	list := []kmsg.AssignmentTopicPartition{}
	for _, id := range set.Topics() {
		topic, code := s.Catalogue.TopicByID(id)
		if code != wire.NoError {
			continue
		}
		t := kmsg.NewAssignmentTopicPartition()
		t.TopicID, t.Topic, t.Partitions = id, topic.Name, slices.Clone(set[id])
		list = append(list, t)
	}
	return list
}

func failConsumerGroupDescribe(r *wire.Request, code wire.Code, _ string) kmsg.Response {
	req, resp := r.Body.(*kmsg.ConsumerGroupDescribeRequest), response[*kmsg.ConsumerGroupDescribeResponse](r)
	for _, id := range req.Groups {
		g := kmsg.NewConsumerGroupDescribeResponseGroup()
		g.Group, g.ErrorCode = id, int16(code)
		resp.Groups = append(resp.Groups, g)
	}
	return resp
}

func aboutConsumerGroupDescribe(_ Catalogue, r *wire.Request) Subjects {
	return Subjects{Groups: r.Body.(*kmsg.ConsumerGroupDescribeRequest).Groups}
}
