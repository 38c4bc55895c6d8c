package handlers

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/topics"
	"once/wire"
)

// DescribeProducers v0: the producer state of a partition (KIP-664).
func (s *Services) describeProducers(_ context.Context, r *wire.Request) wire.Reply {
	req, resp := r.Body.(*kmsg.DescribeProducersRequest), response[*kmsg.DescribeProducersResponse](r)
	named := repeats[fetchKey]{}
	for i := range req.Topics {
		t := kmsg.NewDescribeProducersResponseTopic()
		t.Topic = req.Topics[i].Topic
		for _, index := range req.Topics[i].Partitions {
			if named.tooMany(fetchKey{topic: t.Topic, partition: index}) {
				refused := kmsg.NewDescribeProducersResponseTopicPartition()
				refused.Partition, refused.ErrorCode = index, int16(wire.InvalidRequest)
				t.Partitions = append(t.Partitions, refused)
				continue
			}
			t.Partitions = append(t.Partitions, s.describePartitionProducers(t.Topic, index, r))
		}
		resp.Topics = append(resp.Topics, t)
	}
	return wire.Respond(resp)
}

func (s *Services) describePartitionProducers(topic string, index int32,
	r *wire.Request) kmsg.DescribeProducersResponseTopicPartition {
	rp := kmsg.NewDescribeProducersResponseTopicPartition()
	rp.Partition = index
	rp.ActiveProducers = []kmsg.DescribeProducersResponseTopicPartitionActiveProducer{}
	t, code := s.Catalogue.Topic(topic)
	if code != wire.NoError {
		rp.ErrorCode, rp.ErrorMessage = int16(code), kmsg.StringPtr("no such topic")
		if topics.CheckName(topic) != nil {
			rp.ErrorCode, rp.ErrorMessage = int16(wire.InvalidTopicException), nil
		}
		return rp
	}
	p, code := partitionOf(t, index)
	if code != wire.NoError {
		rp.ErrorCode = int16(code)
		return rp
	}
	producers, err := p.ActiveProducers()
	if err != nil {
		rp.ErrorCode = int16(codeFor(err, r.Key, r.Version))
		return rp
	}
	for _, e := range producers {
		a := kmsg.NewDescribeProducersResponseTopicPartitionActiveProducer()
		a.ProducerID, a.ProducerEpoch, a.LastSequence, a.LastTimestamp = e.ProducerID, int32(e.ProducerEpoch), e.LastSequence,
			e.LastTimestampMs
		a.CoordinatorEpoch, a.CurrentTxnStartOffset = e.CoordinatorEpoch, e.TxnStartOffset
		rp.ActiveProducers = append(rp.ActiveProducers, a)
	}
	return rp
}

func failDescribeProducers(r *wire.Request, code wire.Code, _ string) kmsg.Response {
	req, resp := r.Body.(*kmsg.DescribeProducersRequest), response[*kmsg.DescribeProducersResponse](r)
	for i := range req.Topics {
		t := kmsg.NewDescribeProducersResponseTopic()
		t.Topic = req.Topics[i].Topic
		for _, index := range req.Topics[i].Partitions {
			p := kmsg.NewDescribeProducersResponseTopicPartition()
			p.Partition, p.ErrorCode = index, int16(code)
			t.Partitions = append(t.Partitions, p)
		}
		resp.Topics = append(resp.Topics, t)
	}
	return resp
}

func aboutDescribeProducers(_ Catalogue, r *wire.Request) Subjects {
	req := r.Body.(*kmsg.DescribeProducersRequest)
	return Subjects{
		Topics: eachOf(req.Topics, func(t *kmsg.DescribeProducersRequestTopic) TopicSubject {
			return TopicSubject{Name: t.Topic, Partitions: t.Partitions}
		}),
	}
}
