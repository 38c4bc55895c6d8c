package handlers

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/durability"
	"once/log/batch"
	"once/txncoordinator"
	"once/wire"
)

// WriteTxnMarkers v1 to v2. v1 flexible, v2 the version of the transaction (KIP-1228). Brokers of a
// cluster send it to each other; here only administrators do, to end a hanging transaction.
func (s *Services) writeTxnMarkers(_ context.Context, r *wire.Request) wire.Reply {
	req, resp := r.Body.(*kmsg.WriteTxnMarkersRequest), response[*kmsg.WriteTxnMarkersResponse](r)
	places := map[int64]int{} // answers are by producer ID: several entries for one are merged
	for i := range req.Markers {
		asked := &req.Markers[i]
		place, ok := places[asked.ProducerID]
		if !ok {
			place = len(resp.Markers)
			places[asked.ProducerID] = place
			m := kmsg.NewWriteTxnMarkersResponseMarker()
			m.ProducerID = asked.ProducerID
			resp.Markers = append(resp.Markers, m)
		}
		answer := &resp.Markers[place]
		answer.Topics = append(answer.Topics, s.writeMarker(asked, r.Version)...)
	}
	for i := range resp.Markers {
		mergeMarked(&resp.Markers[i])
	}
	return s.respondAs(durability.MarkersWritten, resp)
}

// mergeMarked keeps one answer for each partition of a producer.
func mergeMarked(m *kmsg.WriteTxnMarkersResponseMarker) {
	m.Topics = mergeBy(m.Topics,
		func(t *kmsg.WriteTxnMarkersResponseMarkerTopic) string { return t.Topic },
		func(into, more *kmsg.WriteTxnMarkersResponseMarkerTopic) {
			into.Partitions = append(into.Partitions, more.Partitions...)
		})
	for i := range m.Topics {
		m.Topics[i].Partitions = lastOfEach(m.Topics[i].Partitions,
			func(p *kmsg.WriteTxnMarkersResponseMarkerTopicPartition) int32 { return p.Partition })
	}
}

// writeMarker writes one marker to each of its partitions, once for a partition that is named more than once.
func (s *Services) writeMarker(asked *kmsg.WriteTxnMarkersRequestMarker,
	version int16) []kmsg.WriteTxnMarkersResponseMarkerTopic {
	m := batch.Marker{
		ProducerID: asked.ProducerID, ProducerEpoch: asked.ProducerEpoch, Type: batch.Abort,
		CoordinatorEpoch: asked.CoordinatorEpoch, TimestampMs: s.Clock.Now().UnixMilli(),
	}
	if asked.Committed {
		m.Type = batch.Commit
	}
	asked.Topics = mergeBy(asked.Topics,
		func(t *kmsg.WriteTxnMarkersRequestMarkerTopic) string { return t.Topic },
		func(into, more *kmsg.WriteTxnMarkersRequestMarkerTopic) {
			into.Partitions = append(into.Partitions, more.Partitions...)
		})
	// Values below zero make no valid marker: one of producer -1 in a log would look like damage.
	invalid := asked.ProducerID < 0 || asked.ProducerEpoch < 0 || asked.TransactionVersion < 0
	answer := make([]kmsg.WriteTxnMarkersResponseMarkerTopic, 0, len(asked.Topics))
	for i := range asked.Topics {
		asked.Topics[i].Partitions = lastOfEach(asked.Topics[i].Partitions, func(p *int32) int32 { return *p })
		t := kmsg.NewWriteTxnMarkersResponseMarkerTopic()
		t.Topic = asked.Topics[i].Topic
		for _, p := range asked.Topics[i].Partitions {
			if invalid {
				t.Partitions = append(t.Partitions, kmsg.WriteTxnMarkersResponseMarkerTopicPartition{
					Partition: p, ErrorCode: int16(wire.InvalidRequest),
				})
				continue
			}
			err := s.Txns.ApplyMarker(txncoordinator.TopicPartition{Topic: t.Topic, Partition: p}, m,
				int16(asked.TransactionVersion))
			code := codeFor(err, int16(kmsg.WriteTxnMarkers), version)
			switch code { // a group coordinator's words, which the caller would not understand (spec: transactions 11)
			case wire.CoordinatorLoadInProgress, wire.CoordinatorNotAvailable, wire.NotCoordinator:
				code = wire.NotLeaderOrFollower
			}
			t.Partitions = append(t.Partitions, kmsg.WriteTxnMarkersResponseMarkerTopicPartition{Partition: p,
				ErrorCode: int16(code)})
		}
		answer = append(answer, t)
	}
	return answer
}

func failWriteTxnMarkers(r *wire.Request, code wire.Code, _ string) kmsg.Response {
	req, resp := r.Body.(*kmsg.WriteTxnMarkersRequest), response[*kmsg.WriteTxnMarkersResponse](r)
	for i := range req.Markers {
		m := kmsg.NewWriteTxnMarkersResponseMarker()
		m.ProducerID = req.Markers[i].ProducerID
		for j := range req.Markers[i].Topics {
			t := kmsg.NewWriteTxnMarkersResponseMarkerTopic()
			t.Topic = req.Markers[i].Topics[j].Topic
			for _, index := range req.Markers[i].Topics[j].Partitions {
				p := kmsg.NewWriteTxnMarkersResponseMarkerTopicPartition()
				p.Partition, p.ErrorCode = index, int16(code)
				t.Partitions = append(t.Partitions, p)
			}
			m.Topics = append(m.Topics, t)
		}
		mergeMarked(&m)
		resp.Markers = append(resp.Markers, m)
	}
	return resp
}

func aboutWriteTxnMarkers(_ Catalogue, r *wire.Request) (s Subjects) {
	req := r.Body.(*kmsg.WriteTxnMarkersRequest)
	for i := range req.Markers {
		for j := range req.Markers[i].Topics {
			t := &req.Markers[i].Topics[j]
			s.Topics = append(s.Topics, TopicSubject{Name: t.Topic, Partitions: t.Partitions})
		}
	}
	return s
}
