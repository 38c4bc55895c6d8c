package handlers

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/wire"
)

// The highest election type: 0 elects the preferred leader, 1 one that is out of sync.
const electUnclean int8 = 1

// ElectLeaders v0 to v2. v1 election types and a code for the whole answer (KIP-460), v2 flexible. The one replica
// leads: no partition needs an election (spec: admin 12).
func (s *Services) electLeaders(_ context.Context, r *wire.Request) wire.Reply {
	req, resp := r.Body.(*kmsg.ElectLeadersRequest), response[*kmsg.ElectLeadersResponse](r)
	if req.ElectionType < 0 || req.ElectionType > electUnclean {
		return s.Fail(r, wire.InvalidRequest, fmt.Sprintf("election type %d is unknown", req.ElectionType))
	}
	if req.TimeoutMillis <= 0 {
		return s.Fail(r, wire.RequestTimedOut, "")
	}
	for _, asked := range req.Topics {
		t := kmsg.NewElectLeadersResponseTopic()
		t.Topic = asked.Topic
		for _, index := range asked.Partitions {
			p := kmsg.NewElectLeadersResponseTopicPartition()
			p.Partition = index
			code, message := wire.ElectionNotNeeded, "the one replica leads"
			if _, missing := s.Catalogue.Partition(asked.Topic, index); missing != wire.NoError {
				code, message = missing, "there is no such partition"
			}
			p.ErrorCode, p.ErrorMessage = int16(code), errorMessage(message)
			t.Partitions = append(t.Partitions, p)
		}
		resp.Topics = append(resp.Topics, t)
	}
	return wire.Respond(resp)
}

func failElectLeaders(r *wire.Request, code wire.Code, message string) kmsg.Response {
	req, resp := r.Body.(*kmsg.ElectLeadersRequest), response[*kmsg.ElectLeadersResponse](r)
	resp.ErrorCode = int16(code)
	for _, asked := range req.Topics {
		t := kmsg.NewElectLeadersResponseTopic()
		t.Topic = asked.Topic
		for _, index := range asked.Partitions {
			p := kmsg.NewElectLeadersResponseTopicPartition()
			p.Partition, p.ErrorCode, p.ErrorMessage = index, int16(code), messageOrNull(message)
			t.Partitions = append(t.Partitions, p)
		}
		resp.Topics = append(resp.Topics, t)
	}
	return resp
}

func aboutElectLeaders(_ Catalogue, r *wire.Request) Subjects {
	req := r.Body.(*kmsg.ElectLeadersRequest)
	return Subjects{
		AllTopics: req.Topics == nil,
		Topics: eachOf(req.Topics, func(t *kmsg.ElectLeadersRequestTopic) TopicSubject {
			return TopicSubject{Name: t.Topic, Partitions: t.Partitions}
		}),
	}
}
