package compat

import (
	"fmt"
	"math/rand"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"
)

// A compacted topic keeps the newest value of each key when what is kept is several times what a cleaner writes at
// once, in the codec of each producer.
func TestFranzReadsEachKeyOfALargeCompactedTopic(t *testing.T) {
	const keys, again, valueBytes = 3500, 1000, 1500
	for name, codec := range codecs {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			topic := newTopicWith(t, 1, map[string]string{
				"cleanup.policy": "compact", "segment.bytes": "6291456", "min.cleanable.dirty.ratio": "0.01",
			})
			ctx := within(t)
			producer := franz(t, kgo.DefaultProduceTopic(topic),
				kgo.ProducerBatchCompression(codec), kgo.ProducerBatchMaxBytes(200_000))
			dice := rand.New(rand.NewSource(1))
			want := map[string]string{}
			write := func(n int) {
				records := make([]*kgo.Record, n)
				for i := range records {
					value := make([]byte, valueBytes) // does not compress
					_, _ = dice.Read(value)
					records[i] = &kgo.Record{Key: fmt.Appendf(nil, "key-%d", i), Value: value}
					want[string(records[i].Key)] = string(value)
				}
				must(t, producer.ProduceSync(ctx, records...).FirstErr())
			}
			write(keys)
			write(again) // fills the segment, and there is another one
			eventually(t, "the topic is compacted", func() bool {
				fetches := franz(t, kgo.ConsumeTopics(topic), kgo.KeepRetryableFetchErrors()).PollRecords(ctx, 1)
				must(t, fetches.Err())
				first := fetches.Records()
				return len(first) > 0 && first[0].Offset > 0
			})
			got := map[string]string{}
			consumer := franz(t, kgo.ConsumeTopics(topic), kgo.KeepRetryableFetchErrors())
			for last := int64(0); last < keys+again-1; {
				fetches := consumer.PollFetches(ctx)
				must(t, fetches.Err())
				fetches.EachRecord(func(r *kgo.Record) { got[string(r.Key)], last = string(r.Value), r.Offset })
			}
			for key, value := range want {
				if got[key] != value {
					t.Fatalf("%s has %d bytes, which are not what was written last", key, len(got[key]))
				}
			}
			if len(got) != len(want) {
				t.Fatalf("%d keys, want %d", len(got), len(want))
			}
		})
	}
}
