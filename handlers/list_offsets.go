package handlers

import (
	"context"
	"math"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/partition"
	"once/wire"
)

// The timestamps with a special meaning, each with its first version.
const (
	latestTimestamp        = -1
	earliestTimestamp      = -2
	maxTimestamp           = -3 // v7, KIP-734
	earliestLocalTimestamp = -4 // v8, KIP-405
	latestTieredTimestamp  = -5 // v9, KIP-1005
	earliestPendingUpload  = -6 // v11, KIP-1023
)

// ListOffsets v1 to v11. v2 isolation level, v4 leader epochs, v6 flexible, v7 to v11 further special
// timestamps, v10 timeout (of use with tiered storage only).
func (s *Services) listOffsets(_ context.Context, r *wire.Request) wire.Reply {
	req, resp := r.Body.(*kmsg.ListOffsetsRequest), response[*kmsg.ListOffsetsResponse](r)
	type id struct {
		topic     string
		partition int32
	}
	asked := map[id]int{}
	for i := range req.Topics {
		for _, p := range req.Topics[i].Partitions {
			asked[id{req.Topics[i].Topic, p.Partition}]++
		}
	}
	committed := req.IsolationLevel == 1 && req.ReplicaID == -1
	for i := range req.Topics {
		t := kmsg.NewListOffsetsResponseTopic()
		t.Topic = req.Topics[i].Topic
		for j := range req.Topics[i].Partitions {
			p := &req.Topics[i].Partitions[j]
			times := asked[id{t.Topic, p.Partition}]
			if times == 0 {
				continue // answered before, once
			}
			if times > 1 {
				delete(asked, id{t.Topic, p.Partition})
			}
			code := wire.InvalidRequest
			found := partition.TimestampOffset{TimestampMs: -1, Offset: -1, LeaderEpoch: -1}
			if times == 1 && (req.IsolationLevel == 0 || req.IsolationLevel == 1) {
				found, code = s.listOffset(t.Topic, p, committed, r.Version)
			}
			rp := kmsg.NewListOffsetsResponseTopicPartition()
			rp.Partition, rp.ErrorCode = p.Partition, int16(code)
			rp.Timestamp, rp.Offset, rp.LeaderEpoch = found.TimestampMs, found.Offset, found.LeaderEpoch
			t.Partitions = append(t.Partitions, rp)
		}
		resp.Topics = append(resp.Topics, t)
	}
	resp.Topics = mergeBy(resp.Topics,
		func(t *kmsg.ListOffsetsResponseTopic) string { return t.Topic },
		func(into, more *kmsg.ListOffsetsResponseTopic) {
			into.Partitions = append(into.Partitions, more.Partitions...)
		})
	return wire.Respond(resp)
}

func (s *Services) listOffset(topic string, asked *kmsg.ListOffsetsRequestTopicPartition, committed bool,
	version int16) (partition.TimestampOffset, wire.Code) {
	none := partition.TimestampOffset{TimestampMs: -1, Offset: -1, LeaderEpoch: -1}
	if lowest := timestampSince(asked.Timestamp); version < lowest {
		return none, wire.UnsupportedVersion
	}
	p, code := s.Catalogue.Partition(topic, asked.Partition)
	if code != wire.NoError {
		return none, code
	}
	if asked.CurrentLeaderEpoch < -1 { // which is older than any, here; Fetch takes it for none
		return none, wire.FencedLeaderEpoch
	}
	if err := p.CheckLeaderEpoch(asked.CurrentLeaderEpoch); err != nil {
		return none, codeFor(err, int16(kmsg.ListOffsets), version)
	}
	offsets, err := p.Offsets()
	if err != nil {
		return none, codeFor(err, int16(kmsg.ListOffsets), version)
	}
	found := none
	switch asked.Timestamp {
	case latestTimestamp:
		found.Offset, found.LeaderEpoch = offsets.HighWatermark, p.LeaderEpoch()
		if committed {
			found.Offset = offsets.LastStableOffset
		}
	case earliestTimestamp, earliestLocalTimestamp:
		found.Offset, found.LeaderEpoch = offsets.LogStartOffset, p.EpochAt(offsets.LogStartOffset)
	case maxTimestamp:
		found, err = p.MaxTimestamp(committed)
	case latestTieredTimestamp, earliestPendingUpload: // nothing is tiered
	default:
		found, err = p.OffsetForTimestamp(asked.Timestamp, committed)
	}
	return found, codeFor(err, int16(kmsg.ListOffsets), version)
}

// timestampSince returns the first version in which a timestamp has a meaning.
func timestampSince(timestamp int64) int16 {
	switch {
	case timestamp >= earliestTimestamp:
		return 1
	case timestamp == maxTimestamp:
		return 7
	case timestamp == earliestLocalTimestamp:
		return 8
	case timestamp == latestTieredTimestamp:
		return 9
	case timestamp == earliestPendingUpload:
		return 11
	default:
		return math.MaxInt16 // none
	}
}

func failListOffsets(r *wire.Request, code wire.Code, _ string) kmsg.Response {
	req, resp := r.Body.(*kmsg.ListOffsetsRequest), response[*kmsg.ListOffsetsResponse](r)
	for i := range req.Topics {
		t := kmsg.NewListOffsetsResponseTopic()
		t.Topic = req.Topics[i].Topic
		for j := range req.Topics[i].Partitions {
			p := kmsg.NewListOffsetsResponseTopicPartition()
			p.Partition, p.ErrorCode = req.Topics[i].Partitions[j].Partition, int16(code)
			t.Partitions = append(t.Partitions, p)
		}
		resp.Topics = append(resp.Topics, t)
	}
	return resp
}

func aboutListOffsets(_ Catalogue, r *wire.Request) Subjects {
	req := r.Body.(*kmsg.ListOffsetsRequest)
	return Subjects{
		Topics: eachOf(req.Topics, func(t *kmsg.ListOffsetsRequestTopic) TopicSubject {
			indexes := eachOf(t.Partitions, func(p *kmsg.ListOffsetsRequestTopicPartition) int32 { return p.Partition })
			return TopicSubject{Name: t.Topic, Partitions: indexes}
		}),
	}
}
