package broker_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/broker/brokertest"
	"once/internal/kafkatest"
	"once/log/batch"
)

// Whoever deletes records because the disk is full does not wait for the next check of retention, which comes thirty
// seconds after a start and then each five minutes. What is too old otherwise waits for it, as in Kafka.
func TestDeleteRecordsFreesSegmentsAtOnce(t *testing.T) {
	dir := t.TempDir()
	b := brokertest.Start(t, brokertest.WithDataDir(dir),
		brokertest.WithSettings(t, map[string]string{"flush.interval.ms": "10"}))
	c := kafkatest.Connect(t, b.Addr())
	c.CreateTopic("x", 1, map[string]string{"segment.bytes": "1048576"})
	c.CreateTopic("old", 1, nil)
	old := batch.Build(batch.BuildOptions{ProducerID: -1, ProducerEpoch: -1, BaseSequence: -1, TimestampMs: 1_000,
		LeaderEpoch: -1},
		batch.Record{Value: []byte("v")})
	c.Append(kafkatest.ProduceRequest("", "old", 0, old))
	files := func() int {
		names, err := filepath.Glob(filepath.Join(dir, "x-0", "*.log"))
		if err != nil {
			t.Fatal(err)
		}
		return len(names)
	}
	for files() < 5 {
		c.Produce(nil, "x", 0, batch.Record{Key: []byte("k"), Value: make([]byte, 300_000)})
	}
	for range 2 { // the second one finds nothing to delete
		c.DeleteRecords("x", 0, -1)
	}
	await(t, "the segments to go", func() bool { return files() == 1 })
	fetch := kmsg.NewPtrListOffsetsRequest()
	fetch.Version, fetch.ReplicaID = 7, -1
	fetch.Topics = []kmsg.ListOffsetsRequestTopic{{Topic: "old",
		Partitions: []kmsg.ListOffsetsRequestTopicPartition{{CurrentLeaderEpoch: -1, Timestamp: -2}}}}
	if got := c.Answer(fetch).(*kmsg.ListOffsetsResponse).Topics[0].Partitions[0].Offset; got != 0 {
		t.Errorf("the records of another topic are gone up to offset %d", got)
	}
	if _, err := os.Stat(filepath.Join(dir, "x-0")); err != nil {
		t.Error(err)
	}
}
