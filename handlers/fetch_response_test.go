package handlers

import (
	"bytes"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/log"
)

// TestFetchResponseIsEncodedAsKmsgDoes compares our own layout, in every version, with that of kmsg for
// a response without records, where the two must be equal byte for byte.
func TestFetchResponseIsEncodedAsKmsgDoes(t *testing.T) {
	for version := int16(4); version <= 18; version++ {
		for name, fill := range map[string]func(*kmsg.FetchResponse){
			"empty":   func(*kmsg.FetchResponse) {},
			"session": func(r *kmsg.FetchResponse) { r.SessionID, r.ErrorCode = 77, 70 },
			"partitions": func(r *kmsg.FetchResponse) {
				for i := range 2 {
					topic := kmsg.NewFetchResponseTopic()
					topic.Topic, topic.TopicID = "orders", [16]byte{byte(i + 1)}
					for j := range 3 {
						p := kmsg.NewFetchResponseTopicPartition()
						p.Partition, p.HighWatermark, p.LastStableOffset, p.LogStartOffset = int32(j), 1<<40, 12, 3
						p.ErrorCode, p.RecordBatches = int16(j), []byte{}
						if j == 1 {
							p.AbortedTransactions = []kmsg.FetchResponseTopicPartitionAbortedTransaction{{ProducerID: 5, FirstOffset: 9},
								{ProducerID: 6, FirstOffset: 10}}
						}
						if j == 2 && version >= 12 {
							p.DivergingEpoch.Epoch, p.DivergingEpoch.EndOffset = 4, 99
						}
						topic.Partitions = append(topic.Partitions, p)
					}
					r.Topics = append(r.Topics, topic)
				}
			},
		} {
			r := kmsg.NewPtrFetchResponse()
			r.Version = version
			fill(r)
			want := r.AppendTo(nil)
			ours := &fetchResponse{FetchResponse: r}
			for i := range r.Topics {
				ours.slices = append(ours.slices, make([]log.Slice, len(r.Topics[i].Partitions))...)
			}
			if size := ours.SizeBytes(); size != len(want) || !bytes.Equal(ours.head, want) {
				t.Errorf("v%d %s:\n got % x\nwant % x", version, name, ours.head, want)
			}
		}
	}
}
