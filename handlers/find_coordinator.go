package handlers

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/sharecoordinator"
	"once/topics"
	"once/wire"
)

// The key types of FindCoordinator.
const (
	coordinatorOfGroup       = 0
	coordinatorOfTransaction = 1
	coordinatorOfShare       = 2 // of a share partition's state; from v6 on
)

// FindCoordinator v0 to v6. v1 key type, v3 flexible, v4 several keys at once (KIP-699), v5
// TRANSACTION_ABORTABLE, v6 share groups. This broker coordinates everything.
func (s *Services) findCoordinator(_ context.Context, r *wire.Request) wire.Reply {
	req, resp := r.Body.(*kmsg.FindCoordinatorRequest), response[*kmsg.FindCoordinatorResponse](r)
	if req.CoordinatorType < coordinatorOfGroup || req.CoordinatorType > coordinatorOfShare {
		return s.Fail(r, wire.InvalidRequest, "this type of coordinator is not served")
	}
	early := req.CoordinatorType == coordinatorOfShare && r.Version < 6
	host, port := s.Advertised(r.Conn)
	find := func(key string) kmsg.FindCoordinatorResponseCoordinator {
		c := kmsg.NewFindCoordinatorResponseCoordinator()
		c.Key, c.NodeID, c.Host, c.Port = key, s.NodeID, host, port
		c.ErrorMessage = kmsg.StringPtr("")
		code := wire.InvalidRequest
		if !early {
			code = s.coordinates(req.CoordinatorType, key)
		}
		if code != wire.NoError {
			c.NodeID, c.Host, c.Port, c.ErrorCode = -1, "", -1, int16(code)
		}
		return c
	}
	if r.Version >= 4 {
		for _, key := range req.CoordinatorKeys {
			resp.Coordinators = append(resp.Coordinators, find(key))
		}
		return wire.Respond(resp)
	}
	c := find(req.CoordinatorKey)
	// So Kafka says in these versions, and says nothing in later ones.
	c.ErrorMessage = messageOrCode("", wire.Code(c.ErrorCode))
	resp.NodeID, resp.Host, resp.Port, resp.ErrorCode, resp.ErrorMessage = c.NodeID, c.Host, c.Port, c.ErrorCode,
		c.ErrorMessage
	return wire.Respond(resp)
}

// coordinates says whether there is a coordinator for a key: there is none while its partition is offline.
func (s *Services) coordinates(coordinator int8, key string) wire.Code {
	topic, index := topics.ConsumerOffsets, int32(0)
	switch coordinator {
	case coordinatorOfGroup:
		index = s.Groups.PartitionFor(key)
	case coordinatorOfTransaction:
		topic, index = topics.TransactionState, s.Txns.PartitionFor(key)
	case coordinatorOfShare:
		k, err := sharecoordinator.ParseKey(key)
		if err != nil {
			return wire.InvalidRequest
		}
		topic, index = topics.ShareGroupState, s.ShareStates.PartitionFor(k)
	}
	if p, ok := s.Catalogue.coordinatorPartition(topic, index); ok {
		if _, err := p.Offsets(); err != nil {
			return wire.CoordinatorNotAvailable
		}
	}
	return wire.NoError
}

// failFindCoordinator has the code at the top, and from v4 on with each key.
func failFindCoordinator(r *wire.Request, code wire.Code, message string) kmsg.Response {
	req, resp := r.Body.(*kmsg.FindCoordinatorRequest), response[*kmsg.FindCoordinatorResponse](r)
	if r.Version < 4 {
		resp.ErrorCode, resp.ErrorMessage = int16(code), messageOrCode(message, code)
		resp.NodeID, resp.Port = -1, -1
		return resp
	}
	for _, key := range req.CoordinatorKeys {
		c := kmsg.NewFindCoordinatorResponseCoordinator()
		c.Key, c.ErrorCode, c.ErrorMessage = key, int16(code), messageOrCode(message, code)
		c.NodeID, c.Port = -1, -1
		resp.Coordinators = append(resp.Coordinators, c)
	}
	return resp
}

func aboutFindCoordinator(_ Catalogue, r *wire.Request) (s Subjects) {
	req := r.Body.(*kmsg.FindCoordinatorRequest)
	keys := req.CoordinatorKeys
	if r.Version < 4 {
		keys = []string{req.CoordinatorKey}
	}
	switch req.CoordinatorType {
	case coordinatorOfGroup:
		s.Groups = keys
	case coordinatorOfTransaction:
		s.Transactions = eachOf(keys, func(id *string) TransactionSubject {
			return TransactionSubject{*id, noProducer}
		})
	}
	return s
}
