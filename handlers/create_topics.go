package handlers

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/settings"
	"once/topics"
	"once/wire"
)

// maxPartitionsPerRequest bounds what one CreateTopics or CreatePartitions request may create, as in Kafka.
const maxPartitionsPerRequest = 10_000

// maxRecordsPerRequest bounds the records of the metadata that one CreateTopics request needs in Kafka.
const maxRecordsPerRequest = 10_000

// clusterMetadataTopic is the log of Kafka's controllers. No broker has it as a topic.
const clusterMetadataTopic = "__cluster_metadata"

// CreateTopics v2 to v7. v4 defaults by -1, v5 flexible and the created topic's shape and
// configuration in the answer, v7 topic ID.
//
// A replication factor above one is accepted, unless dev.strict.replication is on: the answer shows the one replica.
func (s *Services) createTopics(_ context.Context, r *wire.Request) wire.Reply {
	req, resp := r.Body.(*kmsg.CreateTopicsRequest), response[*kmsg.CreateTopicsResponse](r)
	total := 0
	together := map[string]bool{} // names that only this request makes
	times := counts(req.Topics, func(t *kmsg.CreateTopicsRequestTopic) string { return t.Topic })
	isRefused := func(name string) bool { return times[name] > 1 || name == clusterMetadataTopic }
	if req.TimeoutMillis <= 0 && slices.ContainsFunc(req.Topics,
		func(t kmsg.CreateTopicsRequestTopic) bool { return !isRefused(t.Topic) }) {
		return s.Fail(r, wire.RequestTimedOut, "") // nothing is looked at, and nothing is done
	}
	for i := range req.Topics {
		name := req.Topics[i].Topic
		s.createNow(name)
		if !isRefused(name) {
			total += max(0, int(s.partitionsAsked(&req.Topics[i])))
		}
		if _, code := s.Catalogue.Topic(name); code != wire.NoError {
			together[name] = true
		}
	}
	records := 0
	if total <= maxPartitionsPerRequest {
		records = s.recordsNeeded(r, isRefused, together)
	}
	quota := s.mutations(r, 6)
	seen := map[string]bool{}
	for i := range req.Topics {
		asked := &req.Topics[i]
		if seen[asked.Topic] {
			continue
		}
		seen[asked.Topic] = true
		t := kmsg.NewCreateTopicsResponseTopic()
		t.Topic, t.NumPartitions, t.ReplicationFactor = asked.Topic, -1, -1
		var code wire.Code
		var message string
		switch {
		case times[asked.Topic] > 1:
			code, message = wire.InvalidRequest, fmt.Sprintf("topic %q stands in the request more than once", asked.Topic)
		case asked.Topic == clusterMetadataTopic:
			code, message = wire.InvalidRequest, "this internal topic cannot be created"
		case total > maxPartitionsPerRequest:
			code, message = wire.PolicyViolation, tooManyPartitions(total)
		case records > maxRecordsPerRequest:
			code, message = wire.PolicyViolation, fmt.Sprintf("the request needs %d records of metadata, at most %d are "+
				"written at once: one for each topic, partition and configuration", records, maxRecordsPerRequest)
		default:
			code, message = s.createTopic(asked, together, req.ValidateOnly, quota, &t)
		}
		if code != wire.NoError {
			t.ErrorCode, t.ErrorMessage = int16(code), errorMessage(message)
		}
		resp.Topics = append(resp.Topics, t)
	}
	return quota.respond(resp)
}

func tooManyPartitions(total int) string {
	return fmt.Sprintf("the request asks for %d partitions in all, at most %d are created at once", total,
		maxPartitionsPerRequest)
}

// partitionsAsked returns the number of partitions of a topic to be created.
func (s *Services) partitionsAsked(t *kmsg.CreateTopicsRequestTopic) int32 {
	switch {
	case len(t.ReplicaAssignment) > 0:
		return int32(len(t.ReplicaAssignment))
	case t.NumPartitions == -1:
		return s.Settings.NumPartitions
	}
	return t.NumPartitions
}

// checkTopic says why a topic cannot be created. Errors of name or configuration come before those of the shape.
func (s *Services) checkTopic(asked *kmsg.CreateTopicsRequestTopic, together map[string]bool, version int16) (
	spec topics.Spec, code wire.Code, message string,
) {
	spec = topics.Spec{
		Name:       strings.Clone(asked.Topic),
		Partitions: s.partitionsAsked(asked),
		Overrides:  settings.Values{},
		Together:   together,
	}
	isNull, null := false, ""
	for _, c := range asked.Configs {
		if c.Value == nil {
			isNull, null = true, c.Name
			continue
		}
		spec.Overrides[strings.Clone(c.Name)] = strings.Clone(*c.Value)
	}
	err := s.Topics.Validate(spec)
	if isNull && !errors.Is(err, topics.ErrInvalidName) && !errors.Is(err, topics.ErrExists) {
		return spec, wire.InvalidConfig, fmt.Sprintf("configuration %s has no value", null)
	}
	if err != nil {
		code, message = codeFor(err, int16(kmsg.CreateTopics), version), err.Error()
	}
	if code == wire.NoError || code == wire.InvalidPartitions {
		if ofReplicas, why := s.checkReplicas(asked); ofReplicas != wire.NoError {
			return spec, ofReplicas, why
		}
	}
	return spec, code, message
}

// recordsNeeded returns how many records Kafka would write for the request, where they may be too many: one for each
// topic that can be created, each of its partitions and each of its configurations.
func (s *Services) recordsNeeded(
	r *wire.Request, isRefused func(name string) bool, together map[string]bool,
) (records int) {
	req := r.Body.(*kmsg.CreateTopicsRequest)
	most := 0
	for i := range req.Topics {
		t := &req.Topics[i]
		most += 1 + max(0, int(s.partitionsAsked(t))) + len(t.Configs)
	}
	if most <= maxRecordsPerRequest {
		return most
	}
	for i := range req.Topics {
		t := &req.Topics[i]
		if isRefused(t.Topic) {
			continue
		}
		if spec, code, _ := s.checkTopic(t, together, r.Version); code == wire.NoError {
			records += 1 + int(spec.Partitions) + len(spec.Overrides)
		}
	}
	return records
}

func (s *Services) createTopic(
	asked *kmsg.CreateTopicsRequestTopic, together map[string]bool, validateOnly bool, quota *mutations,
	t *kmsg.CreateTopicsResponseTopic,
) (wire.Code, string) {
	version := quota.r.Version
	spec, code, message := s.checkTopic(asked, together, version)
	if code != wire.NoError {
		return code, message
	}
	err := quota.take(int(spec.Partitions))
	if err == nil && validateOnly {
		t.TopicID = topics.NewID() // Kafka shows one that no topic gets
	}
	if err == nil && !validateOnly {
		var created *topics.Topic
		if created, err = s.Topics.Create(spec); err == nil {
			t.TopicID = created.ID
		}
	}
	if err != nil {
		return codeFor(err, int16(kmsg.CreateTopics), version), err.Error()
	}
	t.NumPartitions, t.ReplicationFactor = spec.Partitions, 1
	t.Configs = []kmsg.CreateTopicsResponseTopicConfig{}
	for _, e := range s.Configs.Settings().DescribeTopic(spec.Overrides) {
		c := kmsg.NewCreateTopicsResponseTopicConfig()
		c.Name, c.Source, c.IsSensitive, c.ReadOnly = e.Name, e.Source, e.Sensitive, e.ReadOnly
		if !e.Null {
			c.Value = kmsg.StringPtr(e.Value)
		}
		t.Configs = append(t.Configs, c)
	}
	return wire.NoError, ""
}

// checkReplicas checks replication factor and manual assignments (spec: admin 2 rows 9 to 13).
func (s *Services) checkReplicas(t *kmsg.CreateTopicsRequestTopic) (wire.Code, string) {
	if len(t.ReplicaAssignment) == 0 {
		if t.ReplicationFactor == 0 || t.ReplicationFactor < -1 {
			return wire.InvalidReplicationFactor, "the replication factor must be positive, or -1 for the default"
		}
		if t.NumPartitions == 0 || t.NumPartitions < -1 {
			return wire.InvalidPartitions, "the number of partitions must be positive, or -1 for the default"
		}
		if s.isTooManyReplicas(int(t.ReplicationFactor)) {
			return wire.InvalidReplicationFactor, fmt.Sprintf(
				"the replication factor is %d, there is 1 broker (dev.strict.replication is on)", t.ReplicationFactor)
		}
		return wire.NoError, ""
	}
	if t.ReplicationFactor != -1 {
		return wire.InvalidRequest, "replication factor and replica assignment exclude each other"
	}
	if t.NumPartitions != -1 {
		return wire.InvalidRequest, "number of partitions and replica assignment exclude each other"
	}
	seen := map[int32]bool{}
	for _, a := range t.ReplicaAssignment {
		if seen[a.Partition] || a.Partition < 0 || int(a.Partition) >= len(t.ReplicaAssignment) {
			return wire.InvalidReplicaAssignment, fmt.Sprintf("partition %d is assigned twice or leaves a gap", a.Partition)
		}
		seen[a.Partition] = true
		if !s.isAssignable(a.Replicas) {
			return wire.InvalidReplicaAssignment, fmt.Sprintf(
				"partition %d must be assigned to broker %d and no other", a.Partition, s.NodeID)
		}
	}
	return wire.NoError, ""
}

// isTooManyReplicas reports whether a replication factor, -1 for the default, is refused on one broker.
func (s *Services) isTooManyReplicas(factor int) bool {
	if factor == -1 {
		factor = s.Settings.DefaultReplicationFactor
	}
	return factor > 1 && s.Settings.DevStrictReplication
}

// isAssignable says whether these can be the replicas of a partition: only this broker, once.
func (s *Services) isAssignable(replicas []int32) bool {
	return slices.Equal(replicas, []int32{s.NodeID})
}

func failCreateTopics(r *wire.Request, code wire.Code, message string) kmsg.Response {
	req, resp := r.Body.(*kmsg.CreateTopicsRequest), response[*kmsg.CreateTopicsResponse](r)
	for i := range req.Topics {
		t := kmsg.NewCreateTopicsResponseTopic()
		t.Topic, t.NumPartitions, t.ReplicationFactor = req.Topics[i].Topic, -1, -1
		t.ErrorCode, t.ErrorMessage = int16(code), messageOrNull(message)
		t.Configs = []kmsg.CreateTopicsResponseTopicConfig{}
		resp.Topics = append(resp.Topics, t)
	}
	return resp
}

func aboutCreateTopics(_ Catalogue, r *wire.Request) Subjects {
	req := r.Body.(*kmsg.CreateTopicsRequest)
	return Subjects{Topics: eachOf(req.Topics, func(t *kmsg.CreateTopicsRequestTopic) TopicSubject {
		return TopicSubject{Name: t.Topic}
	})}
}
