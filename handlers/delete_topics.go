package handlers

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/topics"
	"once/wire"
)

// DeleteTopics v1 to v6. v4 flexible, v5 error messages, v6 topics by name or by ID.
//
// The topics in which the coordinators keep their state cannot be deleted.
func (s *Services) deleteTopics(_ context.Context, r *wire.Request) wire.Reply {
	req, resp := r.Body.(*kmsg.DeleteTopicsRequest), response[*kmsg.DeleteTopicsResponse](r)
	asked := req.Topics
	if r.Version < 6 {
		for i := range req.TopicNames {
			t := kmsg.NewDeleteTopicsRequestTopic()
			t.Topic = &req.TopicNames[i]
			asked = append(asked, t)
		}
	}
	times := map[string]int{}
	for i := range asked {
		if asked[i].Topic != nil {
			times[*asked[i].Topic]++
		}
		if t, ok := s.Topics.LookupID(asked[i].TopicID); ok {
			times[t.Name]++
		}
	}
	for i := range asked {
		t := kmsg.NewDeleteTopicsResponseTopic()
		t.Topic, t.TopicID = asked[i].Topic, asked[i].TopicID
		code, message := s.deleteTopic(&t, times, r.Version)
		if code != wire.NoError {
			t.ErrorCode, t.ErrorMessage = int16(code), &message
		}
		resp.Topics = append(resp.Topics, t)
	}
	return wire.Respond(resp)
}

func (s *Services) deleteTopic(t *kmsg.DeleteTopicsResponseTopic, times map[string]int, version int16) (wire.Code, string) {
	byID := t.TopicID != [16]byte{}
	if (t.Topic != nil) == byID {
		return wire.InvalidRequest, "a topic is named either by its name or by its ID"
	}
	if !s.Settings.Bool("delete.topic.enable") {
		if version < 3 {
			return wire.InvalidRequest, "delete.topic.enable is false"
		}
		return wire.TopicDeletionDisabled, "delete.topic.enable is false"
	}
	var topic *topics.Topic
	if byID {
		found, ok := s.Topics.LookupID(t.TopicID)
		if !ok {
			return wire.UnknownTopicID, "no topic has this ID"
		}
		topic = found
	} else {
		found, ok := s.Topics.Lookup(*t.Topic)
		if !ok {
			return wire.UnknownTopicOrPartition, fmt.Sprintf("there is no topic %q", *t.Topic)
		}
		topic = found
	}
	t.Topic, t.TopicID = &topic.Name, topic.ID
	if times[topic.Name] > 1 {
		return wire.InvalidRequest, fmt.Sprintf("topic %q stands in the request more than once", topic.Name)
	}
	if topic.Internal {
		return wire.InvalidTopicException, fmt.Sprintf("topic %q holds the broker's own state", topic.Name)
	}
	if err := s.Topics.Delete(topic.Name); err != nil {
		return codeFor(err, int16(kmsg.DeleteTopics), version), err.Error()
	}
	return wire.NoError, ""
}
