package handlers

import "github.com/twmb/franz-go/pkg/kmsg"

// produceResponse is a ProduceResponse that lays itself out: kmsg compares a tagged struct of each partition
// by reflection, which costs more than the append does. Of the tagged fields there are none, because one
// broker has no other leader to name.
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
