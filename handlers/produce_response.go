package handlers

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"once/wire"
)

// produceResponse is a ProduceResponse that encodes itself: kmsg compares a tagged struct of each partition by
// reflection, which costs more than the append. There are no tagged fields, because one broker has no other leader to
// name.
type produceResponse struct{ *kmsg.ProduceResponse }

// AppendTo implements kmsg.Response (spec: wire-schemas 0).
func (r produceResponse) AppendTo(dst []byte) []byte {
	version := r.Version
	e := &encoder{b: dst, flexible: version >= 9}
	e.length(len(r.Topics))
	for i := range r.Topics {
		t := &r.Topics[i]
		e.topic(version, t.Topic, t.TopicID)
		e.length(len(t.Partitions))
		for j := range t.Partitions {
			r.appendPartition(e, &t.Partitions[j])
		}
		e.noTags()
	}
	e.int32(r.ThrottleMillis)
	e.noTags()
	return e.b
}

func (r produceResponse) appendPartition(e *encoder, p *kmsg.ProduceResponseTopicPartition) {
	version := r.Version
	e.int32(p.Partition)
	e.int16(p.ErrorCode)
	e.int64(p.BaseOffset)
	e.int64(p.LogAppendTime)
	if version >= 5 {
		e.int64(p.LogStartOffset)
	}
	if version >= 8 {
		e.length(len(p.ErrorRecords))
		for i := range p.ErrorRecords {
			e.int32(p.ErrorRecords[i].RelativeOffset)
			e.nullableString(p.ErrorRecords[i].ErrorMessage)
			e.noTags()
		}
		e.nullableString(p.ErrorMessage)
	}
	e.noTags()
}

// failProduce answers each partition once. A request with acks=0 gets no answer.
func failProduce(r *wire.Request, code wire.Code, message string) kmsg.Response {
	req, resp := r.Body.(*kmsg.ProduceRequest), response[*kmsg.ProduceResponse](r)
	if req.Acks == 0 {
		return nil
	}
	asked := mergeProduced(req.Topics)
	for i := range asked {
		t := kmsg.NewProduceResponseTopic()
		t.Topic, t.TopicID = asked[i].Topic, asked[i].TopicID
		for j := range asked[i].Partitions {
			p := kmsg.NewProduceResponseTopicPartition()
			p.Partition = asked[i].Partitions[j].Partition
			p.ErrorCode, p.ErrorMessage = int16(code), messageOrNull(message)
			p.BaseOffset, p.LogAppendTime, p.LogStartOffset = -1, -1, -1
			t.Partitions = append(t.Partitions, p)
		}
		resp.Topics = append(resp.Topics, t)
	}
	return produceResponse{resp}
}
