package tools

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// replicaAssignment reads the brokers of each partition, with colons between those of one: 1:2,2:1.
func replicaAssignment(list string) ([][]int32, error) {
	var assignment [][]int32
	for i, partition := range strings.Split(list, ",") {
		var brokers []int32
		for _, word := range strings.Split(partition, ":") {
			id, err := strconv.ParseInt(strings.TrimSpace(word), 10, 32)
			if err != nil {
				return nil, say("For input string: \"%s\"", word)
			}
			if slices.Contains(brokers, int32(id)) {
				return nil, say("Partition replica lists may not contain duplicate entries: %d", id)
			}
			brokers = append(brokers, int32(id))
		}
		if i > 0 && len(brokers) != len(assignment[0]) {
			return nil, say("Partition %d has different replication factor: %s", i, strings.ReplaceAll(fmt.Sprint(brokers), " ",
				", "))
		}
		assignment = append(assignment, brokers)
	}
	return assignment, nil
}

// createAssigned creates a topic with given brokers for its partitions.
func (e *env) createAssigned(ctx context.Context, client *kgo.Client, o topicsOptions,
	configs map[string]*string) error {
	assignment, err := replicaAssignment(o.assignment)
	if err != nil {
		return err
	}
	topic := kmsg.NewCreateTopicsRequestTopic()
	topic.Topic, topic.NumPartitions, topic.ReplicationFactor = o.topic, -1, -1
	for i, brokers := range assignment {
		of := kmsg.NewCreateTopicsRequestTopicReplicaAssignment()
		of.Partition, of.Replicas = int32(i), brokers
		topic.ReplicaAssignment = append(topic.ReplicaAssignment, of)
	}
	for name, value := range configs {
		config := kmsg.NewCreateTopicsRequestTopicConfig()
		config.Name, config.Value = name, value
		topic.Configs = append(topic.Configs, config)
	}
	r := kmsg.NewPtrCreateTopicsRequest()
	r.Topics = append(r.Topics, topic)
	answer, err := r.RequestWith(ctx, client)
	if err != nil || len(answer.Topics) == 0 {
		return err
	}
	message := ""
	if m := answer.Topics[0].ErrorMessage; m != nil {
		message = *m
	}
	return e.created(o, kerr.ErrorForCode(answer.Topics[0].ErrorCode), message)
}

// addAssigned adds partitions with given brokers. The assignment begins with those of the partitions that exist.
func (e *env) addAssigned(ctx context.Context, client *kgo.Client, t kadm.TopicDetail, o topicsOptions) error {
	assignment, err := replicaAssignment(o.assignment)
	if err != nil {
		return err
	}
	topic := kmsg.NewCreatePartitionsRequestTopic()
	topic.Topic, topic.Count = t.Topic, int32(o.partitions)
	topic.Assignment = []kmsg.CreatePartitionsRequestTopicAssignment{}
	for _, brokers := range assignment[min(len(t.Partitions), len(assignment)):] {
		of := kmsg.NewCreatePartitionsRequestTopicAssignment()
		of.Replicas = brokers
		topic.Assignment = append(topic.Assignment, of)
	}
	r := kmsg.NewPtrCreatePartitionsRequest()
	r.Topics = append(r.Topics, topic)
	answer, err := r.RequestWith(ctx, client)
	if err != nil || len(answer.Topics) == 0 {
		return err
	}
	if code := answer.Topics[0].ErrorCode; code != 0 {
		return say("%s", messageOf(code, answer.Topics[0].ErrorMessage))
	}
	return nil
}
