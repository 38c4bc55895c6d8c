package handlers

import (
	"context"
	"fmt"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/wire"
)

// CreatePartitions v0 to v3. v2 flexible, v3 may be throttled.
func (s *Services) createPartitions(_ context.Context, r *wire.Request) wire.Reply {
	req, resp := r.Body.(*kmsg.CreatePartitionsRequest), response[*kmsg.CreatePartitionsResponse](r)
	times := counts(req.Topics, func(t *kmsg.CreatePartitionsRequestTopic) string { return t.Topic })
	if req.TimeoutMillis <= 0 && slices.ContainsFunc(req.Topics,
		func(t kmsg.CreatePartitionsRequestTopic) bool { return times[t.Topic] == 1 }) {
		return s.Fail(r, wire.RequestTimedOut, "") // nothing is looked at, and nothing is done
	}
	total := 0
	for i := range req.Topics {
		t, code := s.Catalogue.Topic(req.Topics[i].Topic)
		if code == wire.NoError && times[t.Name] == 1 { // the others are refused
			total += max(0, int(req.Topics[i].Count)-len(t.Partitions()))
		}
	}
	quota := s.mutations(r, 3)
	seen := map[string]bool{}
	for i := range req.Topics {
		asked := &req.Topics[i]
		if seen[asked.Topic] {
			continue
		}
		seen[asked.Topic] = true
		t := kmsg.NewCreatePartitionsResponseTopic()
		t.Topic = asked.Topic
		var code wire.Code
		var message string
		switch {
		case times[asked.Topic] > 1:
			code, message = wire.InvalidRequest, "the topic stands in the request more than once"
		case total > maxPartitionsPerRequest:
			code, message = wire.PolicyViolation, tooManyPartitions(total)
		default:
			code, message = s.addPartitions(asked, req.ValidateOnly, quota)
		}
		if code != wire.NoError {
			t.ErrorCode, t.ErrorMessage = int16(code), errorMessage(message)
		}
		if code == wire.UnknownTopicOrPartition {
			t.ErrorMessage = nil
		}
		resp.Topics = append(resp.Topics, t)
	}
	return quota.respond(resp)
}

func (s *Services) addPartitions(
	asked *kmsg.CreatePartitionsRequestTopic, validateOnly bool, quota *mutations,
) (wire.Code, string) {
	t, code := s.Catalogue.Topic(asked.Topic)
	if code != wire.NoError {
		return code, ""
	}
	if added := int(asked.Count) - len(t.Partitions()); asked.Assignment != nil && added > 0 {
		if len(asked.Assignment) != added {
			return wire.InvalidReplicaAssignment,
				fmt.Sprintf("%d partitions are added, %d are assigned", added, len(asked.Assignment))
		}
		for _, a := range asked.Assignment {
			if !s.isAssignable(a.Replicas) {
				return wire.InvalidReplicaAssignment,
					fmt.Sprintf("each partition must be assigned to broker %d and no other", s.NodeID)
			}
		}
	}
	err := s.Topics.AddPartitions(asked.Topic, asked.Count, true)
	if err == nil {
		err = quota.take(int(asked.Count) - len(t.Partitions()))
	}
	if err == nil && !validateOnly {
		err = s.Topics.AddPartitions(asked.Topic, asked.Count, false)
	}
	if err != nil {
		return codeFor(err, int16(kmsg.CreatePartitions), quota.r.Version), err.Error()
	}
	return wire.NoError, ""
}

func failCreatePartitions(r *wire.Request, code wire.Code, message string) kmsg.Response {
	req, resp := r.Body.(*kmsg.CreatePartitionsRequest), response[*kmsg.CreatePartitionsResponse](r)
	for i := range req.Topics {
		t := kmsg.NewCreatePartitionsResponseTopic()
		t.Topic, t.ErrorCode, t.ErrorMessage = req.Topics[i].Topic, int16(code), messageOrNull(message)
		resp.Topics = append(resp.Topics, t)
	}
	return resp
}

func aboutCreatePartitions(_ Catalogue, r *wire.Request) Subjects {
	req := r.Body.(*kmsg.CreatePartitionsRequest)
	return Subjects{Topics: eachOf(req.Topics, func(t *kmsg.CreatePartitionsRequestTopic) TopicSubject {
		return TopicSubject{Name: t.Topic}
	})}
}
