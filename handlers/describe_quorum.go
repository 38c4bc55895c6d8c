package handlers

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/wire"
)

// controllerListener is the name of the listener of Kafka's controllers.
const controllerListener = "CONTROLLER"

// DescribeQuorum v0 to v2. v1 the times of the replicas, v2 directories, nodes and messages (KIP-853).
//
// This node is the quorum. Its metadata is no log: the offsets are the number of starts, like the epoch of the
// features.
func (s *Services) describeQuorum(_ context.Context, r *wire.Request) wire.Reply {
	req, resp := r.Body.(*kmsg.DescribeQuorumRequest), response[*kmsg.DescribeQuorumResponse](r)
	resp.ErrorMessage = kmsg.StringPtr("")
	known := isMetadataPartition(req)
	for i := range req.Topics {
		t := kmsg.NewDescribeQuorumResponseTopic()
		t.Topic = req.Topics[i].Topic
		for _, asked := range req.Topics[i].Partitions {
			p := kmsg.NewDescribeQuorumResponseTopicPartition()
			p.Partition = asked.Partition
			if known {
				s.describeQuorumPartition(&p)
			} else {
				p.ErrorCode = int16(wire.UnknownTopicOrPartition)
				p.ErrorMessage = kmsg.StringPtr("only partition 0 of " + clusterMetadataTopic + " has a quorum")
			}
			t.Partitions = append(t.Partitions, p)
		}
		resp.Topics = append(resp.Topics, t)
	}
	if known && r.Version >= 2 {
		node := kmsg.NewDescribeQuorumResponseNode()
		node.NodeID = s.NodeID
		listener := kmsg.NewDescribeQuorumResponseNodeListener()
		host, port := s.Advertised(r.Conn)
		listener.Name, listener.Host, listener.Port = controllerListener, host, uint16(port)
		node.Listeners = append(node.Listeners, listener)
		resp.Nodes = append(resp.Nodes, node)
	}
	return wire.Respond(resp)
}

// isMetadataPartition says whether a request is for the one partition with a quorum, and for no other.
func isMetadataPartition(req *kmsg.DescribeQuorumRequest) bool {
	return len(req.Topics) == 1 && req.Topics[0].Topic == clusterMetadataTopic &&
		len(req.Topics[0].Partitions) == 1 && req.Topics[0].Partitions[0].Partition == 0
}

func (s *Services) describeQuorumPartition(p *kmsg.DescribeQuorumResponseTopicPartition) {
	end := s.Features.Epoch()
	p.ErrorMessage = kmsg.StringPtr("")
	p.LeaderID, p.LeaderEpoch, p.HighWatermark = s.NodeID, int32(s.Features.Epoch()), end
	voter := kmsg.NewDescribeQuorumResponseTopicPartitionReplicaState()
	voter.ReplicaID, voter.LogEndOffset = s.NodeID, end
	nowMs := s.Clock.Now().UnixMilli()
	voter.LastFetchTimestamp, voter.LastCaughtUpTimestamp = nowMs, nowMs
	p.CurrentVoters = append(p.CurrentVoters, voter)
}

func failDescribeQuorum(r *wire.Request, code wire.Code, message string) kmsg.Response {
	resp := response[*kmsg.DescribeQuorumResponse](r)
	resp.ErrorCode, resp.ErrorMessage = int16(code), messageOrCode(message, code)
	return resp
}
