package handlers

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/wire"
)

// AlterPartitionReassignments v0 and v1. v1 says whether the number of replicas may change (KIP-860). A partition can
// be assigned to this broker, where it is; no reassignment is ever under way (spec: admin 12).
func (s *Services) alterPartitionReassignments(_ context.Context, r *wire.Request) wire.Reply {
	req := r.Body.(*kmsg.AlterPartitionAssignmentsRequest)
	resp := response[*kmsg.AlterPartitionAssignmentsResponse](r)
	if len(req.Topics) == 0 {
		resp.ErrorMessage = kmsg.StringPtr("") // as in Kafka
		return wire.Respond(resp)
	}
	if req.TimeoutMillis <= 0 {
		return s.Fail(r, wire.RequestTimedOut, "")
	}
	resp.AllowReplicationFactorChange = req.AllowReplicationFactorChange
	for _, asked := range req.Topics {
		t := kmsg.NewAlterPartitionAssignmentsResponseTopic()
		t.Topic = asked.Topic
		for _, q := range asked.Partitions {
			p := kmsg.NewAlterPartitionAssignmentsResponseTopicPartition()
			p.Partition = q.Partition
			code, message := s.reassign(asked.Topic, q.Partition, q.Replicas)
			p.ErrorCode, p.ErrorMessage = int16(code), messageOrNull(message)
			t.Partitions = append(t.Partitions, p)
		}
		resp.Topics = append(resp.Topics, t)
	}
	return wire.Respond(resp)
}

// reassign decides about one partition; replicas nil cancels a reassignment.
func (s *Services) reassign(topic string, index int32, replicas []int32) (wire.Code, string) {
	if _, code := s.Catalogue.Partition(topic, index); code != wire.NoError {
		return code, "there is no such partition"
	}
	switch {
	case replicas == nil:
		return wire.NoReassignmentInProgress, ""
	case !s.isAssignable(replicas):
		return wire.InvalidReplicaAssignment, fmt.Sprintf("a partition is assigned to broker %d and no other", s.NodeID)
	}
	return wire.NoError, ""
}

// ListPartitionReassignments v0: there are none.
func (s *Services) listPartitionReassignments(_ context.Context, r *wire.Request) wire.Reply {
	return wire.Respond(response[*kmsg.ListPartitionReassignmentsResponse](r))
}

func failAlterPartitionReassignments(r *wire.Request, code wire.Code, message string) kmsg.Response {
	req := r.Body.(*kmsg.AlterPartitionAssignmentsRequest)
	resp := response[*kmsg.AlterPartitionAssignmentsResponse](r)
	resp.ErrorCode, resp.ErrorMessage = int16(code), messageOrNull(message)
	for _, asked := range req.Topics {
		t := kmsg.NewAlterPartitionAssignmentsResponseTopic()
		t.Topic = asked.Topic
		for _, q := range asked.Partitions {
			p := kmsg.NewAlterPartitionAssignmentsResponseTopicPartition()
			p.Partition, p.ErrorCode, p.ErrorMessage = q.Partition, int16(code), messageOrNull(message)
			t.Partitions = append(t.Partitions, p)
		}
		resp.Topics = append(resp.Topics, t)
	}
	return resp
}

func failListPartitionReassignments(r *wire.Request, code wire.Code, message string) kmsg.Response {
	req := r.Body.(*kmsg.ListPartitionReassignmentsRequest)
	resp := response[*kmsg.ListPartitionReassignmentsResponse](r)
	resp.ErrorCode, resp.ErrorMessage = int16(code), messageOrNull(message)
	for _, asked := range req.Topics {
		t := kmsg.NewListPartitionReassignmentsResponseTopic()
		t.Topic = asked.Topic
		for _, index := range asked.Partitions {
			p := kmsg.NewListPartitionReassignmentsResponseTopicPartition()
			p.Partition = index
			t.Partitions = append(t.Partitions, p)
		}
		resp.Topics = append(resp.Topics, t)
	}
	return resp
}

func aboutAlterPartitionReassignments(_ Catalogue, r *wire.Request) Subjects {
	req := r.Body.(*kmsg.AlterPartitionAssignmentsRequest)
	return Subjects{Topics: eachOf(req.Topics, func(t *kmsg.AlterPartitionAssignmentsRequestTopic) TopicSubject {
		indexes := eachOf(t.Partitions,
			func(p *kmsg.AlterPartitionAssignmentsRequestTopicPartition) int32 { return p.Partition })
		return TopicSubject{Name: t.Topic, Partitions: indexes}
	})}
}
