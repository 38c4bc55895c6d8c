package tools

import (
	"cmp"
	"context"
	"slices"
	"strconv"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// describedGroup is a consumer group of the classic or the consumer protocol. The classic one has no epochs: they are
// a dash.
type describedGroup struct {
	name, state, assignor string
	coordinator           string
	epoch, targetEpoch    string
	members               []groupMember
}

// groupMember is a member of a consumer group.
type groupMember struct {
	id, host, client   string
	instance           *string
	epoch, targetEpoch string
	assigned, target   kadm.TopicsSet
}

// describedGroups describes groups of the consumer protocol, and those that are none as groups of the classic protocol.
func describedGroups(ctx context.Context, client *kgo.Client, names []string) ([]describedGroup, error) {
	if len(names) == 0 {
		return nil, nil
	}
	coordinators := coordinators{admin: kadm.NewClient(client)}
	r := kmsg.NewPtrConsumerGroupDescribeRequest()
	r.Groups = names
	answer, err := r.RequestWith(ctx, client)
	if err != nil {
		return nil, err
	}
	classic := map[string]*string{} // with the message for those that are no such groups either
	groups := map[string]describedGroup{}
	for _, g := range answer.Groups {
		switch g.ErrorCode {
		case 0:
			groups[g.Group] = consumerGroup(g)
		case kerr.GroupIDNotFound.Code, kerr.UnsupportedVersion.Code:
			classic[g.Group] = g.ErrorMessage
		default:
			return nil, say("%s", javaError(g.ErrorCode, g.ErrorMessage))
		}
	}
	if err := classicGroups(ctx, client, classic, groups); err != nil {
		return nil, err
	}
	var described []describedGroup
	for _, name := range names {
		g := groups[name]
		if g.coordinator, err = coordinators.of(ctx, name, "  "); err != nil {
			return nil, err
		}
		described = append(described, g)
	}
	return described, nil
}

func consumerGroup(g kmsg.ConsumerGroupDescribeResponseGroup) describedGroup {
	described := describedGroup{
		name: g.Group, state: g.State, assignor: g.AssignorName,
		epoch: strconv.Itoa(int(g.Epoch)), targetEpoch: strconv.Itoa(int(g.AssignmentEpoch)),
	}
	for _, m := range g.Members {
		described.members = append(described.members, groupMember{
			id: m.MemberID, host: m.ClientHost, client: m.ClientID, instance: m.InstanceID,
			epoch: strconv.Itoa(int(m.MemberEpoch)), targetEpoch: described.targetEpoch,
			assigned: topicsOf(m.Assignment), target: topicsOf(m.TargetAssignment),
		})
	}
	return described
}

func topicsOf(a kmsg.Assignment) kadm.TopicsSet {
	set := kadm.TopicsSet{}
	for _, t := range a.TopicPartitions {
		set.Add(t.Topic, t.Partitions...)
	}
	return set
}

// classicGroups adds groups of the classic protocol.
func classicGroups(ctx context.Context, client *kgo.Client, names map[string]*string,
	groups map[string]describedGroup) error {
	if len(names) == 0 {
		return nil
	}
	r := kmsg.NewPtrDescribeGroupsRequest()
	r.Groups = sortedKeys(names)
	answer, err := r.RequestWith(ctx, client)
	if err != nil {
		return err
	}
	for _, g := range answer.Groups {
		if g.ErrorCode == 0 && g.State == "Dead" { // an older answer for a group that does not exist
			g.ErrorCode = kerr.GroupIDNotFound.Code
		}
		if g.ErrorCode != 0 {
			return say("%s", javaError(g.ErrorCode, cmp.Or(names[g.Group], g.ErrorMessage)))
		}
		described := describedGroup{name: g.Group, state: g.State, assignor: g.Protocol, epoch: "-", targetEpoch: "-"}
		for _, m := range g.Members {
			member := groupMember{
				id: m.MemberID, host: m.ClientHost, client: m.ClientID, instance: m.InstanceID,
				epoch: "-", targetEpoch: "-", assigned: kadm.TopicsSet{},
			}
			var assigned kmsg.ConsumerMemberAssignment
			if assigned.ReadFrom(m.MemberAssignment) == nil {
				for _, t := range assigned.Topics {
					member.assigned.Add(t.Topic, t.Partitions...)
				}
			}
			described.members = append(described.members, member)
		}
		groups[g.Group] = described
	}
	return nil
}

// coordinators looks up the coordinators of groups.
type coordinators struct{ admin *kadm.Client }

func (c coordinators) of(ctx context.Context, group, blanks string) (string, error) {
	b, err := c.broker(ctx, group)
	return coordinatorOf(b, blanks), err
}

func (c coordinators) broker(ctx context.Context, group string) (kadm.BrokerDetail, error) {
	found := c.admin.FindGroupCoordinators(ctx, group)[group]
	return kadm.BrokerDetail{NodeID: found.NodeID, Host: found.Host, Port: found.Port}, found.Err
}

// offsetRow is one line of the description of a group.
type offsetRow struct {
	topic, partition, leaderEpoch, current, end, lag string
	member, host, client                             string
}

// offsetRows returns the rows of assigned partitions, by member, and then those of the rest with an offset.
func offsetRows(ctx context.Context, admin *kadm.Client, g describedGroup) ([]offsetRow, error) {
	committed, err := admin.FetchOffsets(ctx, g.name)
	if err != nil {
		return nil, err
	}
	topics := kadm.TopicsSet{}
	for _, m := range g.members {
		topics.Merge(m.assigned)
	}
	committed.Each(func(o kadm.OffsetResponse) { topics.Add(o.Topic, o.Partition) })
	ends := kadm.ListedOffsets{}
	if len(topics) > 0 {
		if ends, err = admin.ListEndOffsets(ctx, topics.Topics()...); err != nil {
			return nil, err
		}
	}
	var rows []offsetRow
	shown := kadm.TopicsSet{}
	for _, m := range g.members {
		for _, t := range m.assigned.Sorted() {
			for _, p := range t.Partitions {
				r := newOffsetRow(t.Topic, p, committed, ends)
				r.member, r.host, r.client = m.id, m.host, m.client
				rows = append(rows, r)
				shown.Add(t.Topic, p)
			}
		}
	}
	for _, t := range topics.Sorted() {
		for _, p := range t.Partitions {
			if !shown.Lookup(t.Topic, p) {
				rows = append(rows, newOffsetRow(t.Topic, p, committed, ends))
			}
		}
	}
	return rows, nil
}

func newOffsetRow(topic string, partition int32, committed kadm.OffsetResponses, ends kadm.ListedOffsets) offsetRow {
	r := offsetRow{
		topic: topic, partition: strconv.Itoa(int(partition)), leaderEpoch: "-", current: "-", end: "-", lag: "-",
		member: "-", host: "-", client: "-",
	}
	end, known := ends.Lookup(topic, partition)
	if known && end.Err == nil {
		r.end = strconv.FormatInt(end.Offset, 10)
	}
	o, ok := committed.Lookup(topic, partition)
	if !ok || o.Err != nil || o.At < 0 {
		return r
	}
	r.current = strconv.FormatInt(o.At, 10)
	if o.LeaderEpoch >= 0 {
		r.leaderEpoch = strconv.Itoa(int(o.LeaderEpoch))
	}
	if r.end != "-" {
		r.lag = strconv.FormatInt(end.Offset-o.At, 10)
	}
	return r
}

// sortedPartitions returns the partitions of a set in order.
func sortedPartitions(set kadm.TopicsSet) (all []topicPartition) {
	for _, t := range set.Sorted() {
		for _, p := range slices.Sorted(slices.Values(t.Partitions)) {
			all = append(all, topicPartition{topic: t.Topic, partition: p})
		}
	}
	return all
}

// partitionName is how Kafka calls a partition.
func partitionName(topic string, partition int32) string {
	return topic + "-" + strconv.Itoa(int(partition))
}

// topicPartition is one partition of a topic.
type topicPartition struct {
	topic     string
	partition int32
}
