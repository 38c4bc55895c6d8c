package handlers

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/groupcoordinator/streamsgroup"
	"once/wire"
)

// Values of TopologyDescriptionStatus. Nobody keeps descriptions here, as in a Kafka without a plug-in for them.
const (
	topologyDescriptionNotAsked = 0
	topologyDescriptionNone     = 1
)

// StreamsGroupDescribe v0 to v1 (KIP-1071). v1 has the name of the assignor, and descriptions of topologies, which
// there are none of.
func (s *Services) streamsGroupDescribe(_ context.Context, r *wire.Request) wire.Reply {
	req, resp := r.Body.(*kmsg.StreamsGroupDescribeRequest), response[*kmsg.StreamsGroupDescribeResponse](r)
	named := repeats[string]{}
	for _, id := range req.Groups {
		g := kmsg.NewStreamsGroupDescribeResponseGroup()
		g.Group = id
		if named.tooMany(id) {
			g.ErrorCode = int16(wire.InvalidRequest)
		} else {
			s.describeStreamsGroup(&g, req, r)
		}
		resp.Groups = append(resp.Groups, g)
	}
	return wire.Respond(resp)
}

func (s *Services) describeStreamsGroup(g *kmsg.StreamsGroupDescribeResponseGroup,
	req *kmsg.StreamsGroupDescribeRequest, r *wire.Request) {
	d, err := s.Groups.DescribeStreams(g.Group)
	if err != nil {
		g.ErrorCode = int16(codeFor(err, r.Key, r.Version))
		if code := wire.Code(g.ErrorCode); code == wire.GroupIDNotFound {
			g.ErrorMessage = errorMessage(err.Error())
		}
		return
	}
	if req.IncludeAuthorizedOperations {
		g.AuthorizedOperations = groupOperations
	}
	g.State, g.Epoch, g.AssignmentEpoch = d.State, d.GroupEpoch, d.AssignmentEpoch
	g.Topology = describedTopology(d.Topology)
	for i := range d.Members {
		g.Members = append(g.Members, describedStreamsMember(&d.Members[i]))
	}
	if r.Version < 1 {
		return
	}
	assignor := streamsgroup.StickyAssignor
	g.AssignorName = &assignor
	g.TopologyDescriptionStatus = topologyDescriptionNotAsked
	if req.IncludeTopologyDescription {
		g.TopologyDescriptionStatus = topologyDescriptionNone
	}
}

func describedTopology(t *streamsgroup.Topology) *kmsg.StreamsGroupDescribeResponseGroupTopology {
	topology := kmsg.NewStreamsGroupDescribeResponseGroupTopology()
	topology.Epoch = t.Epoch
	topology.Subtopologies = []kmsg.StreamsGroupDescribeResponseGroupTopologySubtopology{}
	internal := func(list []streamsgroup.InternalTopic) []kmsg.TopicInfo {
		return eachOf(list, func(t *streamsgroup.InternalTopic) kmsg.TopicInfo {
			x := kmsg.NewTopicInfo()
			x.Topic, x.NumPartitions, x.ReplicationFactor = t.Name, t.Partitions, t.ReplicationFactor
			for _, c := range t.Configs {
				config := kmsg.NewTopicInfoConfig()
				config.Key, config.Value = c.Key, c.Value
				x.Configs = append(x.Configs, config)
			}
			return x
		})
	}
	for _, s := range t.Subtopologies {
		x := kmsg.NewStreamsGroupDescribeResponseGroupTopologySubtopology()
		x.SubtopologyID, x.SourceTopics, x.RepartitionSinkTopics = s.ID, s.SourceTopics, s.RepartitionSinkTopics
		x.StateChangelogTopics, x.RepartitionSourceTopics = internal(s.ChangelogTopics), internal(s.RepartitionSourceTopics)
		topology.Subtopologies = append(topology.Subtopologies, x)
	}
	return &topology
}

func describedStreamsMember(m *streamsgroup.MemberDescription) kmsg.StreamsGroupDescribeResponseGroupMember {
	x := kmsg.NewStreamsGroupDescribeResponseGroupMember()
	x.MemberID, x.MemberEpoch, x.InstanceID, x.RackID = m.ID, m.Epoch, m.InstanceID, m.RackID
	x.ClientID, x.ClientHost, x.TopologyEpoch, x.ProcessID = m.ClientID, m.ClientHost, m.TopologyEpoch, m.ProcessID
	if m.Endpoint != nil {
		e := kmsg.NewStreamsGroupDescribeResponseGroupMemberUserEndpoint()
		e.Host, e.Port = m.Endpoint.Host, m.Endpoint.Port
		x.UserEndpoint = &e
	}
	for _, tag := range m.ClientTags {
		t := kmsg.NewStreamsGroupDescribeResponseGroupMemberClientTag()
		t.Key, t.Value = tag.Key, tag.Value
		x.ClientTags = append(x.ClientTags, t)
	}
	x.TaskOffsets, x.TaskEndOffsets = taskOffsets(m.Offsets), taskOffsets(m.EndOffsets)
	x.Assignment = streamsAssignment(streamsgroup.Assignment{Active: streamsgroup.Tasks(m.Assigned.Active),
		Standby: m.Assigned.Standby, Warmup: m.Assigned.Warmup})
	x.TargetAssignment = streamsAssignment(m.Target)
	return x
}

func streamsAssignment(a streamsgroup.Assignment) kmsg.StreamsAssignment {
	x := kmsg.NewStreamsAssignment()
	x.ActiveTasks, x.StandbyTasks, x.WarmupTasks = taskLists(a.Active), taskLists(a.Standby), taskLists(a.Warmup)
	return x
}

func taskOffsets(offsets map[streamsgroup.TaskID]int64) []kmsg.TaskOffset {
	list := []kmsg.TaskOffset{}
	for _, id := range streamsgroup.SortedTasks(offsets) {
		x := kmsg.NewTaskOffset()
		x.SubtopologyID, x.Partition, x.Offset = id.Subtopology, id.Partition, offsets[id]
		list = append(list, x)
	}
	return list
}

func failStreamsGroupDescribe(r *wire.Request, code wire.Code, _ string) kmsg.Response {
	req, resp := r.Body.(*kmsg.StreamsGroupDescribeRequest), response[*kmsg.StreamsGroupDescribeResponse](r)
	for _, id := range req.Groups {
		g := kmsg.NewStreamsGroupDescribeResponseGroup()
		g.Group, g.ErrorCode = id, int16(code)
		resp.Groups = append(resp.Groups, g)
	}
	return resp
}

func aboutStreamsGroupDescribe(_ Catalogue, r *wire.Request) Subjects {
	return Subjects{Groups: r.Body.(*kmsg.StreamsGroupDescribeRequest).Groups}
}
