package broker_test

import (
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/internal/kafkatest"
	"once/log/batch"
)

// The topic ID of an offset that a transaction committed outlives compaction and a restart (kafka-4.4 K44-20).
func TestTopicIDsOfTransactionalOffsetsOutliveCompaction(t *testing.T) {
	c := &compactedTopic{t: t, dir: t.TempDir(), want: map[string]string{}}
	c.restart()
	created := c.Answer(kafkatest.CreateTopicsRequest(compactedName, 1, nil)).(*kmsg.CreateTopicsResponse)
	topicID := created.Topics[0].TopicID
	c.begin()
	r := c.producer.TxnOffsetCommitRequest("g", "", 0, 7)
	r.Version, r.Topics[0].TopicID = 6, topicID
	if err := c.StageOffsets(c.producer, r); err != nil {
		t.Fatal(err)
	}
	if err := c.End(c.producer, true); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		c.commit() // fills a segment
	}
	const twoSegments = 5 << 19
	await(t, "the offsets to be compacted", func() bool {
		size,
			_ := sizeOf(c.own, "__consumer_offsets")
		return size < twoSegments
	})
	c.restart()
	if got := storedTopicID(t, c.Client, "g"); got != topicID {
		t.Errorf("stored is topic ID %x, want %x", got, topicID)
	}
	fetch := kafkatest.OffsetFetchRequest("g", "", 0, true)
	fetch.Version, fetch.Groups[0].Topics[0].TopicID = 10, topicID
	got := c.Answer(fetch).(*kmsg.OffsetFetchResponse).Groups[0].Topics[0].Partitions[0]
	if got.Offset != 7 || got.ErrorCode != 0 {
		t.Errorf("offset %d, %s", got.Offset, code(got.ErrorCode))
	}
}

// storedTopicID returns the topic ID in the first record of a group's offset; zero when there is none.
func storedTopicID(t *testing.T, c *kafkatest.Client, group string) [16]byte {
	t.Helper()
	got := c.Answer(kafkatest.FetchRequest("__consumer_offsets", 0, 0, false)).(*kmsg.FetchResponse)
	for raw := got.Topics[0].Partitions[0].RecordBatches; len(raw) > 0; {
		h, err := batch.ParseHeader(raw)
		if err != nil {
			t.Fatal(err)
		}
		for record, err := range batch.Records(raw[:h.SizeBytes()], 1<<20) {
			if err != nil {
				t.Fatal(err)
			}
			var k kmsg.OffsetCommitKey
			var v kmsg.OffsetCommitValue
			if !h.IsControl() && k.ReadFrom(record.Key) == nil && k.Group == group && v.ReadFrom(record.Value) == nil {
				return v.TopicID
			}
		}
		raw = raw[h.SizeBytes():]
	}
	return [16]byte{}
}
