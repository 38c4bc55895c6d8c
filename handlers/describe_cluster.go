package handlers

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/wire"
)

// The endpoint types of DescribeCluster (KIP-919).
const (
	endpointBrokers     = 1
	endpointControllers = 2
)

// DescribeCluster v0 to v2. v1 endpoint type, v2 fenced brokers.
func (s *Services) describeCluster(_ context.Context, r *wire.Request) wire.Reply {
	req, resp := r.Body.(*kmsg.DescribeClusterRequest), response[*kmsg.DescribeClusterResponse](r)
	switch req.EndpointType {
	case endpointBrokers:
	case endpointControllers:
		return s.Fail(r, wire.MismatchedEndpointType, "this listener is a broker's, not a controller's")
	default:
		return s.Fail(r, wire.UnsupportedEndpointType, "unknown endpoint type")
	}
	host, port := s.Advertised(r.Conn)
	b := kmsg.NewDescribeClusterResponseBroker()
	b.NodeID, b.Host, b.Port = s.NodeID, host, port
	resp.ClusterID, resp.ControllerID = s.ClusterID, s.NodeID
	resp.Brokers = []kmsg.DescribeClusterResponseBroker{b}
	resp.ClusterAuthorizedOperations = noAuthorizedOperations
	if req.IncludeClusterAuthorizedOperations {
		resp.ClusterAuthorizedOperations = clusterOperations
	}
	return wire.Respond(resp)
}

var failDescribeCluster = failAtTop(func(r *kmsg.DescribeClusterResponse) (*int16, **string) {
	return &r.ErrorCode, &r.ErrorMessage
})
