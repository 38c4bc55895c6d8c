package handlers

import (
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/log"
	"once/wire"
)

// fetchResponse is a FetchResponse whose records never pass through this process: kmsg holds all other fields.
type fetchResponse struct {
	*kmsg.FetchResponse
	withRecords
}

var _ wire.Streamed = (*fetchResponse)(nil)

// SizeBytes implements wire.Streamed.
func (r *fetchResponse) SizeBytes() int {
	if r.head == nil {
		r.encode()
	}
	return r.sizeBytes()
}

// SetThrottle sets the throttle time, also after SizeBytes.
func (r *fetchResponse) SetThrottle(millis int32) {
	r.FetchResponse.SetThrottle(millis)
	r.forget()
}

// dropFailed drops the records of partitions that have got an error.
func (r *fetchResponse) dropFailed() {
	next := 0
	for i := range r.Topics {
		for j := range r.Topics[i].Partitions {
			if r.Topics[i].Partitions[j].ErrorCode != 0 {
				r.slices[next].Release()
				r.slices[next] = log.Slice{}
			}
			next++
		}
	}
}

// encode encodes the response in its version (spec: wire-schemas 1).
func (r *fetchResponse) encode() {
	version := r.Version
	e := r.newHead(version >= 12)
	e.int32(r.ThrottleMillis)
	if version >= 7 {
		e.int16(r.ErrorCode)
		e.int32(r.SessionID)
	}
	e.length(len(r.Topics))
	next := 0
	for i := range r.Topics {
		t := &r.Topics[i]
		e.topic(version, t.Topic, t.TopicID)
		e.length(len(t.Partitions))
		for j := range t.Partitions {
			r.encodePartition(e, &t.Partitions[j], r.slices[next].SizeBytes())
			next++
		}
		e.noTags()
	}
	e.noTags()
	r.head = e.b
}

func (r *fetchResponse) encodePartition(e *encoder, p *kmsg.FetchResponseTopicPartition, recordBytes int) {
	version := r.Version
	e.int32(p.Partition)
	e.int16(p.ErrorCode)
	e.int64(p.HighWatermark)
	e.int64(p.LastStableOffset)
	if version >= 5 {
		e.int64(p.LogStartOffset)
	}
	if p.AbortedTransactions == nil {
		e.length(-1)
	} else {
		e.length(len(p.AbortedTransactions))
		e.b = slices.Grow(e.b, len(p.AbortedTransactions)*(8+8+1)) // the last byte for an empty tag buffer
		for i := range p.AbortedTransactions {
			e.int64(p.AbortedTransactions[i].ProducerID)
			e.int64(p.AbortedTransactions[i].FirstOffset)
			e.noTags()
		}
	}
	if version >= 11 {
		e.int32(-1) // preferred read replica
	}
	r.cut(e, recordBytes)
	if !e.flexible {
		return
	}
	if p.DivergingEpoch.Epoch == -1 && p.DivergingEpoch.EndOffset == -1 {
		e.noTags()
		return
	}
	// One tagged field, number 0: the diverging epoch, of 4 + 8 bytes and its own empty tags.
	e.b = append(e.b, 1, 0, 13)
	e.int32(p.DivergingEpoch.Epoch)
	e.int64(p.DivergingEpoch.EndOffset)
	e.noTags()
}

// failFetch has the code at the top from v7 on, and with each partition below v13.
func failFetch(r *wire.Request, code wire.Code, _ string) kmsg.Response {
	req, resp := r.Body.(*kmsg.FetchRequest), response[*kmsg.FetchResponse](r)
	resp.ErrorCode, resp.SessionID = int16(code), req.SessionID
	if r.Version >= 13 {
		return resp
	}
	for i := range req.Topics {
		t := kmsg.NewFetchResponseTopic()
		t.Topic = req.Topics[i].Topic
		for j := range req.Topics[i].Partitions {
			p := kmsg.NewFetchResponseTopicPartition()
			p.Partition, p.ErrorCode = req.Topics[i].Partitions[j].Partition, int16(code)
			p.HighWatermark, p.LastStableOffset, p.LogStartOffset = -1, -1, -1
			p.AbortedTransactions = []kmsg.FetchResponseTopicPartitionAbortedTransaction{}
			p.RecordBatches = []byte{}
			t.Partitions = append(t.Partitions, p)
		}
		resp.Topics = append(resp.Topics, t)
	}
	return resp
}
