package tools_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// begin produces two records in a transaction and leaves it open.
func (s *stage) begin(t *testing.T, id, topic string) string {
	client, err := kgo.NewClient(kgo.SeedBrokers(s.Addr()), kgo.TransactionalID(id),
		kgo.RecordPartitioner(kgo.ManualPartitioner()))
	if err != nil {
		t.Fatal(err)
	}
	s.clients[id] = client
	if err := client.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	for _, value := range []string{"one", "two"} {
		if err := client.ProduceSync(t.Context(), &kgo.Record{Topic: topic, Value: []byte(value)}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	return "open"
}

// join adds a member to a group, which reads a record and, unless it is one of a share group, commits what it has read.
func (s *stage) join(t *testing.T, protocol, group, topic string) string {
	if protocol == "streams" {
		return s.joinStreams(t, group, topic)
	}
	options := []kgo.Opt{kgo.SeedBrokers(s.Addr()), kgo.ConsumeTopics(topic), kgo.ClientID("reader")}
	if protocol == "share" {
		options = append(options, kgo.ShareGroup(group))
	} else {
		options = append(options, kgo.ConsumerGroup(group), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
			kgo.DisableAutoCommit(),
			kgo.Balancers(kgo.RangeBalancer()))
	}
	if protocol == "consumer" {
		options = append(options, kgo.ServerSideBalancer())
	}
	client, err := kgo.NewClient(options...)
	if err != nil {
		t.Fatal(err)
	}
	s.clients[group] = client
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	fetches := client.PollRecords(ctx, 1)
	if err := fetches.Err(); err != nil {
		t.Fatal(err)
	}
	if protocol == "share" {
		return fmt.Sprintf("read %d", fetches.NumRecords())
	}
	if err := client.CommitUncommittedOffsets(ctx); err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("read %d", fetches.NumRecords())
}

// joinStreams adds a member to a streams group of one subtopology, whose store needs a changelog topic.
func (s *stage) joinStreams(t *testing.T, group, topic string) string {
	client, err := kgo.NewClient(kgo.SeedBrokers(s.Addr()), kgo.ClientID("streams"))
	if err != nil {
		t.Fatal(err)
	}
	s.clients[group] = client
	subtopology := kmsg.NewStreamsGroupHeartbeatRequestTopologySubtopology()
	subtopology.SubtopologyID, subtopology.SourceTopics = "0", []string{topic}
	changelog := kmsg.NewTopicInfo()
	changelog.Topic, changelog.ReplicationFactor = group+"-store-changelog", -1
	subtopology.StateChangelogTopics = append(subtopology.StateChangelogTopics, changelog)
	topology := kmsg.NewStreamsGroupHeartbeatRequestTopology()
	topology.Subtopologies = append(topology.Subtopologies, subtopology)
	r := kmsg.NewPtrStreamsGroupHeartbeatRequest()
	r.Group, r.MemberID, r.RebalanceTimeoutMillis = group, "member-1", 300_000
	r.Topology, r.ProcessID = &topology, kmsg.StringPtr("process-1")
	r.ActiveTasks, r.StandbyTasks, r.WarmupTasks = []kmsg.TaskIDs{}, []kmsg.TaskIDs{}, []kmsg.TaskIDs{}
	for end := time.Now().Add(time.Minute); time.Now().Before(end); { // the group gets its tasks when its topics exist
		answer, err := r.RequestWith(t.Context(), client.SeedBrokers()[0])
		if err != nil {
			t.Fatal(err)
		}
		if answer.ErrorCode != 0 {
			t.Fatal(kerr.ErrorForCode(answer.ErrorCode))
		}
		if len(answer.ActiveTasks) > 0 {
			return s.commitStreams(t, client, group, topic, answer.MemberEpoch)
		}
		next := kmsg.NewPtrStreamsGroupHeartbeatRequest()
		next.Group, next.MemberID, next.MemberEpoch = group, r.MemberID, answer.MemberEpoch
		r = next
	}
	return "has no tasks"
}

// commitStreams commits offset 1 of partition 0 for the member of a streams group.
func (s *stage) commitStreams(t *testing.T, client *kgo.Client, group, topic string, epoch int32) string {
	topics, err := kadm.NewClient(client).ListTopics(t.Context(), topic)
	if err != nil {
		t.Fatal(err)
	}
	partition := kmsg.NewOffsetCommitRequestTopicPartition()
	partition.Offset = 1
	of := kmsg.NewOffsetCommitRequestTopic()
	of.Topic, of.TopicID, of.Partitions = topic, topics[topic].ID, []kmsg.OffsetCommitRequestTopicPartition{partition}
	r := kmsg.NewPtrOffsetCommitRequest()
	r.Group, r.MemberID, r.Generation, r.Topics = group, "member-1", epoch, []kmsg.OffsetCommitRequestTopic{of}
	answer, err := r.RequestWith(t.Context(), client.SeedBrokers()[0])
	if err != nil {
		t.Fatal(err)
	}
	if code := answer.Topics[0].Partitions[0].ErrorCode; code != 0 {
		t.Fatal(kerr.ErrorForCode(code))
	}
	return "has tasks"
}

// leaveStreams ends the member of a streams group.
func (s *stage) leaveStreams(t *testing.T, group string) string {
	r := kmsg.NewPtrStreamsGroupHeartbeatRequest()
	r.Group, r.MemberID, r.MemberEpoch = group, "member-1", -1
	answer, err := r.RequestWith(t.Context(), s.clients[group].SeedBrokers()[0])
	if err != nil {
		t.Fatal(err)
	}
	if answer.ErrorCode != 0 {
		t.Fatal(kerr.ErrorForCode(answer.ErrorCode))
	}
	return "left"
}
