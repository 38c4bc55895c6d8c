package tools

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// deleteGroups deletes groups, and prints how that ended.
func (g *groupTool) deleteGroups(ctx context.Context, names []string) error {
	deleted, failed, err := g.deletedGroups(ctx, names)
	if err != nil {
		return err
	}
	g.printDeletion(deleted, failed)
	return nil
}

func (g *groupTool) printDeletion(deleted, failed []string) {
	quoted := "'" + strings.Join(deleted, "', '") + "'"
	if len(failed) == 0 {
		if len(deleted) > 0 {
			g.print("Deletion of requested %s groups (%s) was successful.\n", g.kind, quoted)
		}
		return
	}
	g.print("\nError: Deletion of some %s groups failed:\n%s\n", g.kind, strings.Join(failed, "\n"))
	if g.kind == "streams" {
		quoted += "."
	}
	if len(deleted) > 0 {
		g.print("\nThese %s groups were deleted successfully: %s\n", g.kind, quoted)
	}
}

// deletedGroups deletes groups. Of those that it could not delete it returns Kafka's lines.
func (g *groupTool) deletedGroups(ctx context.Context, names []string) (deleted, failed []string, err error) {
	if len(names) == 0 {
		return nil, nil, nil
	}
	fail := func(name, why string) {
		failed = append(failed, fmt.Sprintf("* Group '%s' could not be deleted due to: %s", name, why))
	}
	var asked []string
	known, err := listedGroups(ctx, g.client, nil, nil)
	if err != nil {
		return nil, nil, err
	}
	for _, name := range names {
		if why := g.undeletable(name, known); why != "" {
			fail(name, why)
			continue
		}
		asked = append(asked, name)
	}
	if len(asked) == 0 {
		return nil, failed, nil
	}
	r := kmsg.NewPtrDeleteGroupsRequest()
	r.Groups = asked
	answer, err := r.RequestWith(ctx, g.client)
	if err != nil {
		return nil, nil, err
	}
	for _, result := range answer.Groups {
		switch result.ErrorCode {
		case 0:
			deleted = append(deleted, result.Group)
		case kerr.NonEmptyGroup.Code:
			fail(result.Group, exceptions+"GroupNotEmptyException: The group is not empty.")
		default:
			fail(result.Group, strings.TrimSuffix(javaError(result.ErrorCode, nil), "\n"))
		}
	}
	return deleted, failed, nil
}

// exceptions is where Kafka's exceptions are.
const exceptions = "org.apache.kafka.common.errors."

// undeletable is why Kafka's tool for share or streams groups does not ask the broker to delete a group; empty if it
// asks.
func (g *groupTool) undeletable(name string, known []kmsg.ListGroupsResponseGroup) string {
	if g.kind == "consumer" {
		return ""
	}
	for _, group := range known {
		if group.Group != name || group.GroupType != g.types[0] {
			continue
		}
		if group.GroupState != "Empty" && group.GroupState != "Dead" {
			return fmt.Sprintf("%sGroupNotEmptyException: %s group '%s' is not EMPTY.", exceptions, g.types[0], name)
		}
		return ""
	}
	if g.kind == "share" {
		return fmt.Sprintf("%sGroupIdNotFoundException: Group '%s' is not a share group.", exceptions, name)
	}
	return fmt.Sprintf("java.lang.IllegalArgumentException: Group '%s' does not exist or is not a streams group.", name)
}

// deleteOffsets deletes the offsets of a group of consumers for partitions.
func (g *groupTool) deleteOffsets(ctx context.Context, names []string) error {
	for _, name := range names {
		scope, unknown, err := g.deletionScope(ctx, name)
		if err != nil {
			return err
		}
		group, of, err := g.deletedOffsets(ctx, name, scope)
		if err != nil {
			return err
		}
		switch {
		case group != 0:
			g.print("\nError: %s\n", messageOf(group, nil))
		case failedPartitions(of):
			g.print("\nError: Encountered some partition-level error, see the follow-up details.\n")
		default:
			g.print("Request succeeded for deleting offsets from group %s.\n", name)
		}
		var rows [][]string
		for _, p := range sortedPartitions(scope) {
			status, code := "Successful", of[p]
			if group != 0 {
				code = group
			}
			if code != 0 {
				status = "Error: " + javaError(code, nil)
			}
			rows = append(rows, []string{p.topic, strconv.Itoa(int(p.partition)), status})
		}
		for _, topic := range unknown {
			rows = append(rows, []string{topic, "-", "Error: " + javaError(kerr.UnknownTopicOrPartition.Code, nil)})
		}
		g.print("\n")
		printColumns(g.stdout, []column{growing("TOPIC", 15), fixed("PARTITION", 10), fixed("STATUS", 0)}, rows)
	}
	return nil
}

func failedPartitions(of map[topicPartition]int16) bool {
	for _, code := range of {
		if code != 0 {
			return true
		}
	}
	return false
}

// deletionScope returns the partitions whose offsets are to be deleted, and the topics that do not exist.
func (g *groupTool) deletionScope(ctx context.Context, group string) (kadm.TopicsSet, []string, error) {
	scope := kadm.TopicsSet{}
	if g.options.allTopics {
		committed, err := g.admin.FetchOffsets(ctx, group)
		committed.Each(func(o kadm.OffsetResponse) { scope.Add(o.Topic, o.Partition) })
		return scope, nil, err
	}
	named, whole, err := topicArguments(g.options.topics)
	if err != nil || len(whole) == 0 {
		return named, nil, err
	}
	metadata, err := g.admin.ListTopicsWithInternal(ctx, whole...)
	if err != nil {
		return nil, nil, err
	}
	var unknown []string
	for _, t := range metadata.Sorted() {
		if t.Err != nil {
			unknown = append(unknown, t.Topic)
			continue
		}
		named.Add(t.Topic, t.Partitions.Numbers()...)
	}
	return named, unknown, nil
}

// deletedOffsets asks for the deletion, and returns the code of the group and those of the partitions.
func (g *groupTool) deletedOffsets(ctx context.Context, group string,
	scope kadm.TopicsSet) (int16, map[topicPartition]int16, error) {
	r := kmsg.NewPtrOffsetDeleteRequest()
	r.Group = group
	for _, t := range scope.Sorted() {
		topic := kmsg.NewOffsetDeleteRequestTopic()
		topic.Topic = t.Topic
		for _, p := range t.Partitions {
			partition := kmsg.NewOffsetDeleteRequestTopicPartition()
			partition.Partition = p
			topic.Partitions = append(topic.Partitions, partition)
		}
		r.Topics = append(r.Topics, topic)
	}
	answer, err := r.RequestWith(ctx, g.client)
	if err != nil {
		return 0, nil, err
	}
	of := map[topicPartition]int16{}
	for _, t := range answer.Topics {
		for _, p := range t.Partitions {
			of[topicPartition{topic: t.Topic, partition: p.Partition}] = p.ErrorCode
		}
	}
	return answer.ErrorCode, of, nil
}
