package broker_test

import (
	"fmt"
	"strings"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/log/batch"
)

// part is what a Produce request carries for one partition; nil records are null.
type part struct {
	topic   string
	index   int32
	records []byte
}

// plainBatch is a good batch of one record, without a producer.
func plainBatch(value string) []byte {
	return batch.Build(batch.BuildOptions{ProducerID: -1, ProducerEpoch: -1, BaseSequence: -1, TimestampMs: time.Now().UnixMilli(), LeaderEpoch: -1},
		batch.Record{Key: []byte("k"), Value: []byte(value)})
}

// produceTo sends one Produce request and returns the code of each partition, or closed.
func (h *hostile) produceTo(version, acks int16, id *string, parts ...part) string {
	h.t.Helper()
	r := kmsg.NewPtrProduceRequest()
	r.Version, r.Acks, r.TimeoutMillis, r.TransactionID = version, acks, 10_000, id
	for _, p := range parts {
		t := kmsg.NewProduceRequestTopic()
		t.Topic, t.TopicID = p.topic+h.suffix, h.topicIDs[p.topic+h.suffix]
		if strings.HasPrefix(p.topic, "__") || strings.HasPrefix(p.topic, "no ") {
			t.Topic = p.topic
		}
		t.Partitions = []kmsg.ProduceRequestTopicPartition{{Partition: p.index, Records: p.records}}
		r.Topics = append(r.Topics, t)
		h.sent += len(p.records)
	}
	answer := h.ask(r)
	if answer == nil {
		return closed
	}
	var out []string
	for _, t := range answer.(*kmsg.ProduceResponse).Topics {
		for _, p := range t.Partitions {
			out = append(out, fmt.Sprintf("%s-%d %s", h.plainName(t.Topic), p.Partition, code(p.ErrorCode)))
		}
	}
	return strings.Join(out, ", ")
}
