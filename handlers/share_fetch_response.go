package handlers

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"once/wire"
)

// shareFetchResponse is a ShareFetchResponse whose records never pass through this process, like fetchResponse.
type shareFetchResponse struct {
	*kmsg.ShareFetchResponse
	withRecords
}

var _ wire.Streamed = (*shareFetchResponse)(nil)

// SizeBytes implements wire.Streamed.
func (r *shareFetchResponse) SizeBytes() int {
	if r.head == nil {
		r.encode()
	}
	return r.sizeBytes()
}

// SetThrottle sets the throttle time, also after SizeBytes.
func (r *shareFetchResponse) SetThrottle(millis int32) {
	r.ShareFetchResponse.SetThrottle(millis)
	r.forget()
}

func (r *shareFetchResponse) encode() {
	e := r.newHead(true)
	e.int32(r.ThrottleMillis)
	e.int16(r.ErrorCode)
	e.nullableString(r.ErrorMessage)
	e.int32(r.AcquisitionLockTimeoutMillis)
	e.length(len(r.Topics))
	next := 0
	for i := range r.Topics {
		t := &r.Topics[i]
		e.b = append(e.b, t.TopicID[:]...)
		e.length(len(t.Partitions))
		for j := range t.Partitions {
			r.encodePartition(e, &t.Partitions[j], r.slices[next].SizeBytes())
			next++
		}
		e.noTags()
	}
	e.length(len(r.NodeEndpoints))
	for i := range r.NodeEndpoints {
		n := &r.NodeEndpoints[i]
		e.int32(n.NodeID)
		e.string(n.Host)
		e.int32(n.Port)
		e.nullableString(n.Rack)
		e.noTags()
	}
	e.noTags()
	r.head = e.b
}

func (r *shareFetchResponse) encodePartition(e *encoder, p *kmsg.ShareFetchResponseTopicPartition, recordBytes int) {
	e.int32(p.Partition)
	e.int16(p.ErrorCode)
	e.nullableString(p.ErrorMessage)
	e.int16(p.AcknowledgeErrorCode)
	e.nullableString(p.AcknowledgeErrorMessage)
	e.int32(p.CurrentLeader.LeaderID)
	e.int32(p.CurrentLeader.LeaderEpoch)
	e.noTags()
	r.cut(e, recordBytes)
	e.length(len(p.AcquiredRecords))
	for i := range p.AcquiredRecords {
		a := &p.AcquiredRecords[i]
		e.int64(a.FirstOffset)
		e.int64(a.LastOffset)
		e.int16(a.DeliveryCount)
		e.noTags()
	}
	e.noTags()
}
