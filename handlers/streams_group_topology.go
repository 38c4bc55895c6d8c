package handlers

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/wire"
)

// StreamsGroupTopologyDescriptionUpdate v0 (KIP-1331): descriptions of topologies are kept by a plug-in, and without
// one they are refused, as in Kafka. A client sends one only when a heartbeat asks for it (spec: kafka-4.4 2.5).
func (s *Services) streamsGroupTopologyDescriptionUpdate(_ context.Context, r *wire.Request) wire.Reply {
	return s.Fail(r, wire.UnsupportedVersion, "no plug-in keeps descriptions of topologies")
}

var failStreamsGroupTopologyDescriptionUpdate = failAtTop(
	func(r *kmsg.StreamsGroupTopologyDescriptionUpdateResponse) (*int16, **string) {
		return &r.ErrorCode, &r.ErrorMessage
	})

func aboutStreamsGroupTopologyDescriptionUpdate(_ Catalogue, r *wire.Request) Subjects {
	return Subjects{Groups: []string{r.Body.(*kmsg.StreamsGroupTopologyDescriptionUpdateRequest).Group}}
}
