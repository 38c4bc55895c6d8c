package handlers

import (
	"bytes"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// TestProduceResponseIsEncodedAsKmsgDoes compares our own layout with that of kmsg in every version.
func TestProduceResponseIsEncodedAsKmsgDoes(t *testing.T) {
	for version := int16(3); version <= 13; version++ {
		r := kmsg.NewPtrProduceResponse()
		r.Version, r.ThrottleMillis = version, 7
		for i := range 3 {
			topic := kmsg.NewProduceResponseTopic()
			topic.Topic, topic.TopicID = "orders", [16]byte{byte(i + 1), 15: 9}
			for j := range i * 2 {
				p := kmsg.NewProduceResponseTopicPartition()
				p.Partition, p.ErrorCode, p.BaseOffset, p.LogAppendTime, p.LogStartOffset = int32(j), int16(j), 1<<40, 1<<41, 3
				if j == 1 {
					p.ErrorMessage = kmsg.StringPtr("refused")
					p.ErrorRecords = []kmsg.ProduceResponseTopicPartitionErrorRecord{{RelativeOffset: 5,
						ErrorMessage: kmsg.StringPtr("no key")}, {RelativeOffset: 6}}
				}
				topic.Partitions = append(topic.Partitions, p)
			}
			r.Topics = append(r.Topics, topic)
		}
		if got, want := (produceResponse{r}).AppendTo([]byte("head")), r.AppendTo([]byte("head")); !bytes.Equal(got, want) {
			t.Errorf("v%d:\n got % x\nwant % x", version, got, want)
		}
	}
}
