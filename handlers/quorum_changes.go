package handlers

import (
	"context"
	"fmt"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/wire"
)

// What follows changes the brokers or the voters of a cluster. Here are one broker and a static quorum of one voter,
// and they stay (spec: admin 13).

// UnregisterBroker v0. This broker is refused, too; Kafka does it, and is of no use any more.
func (s *Services) unregisterBroker(_ context.Context, r *wire.Request) wire.Reply {
	id := r.Body.(*kmsg.UnregisterBrokerRequest).BrokerID
	if id == s.NodeID {
		return s.Fail(r, wire.InvalidRequest, fmt.Sprintf("broker %d is the only one", id))
	}
	return s.Fail(r, wire.BrokerIDNotRegistered, fmt.Sprintf("broker %d is not registered", id))
}

// AddRaftVoter v0 and v1 (v1: answered before the change is committed).
func (s *Services) addRaftVoter(_ context.Context, r *wire.Request) wire.Reply {
	req := r.Body.(*kmsg.AddRaftVoterRequest)
	named := false
	for i := range req.Listeners {
		named = named || req.Listeners[i].Name == controllerListener
	}
	code, message := s.checkVoter(req.ClusterID, req.VoterID, req.VoterDirectoryID)
	if code == wire.UnsupportedVersion && !named {
		code, message = wire.InvalidRequest, "the voter has no listener "+controllerListener
	}
	return s.Fail(r, code, message)
}

// RemoveRaftVoter v0.
func (s *Services) removeRaftVoter(_ context.Context, r *wire.Request) wire.Reply {
	req := r.Body.(*kmsg.RemoveRaftVoterRequest)
	code, message := s.checkVoter(req.ClusterID, req.VoterID, req.VoterDirectoryID)
	return s.Fail(r, code, message)
}

// checkVoter returns why a voter cannot be added or removed: the request is wrong, or else the quorum is static.
func (s *Services) checkVoter(clusterID *string, id int32, directory [16]byte) (wire.Code, string) {
	switch {
	case clusterID != nil && *clusterID != s.ClusterID:
		return wire.InconsistentClusterID, "the ID of the cluster is " + s.ClusterID
	case id < 0, directory == [16]byte{}:
		return wire.InvalidRequest, "the voter has no ID, or no ID of its directory"
	}
	return wire.UnsupportedVersion, "the quorum is static: kraft.version is 0"
}

var (
	failUnregisterBroker = failWithText(func(r *kmsg.UnregisterBrokerResponse) (*int16, **string) {
		return &r.ErrorCode, &r.ErrorMessage
	})
	failAddRaftVoter = failWithText(func(r *kmsg.AddRaftVoterResponse) (*int16, **string) {
		return &r.ErrorCode, &r.ErrorMessage
	})
	failRemoveRaftVoter = failWithText(func(r *kmsg.RemoveRaftVoterResponse) (*int16, **string) {
		return &r.ErrorCode, &r.ErrorMessage
	})
)
