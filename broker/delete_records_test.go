package broker_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/broker/brokertest"
	"once/log/batch"
)

// Whoever deletes records because the disk is full does not wait for the next check of retention: DeleteRecords wakes
// it. Thirty seconds after a start it would come by itself, and after that each five minutes.
func TestDeleteRecordsFreesSegmentsAtOnce(t *testing.T) {
	dir := t.TempDir()
	b := brokertest.Start(t, brokertest.WithDataDir(dir), brokertest.WithSettings(t, map[string]string{"flush.interval.ms": "10"}))
	c := &compactedTopic{peer: &peer{t: t, addr: b.Addr(), own: b}}
	t.Cleanup(c.hangUp)
	c.create("x", map[string]string{"segment.bytes": "1048576"})
	files := func() int {
		names, err := filepath.Glob(filepath.Join(dir, "x-0", "*.log"))
		if err != nil {
			t.Fatal(err)
		}
		return len(names)
	}
	for files() < 5 {
		if got := c.send("x", false, batch.Record{Key: []byte("k"), Value: make([]byte, 300_000)}); got != 0 {
			t.Fatal(code(got))
		}
	}
	for range 2 { // the second call comes while the first one's check may run
		r := kmsg.NewPtrDeleteRecordsRequest()
		r.Version, r.TimeoutMillis = 2, 10_000
		rt := kmsg.NewDeleteRecordsRequestTopic()
		rt.Topic = "x"
		rt.Partitions = []kmsg.DeleteRecordsRequestTopicPartition{{Partition: 0, Offset: -1}}
		r.Topics = append(r.Topics, rt)
		if got := c.ask(r).(*kmsg.DeleteRecordsResponse).Topics[0].Partitions[0]; got.ErrorCode != 0 {
			t.Fatal(code(got.ErrorCode))
		}
	}
	c.await("the segments to go", func() bool { return files() == 1 })
	if _, err := os.Stat(filepath.Join(dir, "x-0")); err != nil {
		t.Error(err)
	}
}
