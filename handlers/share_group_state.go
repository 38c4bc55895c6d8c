package handlers

import (
	"context"
	"errors"
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/durability"
	"once/sharecoordinator"
	"once/sharepartition/window"
	"once/wire"
)

// The APIs 83 to 87, by which brokers reach the share coordinator (spec: share-groups 16). This broker calls its own
// directly; the APIs serve tools and tests.

// stateResult is the code and message of one share partition.
type stateResult struct {
	code    int16
	message *string
}

func (s *Services) stateError(err error, r *wire.Request) stateResult {
	if err == nil {
		return stateResult{}
	}
	return stateResult{int16(codeFor(err, r.Key, r.Version)), errorMessage(err.Error())}
}

// checkState checks a share partition of a request. negative says that one of its numbers is; missing is the error for
// a partition that does not exist: Kafka looks for stored state before that in some APIs.
func (s *Services) checkState(topicID [16]byte, partition int32, negative bool, missing error) error {
	if partition < 0 || negative {
		return fmt.Errorf("%w: a number is negative", errInvalidRequest)
	}
	if t, code := s.Catalogue.TopicByID(topicID); code == wire.NoError {
		if _, ok := t.Partition(partition); ok {
			return nil
		}
	}
	return missing
}

var errNoSharePartition = errors.New("the partition does not exist")

// answerStates waits for what was stored and answers.
func answerStates(waits *shareWaits, resp kmsg.Response) wire.Reply {
	if !waits.pending() {
		return wire.Respond(resp)
	}
	return wire.Reply{Then: func(ctx context.Context) kmsg.Response {
		if !waits.wait(ctx) {
			return nil
		}
		return resp
	}}
}

// changeState stores something for a share partition, unless check is an error.
func (s *Services) changeState(
	r *wire.Request, waits *shareWaits, key sharecoordinator.Key, check error, change func() (durability.Ticket, error),
) stateResult {
	if check != nil {
		return s.stateError(check, r)
	}
	ticket, err := change()
	if err != nil {
		return s.stateError(err, r)
	}
	s.Shares.Drop(key)
	waits.add(ticket)
	return stateResult{}
}

// InitializeShareGroupState v0.
func (s *Services) initializeShareGroupState(_ context.Context, r *wire.Request) wire.Reply {
	req, resp := r.Body.(*kmsg.InitializeShareGroupStateRequest), response[*kmsg.InitializeShareGroupStateResponse](r)
	if req.GroupID == "" { // Kafka says nothing about no group
		return wire.Respond(resp)
	}
	if err := s.ShareStates.Ensure(); err != nil {
		return s.Fail(r, wire.CoordinatorNotAvailable, err.Error())
	}
	var waits shareWaits
	for i := range req.Topics {
		t := kmsg.NewInitializeShareGroupStateResponseTopic()
		t.TopicID = req.Topics[i].TopicID
		for _, p := range req.Topics[i].Partitions {
			key := sharecoordinator.Key{Group: req.GroupID, TopicID: t.TopicID, Partition: p.Partition}
			check := s.checkState(t.TopicID, p.Partition, p.StateEpoch < 0, errNoSharePartition)
			result := s.changeState(r, &waits, key, check, func() (durability.Ticket, error) {
				return s.ShareStates.Initialize(key, p.StateEpoch, p.StartOffset)
			})
			x := kmsg.NewInitializeShareGroupStateResponseTopicPartition()
			x.Partition, x.ErrorCode, x.ErrorMessage = p.Partition, result.code, result.message
			t.Partitions = append(t.Partitions, x)
		}
		resp.Topics = append(resp.Topics, t)
	}
	return answerStates(&waits, resp)
}

// ReadShareGroupState v0.
func (s *Services) readShareGroupState(_ context.Context, r *wire.Request) wire.Reply {
	req, resp := r.Body.(*kmsg.ReadShareGroupStateRequest), response[*kmsg.ReadShareGroupStateResponse](r)
	if req.GroupID == "" { // Kafka says nothing about no group
		return wire.Respond(resp)
	}
	var waits shareWaits
	for i := range req.Topics {
		t := kmsg.NewReadShareGroupStateResponseTopic()
		t.TopicID = req.Topics[i].TopicID
		for _, p := range req.Topics[i].Partitions {
			x := kmsg.NewReadShareGroupStateResponseTopicPartition()
			x.Partition = p.Partition
			key := sharecoordinator.Key{Group: req.GroupID, TopicID: t.TopicID, Partition: p.Partition}
			state, err := sharecoordinator.State{}, s.checkState(t.TopicID, p.Partition, p.LeaderEpoch < 0,
				sharecoordinator.ErrNoState)
			if err == nil {
				var ticket durability.Ticket
				if state, ticket, err = s.ShareStates.Read(key, p.LeaderEpoch); err == nil {
					waits.add(ticket)
				}
			}
			result := s.stateError(err, r)
			x.ErrorCode, x.ErrorMessage, x.StateEpoch, x.StartOffset = result.code, result.message, state.StateEpoch,
				state.StartOffset
			for _, b := range state.Batches {
				y := kmsg.NewReadShareGroupStateResponseTopicPartitionStateBatch()
				y.FirstOffset, y.LastOffset = b.FirstOffset, b.LastOffset
				y.DeliveryState, y.DeliveryCount = int8(b.State), b.DeliveryCount
				x.StateBatches = append(x.StateBatches, y)
			}
			t.Partitions = append(t.Partitions, x)
		}
		resp.Topics = append(resp.Topics, t)
	}
	return answerStates(&waits, resp)
}

// WriteShareGroupState v0 to v1. v1 has the delivery complete count (KIP-1226).
func (s *Services) writeShareGroupState(_ context.Context, r *wire.Request) wire.Reply {
	req, resp := r.Body.(*kmsg.WriteShareGroupStateRequest), response[*kmsg.WriteShareGroupStateResponse](r)
	if req.GroupID == "" { // Kafka says nothing about no group
		return wire.Respond(resp)
	}
	var waits shareWaits
	for i := range req.Topics {
		t := kmsg.NewWriteShareGroupStateResponseTopic()
		t.TopicID = req.Topics[i].TopicID
		for j := range req.Topics[i].Partitions {
			p := &req.Topics[i].Partitions[j]
			key := sharecoordinator.Key{Group: req.GroupID, TopicID: t.TopicID, Partition: p.Partition}
			check := s.checkState(t.TopicID, p.Partition, p.StateEpoch < 0 || p.LeaderEpoch < 0, sharecoordinator.ErrNoState)
			result := s.changeState(r, &waits, key, check, func() (durability.Ticket, error) {
				return s.ShareStates.Write(stateWrite(key, p, r.Version))
			})
			x := kmsg.NewWriteShareGroupStateResponseTopicPartition()
			x.Partition, x.ErrorCode, x.ErrorMessage = p.Partition, result.code, result.message
			t.Partitions = append(t.Partitions, x)
		}
		resp.Topics = append(resp.Topics, t)
	}
	return answerStates(&waits, resp)
}

func stateWrite(key sharecoordinator.Key, p *kmsg.WriteShareGroupStateRequestTopicPartition,
	version int16) *sharecoordinator.Write {
	w := &sharecoordinator.Write{
		Key: key, StateEpoch: p.StateEpoch, LeaderEpoch: p.LeaderEpoch, StartOffset: p.StartOffset, DeliveryCompleteCount: -1,
	}
	if version >= 1 {
		w.DeliveryCompleteCount = p.DeliveryCompleteCount
	}
	for _, b := range p.StateBatches {
		w.Batches = append(w.Batches, window.Batch{
			FirstOffset: b.FirstOffset, LastOffset: b.LastOffset, State: window.State(b.DeliveryState),
			DeliveryCount: b.DeliveryCount,
		})
	}
	return w
}

// DeleteShareGroupState v0.
func (s *Services) deleteShareGroupState(_ context.Context, r *wire.Request) wire.Reply {
	req, resp := r.Body.(*kmsg.DeleteShareGroupStateRequest), response[*kmsg.DeleteShareGroupStateResponse](r)
	if req.GroupID == "" { // Kafka says nothing about no group
		return wire.Respond(resp)
	}
	var waits shareWaits
	for i := range req.Topics {
		t := kmsg.NewDeleteShareGroupStateResponseTopic()
		t.TopicID = req.Topics[i].TopicID
		for _, p := range req.Topics[i].Partitions {
			key := sharecoordinator.Key{Group: req.GroupID, TopicID: t.TopicID, Partition: p.Partition}
			check := s.checkState(t.TopicID, p.Partition, false, errNoSharePartition)
			result := s.changeState(r, &waits, key, check,
				func() (durability.Ticket, error) { return s.ShareStates.Delete(key) })
			x := kmsg.NewDeleteShareGroupStateResponseTopicPartition()
			x.Partition, x.ErrorCode, x.ErrorMessage = p.Partition, result.code, result.message
			t.Partitions = append(t.Partitions, x)
		}
		resp.Topics = append(resp.Topics, t)
	}
	return answerStates(&waits, resp)
}

// ReadShareGroupStateSummary v0 to v1. v1 has the delivery complete count. Share partitions without state have start
// offset -1, and that is no error.
func (s *Services) readShareGroupStateSummary(_ context.Context, r *wire.Request) wire.Reply {
	req, resp := r.Body.(*kmsg.ReadShareGroupStateSummaryRequest), response[*kmsg.ReadShareGroupStateSummaryResponse](r)
	if req.GroupID == "" { // Kafka says nothing about no group
		return wire.Respond(resp)
	}
	var waits shareWaits
	for i := range req.Topics {
		t := kmsg.NewReadShareGroupStateSummaryResponseTopic()
		t.TopicID = req.Topics[i].TopicID
		for _, p := range req.Topics[i].Partitions {
			x := kmsg.NewReadShareGroupStateSummaryResponseTopicPartition()
			x.Partition = p.Partition
			key := sharecoordinator.Key{Group: req.GroupID, TopicID: t.TopicID, Partition: p.Partition}
			err := s.checkState(t.TopicID, p.Partition, false, errNoSharePartition)
			if err == nil {
				state, ticket, found := s.ShareStates.Summary(key)
				switch {
				case errors.Is(found, sharecoordinator.ErrNoState):
					x.StartOffset, x.DeliveryCompleteCount = -1, -1
				case found != nil:
					err = found
				default:
					waits.add(ticket)
					x.StateEpoch, x.LeaderEpoch, x.StartOffset = state.StateEpoch, state.LeaderEpoch, state.StartOffset
					x.DeliveryCompleteCount = state.DeliveryCompleteCount
				}
			}
			result := s.stateError(err, r)
			x.ErrorCode, x.ErrorMessage = result.code, result.message
			t.Partitions = append(t.Partitions, x)
		}
		resp.Topics = append(resp.Topics, t)
	}
	return answerStates(&waits, resp)
}

func failInitializeShareGroupState(r *wire.Request, code wire.Code, _ string) kmsg.Response {
	req, resp := r.Body.(*kmsg.InitializeShareGroupStateRequest), response[*kmsg.InitializeShareGroupStateResponse](r)
	for i := range req.Topics {
		t := kmsg.NewInitializeShareGroupStateResponseTopic()
		t.TopicID = req.Topics[i].TopicID
		for _, p := range req.Topics[i].Partitions {
			x := kmsg.NewInitializeShareGroupStateResponseTopicPartition()
			x.Partition, x.ErrorCode = p.Partition, int16(code)
			t.Partitions = append(t.Partitions, x)
		}
		resp.Topics = append(resp.Topics, t)
	}
	return resp
}

func failReadShareGroupState(r *wire.Request, code wire.Code, message string) kmsg.Response {
	req, resp := r.Body.(*kmsg.ReadShareGroupStateRequest), response[*kmsg.ReadShareGroupStateResponse](r)
	for i := range req.Topics {
		t := kmsg.NewReadShareGroupStateResponseTopic()
		t.TopicID = req.Topics[i].TopicID
		for _, p := range req.Topics[i].Partitions {
			x := kmsg.NewReadShareGroupStateResponseTopicPartition()
			x.Partition, x.ErrorCode, x.ErrorMessage = p.Partition, int16(code), messageOrCode(message, code)
			t.Partitions = append(t.Partitions, x)
		}
		resp.Topics = append(resp.Topics, t)
	}
	return resp
}

func failWriteShareGroupState(r *wire.Request, code wire.Code, message string) kmsg.Response {
	req, resp := r.Body.(*kmsg.WriteShareGroupStateRequest), response[*kmsg.WriteShareGroupStateResponse](r)
	for i := range req.Topics {
		t := kmsg.NewWriteShareGroupStateResponseTopic()
		t.TopicID = req.Topics[i].TopicID
		for j := range req.Topics[i].Partitions {
			x := kmsg.NewWriteShareGroupStateResponseTopicPartition()
			x.Partition, x.ErrorCode, x.ErrorMessage = req.Topics[i].Partitions[j].Partition, int16(code),
				messageOrCode(message, code)
			t.Partitions = append(t.Partitions, x)
		}
		resp.Topics = append(resp.Topics, t)
	}
	return resp
}

func failDeleteShareGroupState(r *wire.Request, code wire.Code, _ string) kmsg.Response {
	req, resp := r.Body.(*kmsg.DeleteShareGroupStateRequest), response[*kmsg.DeleteShareGroupStateResponse](r)
	for i := range req.Topics {
		t := kmsg.NewDeleteShareGroupStateResponseTopic()
		t.TopicID = req.Topics[i].TopicID
		for _, p := range req.Topics[i].Partitions {
			x := kmsg.NewDeleteShareGroupStateResponseTopicPartition()
			x.Partition, x.ErrorCode = p.Partition, int16(code)
			t.Partitions = append(t.Partitions, x)
		}
		resp.Topics = append(resp.Topics, t)
	}
	return resp
}

func failReadShareGroupStateSummary(r *wire.Request, code wire.Code, message string) kmsg.Response {
	req, resp := r.Body.(*kmsg.ReadShareGroupStateSummaryRequest), response[*kmsg.ReadShareGroupStateSummaryResponse](r)
	for i := range req.Topics {
		t := kmsg.NewReadShareGroupStateSummaryResponseTopic()
		t.TopicID = req.Topics[i].TopicID
		for _, p := range req.Topics[i].Partitions {
			x := kmsg.NewReadShareGroupStateSummaryResponseTopicPartition()
			x.Partition, x.ErrorCode, x.ErrorMessage = p.Partition, int16(code), messageOrCode(message, code)
			t.Partitions = append(t.Partitions, x)
		}
		resp.Topics = append(resp.Topics, t)
	}
	return resp
}

// aboutShareState makes the subjectsFunc of an API for share group state: the group, and partitions by topic ID.
func aboutShareState[R kmsg.Request, T, P any](
	group func(R) string, topics func(R) []T, topic func(*T) ([16]byte, []P), partition func(*P) int32,
) subjectsFunc {
	return func(c Catalogue, r *wire.Request) Subjects {
		req := r.Body.(R)
		return Subjects{Groups: []string{group(req)}, Topics: eachOf(topics(req), func(t *T) TopicSubject {
			id, partitions := topic(t)
			return c.subject("", id, true, eachOf(partitions, partition))
		})}
	}
}

var aboutInitializeShareGroupState = aboutShareState(
	func(r *kmsg.InitializeShareGroupStateRequest) string { return r.GroupID },
	func(r *kmsg.InitializeShareGroupStateRequest) []kmsg.InitializeShareGroupStateRequestTopic {
		return r.Topics
	},
	func(t *kmsg.InitializeShareGroupStateRequestTopic) ([16]byte, []kmsg.InitializeShareGroupStateRequestTopicPartition) {
		return t.TopicID, t.Partitions
	},
	func(p *kmsg.InitializeShareGroupStateRequestTopicPartition) int32 { return p.Partition },
)

var aboutReadShareGroupState = aboutShareState(
	func(r *kmsg.ReadShareGroupStateRequest) string { return r.GroupID },
	func(r *kmsg.ReadShareGroupStateRequest) []kmsg.ReadShareGroupStateRequestTopic { return r.Topics },
	func(t *kmsg.ReadShareGroupStateRequestTopic) ([16]byte, []kmsg.ReadShareGroupStateRequestTopicPartition) {
		return t.TopicID, t.Partitions
	},
	func(p *kmsg.ReadShareGroupStateRequestTopicPartition) int32 { return p.Partition },
)

var aboutWriteShareGroupState = aboutShareState(
	func(r *kmsg.WriteShareGroupStateRequest) string { return r.GroupID },
	func(r *kmsg.WriteShareGroupStateRequest) []kmsg.WriteShareGroupStateRequestTopic { return r.Topics },
	func(t *kmsg.WriteShareGroupStateRequestTopic) ([16]byte, []kmsg.WriteShareGroupStateRequestTopicPartition) {
		return t.TopicID, t.Partitions
	},
	func(p *kmsg.WriteShareGroupStateRequestTopicPartition) int32 { return p.Partition },
)

var aboutDeleteShareGroupState = aboutShareState(
	func(r *kmsg.DeleteShareGroupStateRequest) string { return r.GroupID },
	func(r *kmsg.DeleteShareGroupStateRequest) []kmsg.DeleteShareGroupStateRequestTopic { return r.Topics },
	func(t *kmsg.DeleteShareGroupStateRequestTopic) ([16]byte, []kmsg.DeleteShareGroupStateRequestTopicPartition) {
		return t.TopicID, t.Partitions
	},
	func(p *kmsg.DeleteShareGroupStateRequestTopicPartition) int32 { return p.Partition },
)

var aboutReadShareGroupStateSummary = aboutShareState(
	func(r *kmsg.ReadShareGroupStateSummaryRequest) string { return r.GroupID },
	func(r *kmsg.ReadShareGroupStateSummaryRequest) []kmsg.ReadShareGroupStateSummaryRequestTopic {
		return r.Topics
	},
	func(t *kmsg.ReadShareGroupStateSummaryRequestTopic) ([16]byte,
		[]kmsg.ReadShareGroupStateSummaryRequestTopicPartition) {
		return t.TopicID, t.Partitions
	},
	func(p *kmsg.ReadShareGroupStateSummaryRequestTopicPartition) int32 { return p.Partition },
)
