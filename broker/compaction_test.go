package broker_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/broker/brokertest"
	"once/internal/kafkatest"
	"once/log/batch"
)

// compactedTopic is a broker with a compacted topic of small segments, and a client that writes to it.
type compactedTopic struct {
	*kafkatest.Client
	t        *testing.T
	own      *brokertest.Broker
	dir      string
	producer *kafkatest.Producer
	want     map[string]string // the newest committed value of each key
	commits  int
}

const compactedName = "compacted"

func (c *compactedTopic) restart() {
	c.t.Helper()
	if c.own != nil {
		if err := c.own.Close(); err != nil {
			c.t.Fatal(err)
		}
	}
	c.own = brokertest.Start(c.t, brokertest.WithDataDir(c.dir), brokertest.WithSettings(c.t, map[string]string{
		"log.cleaner.backoff.ms": "20", "flush.interval.ms": "20", "log.retention.check.interval.ms": "20",
		"offsets.topic.num.partitions": "1", "offsets.topic.segment.bytes": "1048576",
		"log.cleaner.min.cleanable.ratio": "0.1",
	}))
	c.Client = kafkatest.Connect(c.t, c.own.Addr())
}

// begin initializes the producer.
func (c *compactedTopic) begin() { c.producer, _ = c.InitProducer("compaction") }

// round writes 20 keys four times: plainly, in a transaction that commits, in one that aborts, and half
// of them as tombstones. Together that is a segment.
func (c *compactedTopic) round(n int) {
	body := strings.Repeat("x", 16<<10)
	for i := range 20 {
		key, value := fmt.Sprint("key", i), fmt.Sprint("round ", n, body)
		c.Produce(nil, compactedName, 0, kafkatest.KeyValue(key, "plain "+value))
		c.Produce(c.producer, compactedName, 0, kafkatest.KeyValue(key, value))
		c.End(c.producer, true)
		c.want[key] = value
		if i%2 == n%2 {
			c.Produce(nil, compactedName, 0, batch.Record{Key: []byte(key)})
			delete(c.want, key)
		}
		c.Produce(c.producer, compactedName, 0, kafkatest.KeyValue(key, "aborted "+value))
		c.End(c.producer, false)
	}
}

// commit commits offsets of a group until they fill a segment of their topic.
func (c *compactedTopic) commit() {
	for range 300 {
		c.commits++
		c.Commit("compaction", compactedName, 0, int64(c.commits), strings.Repeat("m", 4096))
	}
}

// check reads everything that is committed, over the wire and bit by bit.
func (c *compactedTopic) check(when string) {
	c.t.Helper()
	reader := *c.Client
	reader.Ask = func(r kmsg.Request) (kmsg.Response, error) {
		if fetch, ok := r.(*kmsg.FetchRequest); ok {
			fetch.Topics[0].Partitions[0].PartitionMaxBytes = 100 << 10
		}
		return c.Ask(r)
	}
	if got := readNewest(c.t, &reader, compactedName); !maps.Equal(got, c.want) {
		c.t.Fatalf("%s: read keys %v, want %v", when, slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(c.want)))
	}
	if offset, _ := c.Committed("compaction", compactedName, 0); offset != int64(c.commits) {
		c.t.Fatalf("%s: offset %d is committed, want %d", when, offset, c.commits)
	}
}

// readNewest returns the newest committed value of each key of a topic, up to the last stable offset.
func readNewest(t *testing.T, c *kafkatest.Client, topic string) map[string]string {
	t.Helper()
	records, next, err := c.Read(topic, 0, 0, true)
	if err != nil {
		t.Fatal(err)
	}
	if _, stable, err := c.Ends(topic, 0); err != nil || next < stable {
		t.Fatalf("nothing to read at %d, below %d, %v", next, stable, err)
	}
	newest := map[string]string{}
	for _, r := range records {
		switch {
		case r.Aborted:
		case r.Null:
			delete(newest, r.Key)
		default:
			newest[r.Key] = r.Value
		}
	}
	return newest
}

// alterConfig sets a setting of a topic.
func alterConfig(t *testing.T, c *kafkatest.Client, topic, name, value string) {
	t.Helper()
	r := kmsg.NewPtrIncrementalAlterConfigsRequest()
	rr := kmsg.NewIncrementalAlterConfigsRequestResource()
	rr.ResourceType, rr.ResourceName = kmsg.ConfigResourceTypeTopic, topic
	rr.Configs = []kmsg.IncrementalAlterConfigsRequestResourceConfig{{Name: name, Value: &value}}
	r.Resources = append(r.Resources, rr)
	if got := c.Answer(r).(*kmsg.IncrementalAlterConfigsResponse).Resources[0].ErrorCode; got != 0 {
		t.Fatal(code(got))
	}
}

// sizeOf reads how many bytes a partition has.
func sizeOf(b *brokertest.Broker, topic string) (sizeBytes, logStart int64) {
	var text strings.Builder
	b.WriteState(&text)
	_, of, _ := strings.Cut(text.String(), "topic "+topic+" ")
	_, of, _ = strings.Cut(of, "\n")
	line, _, _ := strings.Cut(of, "\n")
	for _, field := range strings.Fields(line) {
		if v, ok := strings.CutPrefix(field, "bytes="); ok {
			_, _ = fmt.Sscan(v, &sizeBytes)
		}
		if v, ok := strings.CutPrefix(field, "log_start="); ok {
			_, _ = fmt.Sscan(v, &logStart)
		}
	}
	return sizeBytes, logStart
}

func await(t *testing.T, what string, done func() bool) {
	t.Helper()
	deadline, tick := time.NewTimer(time.Minute), time.NewTicker(10*time.Millisecond)
	defer deadline.Stop()
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-deadline.C:
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// A broker compacts its topics, the internal ones too, while clients write transactions to them; what
// readers get of each key stays the newest committed value, over restarts.
func TestBrokerCompacts(t *testing.T) {
	c := &compactedTopic{t: t, dir: t.TempDir(), want: map[string]string{}}
	c.restart()
	c.CreateTopic(compactedName, 1, map[string]string{"cleanup.policy": "compact", "segment.bytes": "1048576",
		"delete.retention.ms": "100"})
	c.begin()
	for n := range 4 {
		c.round(n)
		c.commit()
		c.check("while it is written")
		if n == 1 {
			c.restart()
			c.check("after a restart")
			c.begin()
		}
	}
	const twoSegments = 5 << 19
	await(t, "the topic to be compacted", func() bool {
		size,
			_ := sizeOf(c.own, compactedName)
		return size < twoSegments
	})
	await(t, "the offsets to be compacted", func() bool {
		size,
			_ := sizeOf(c.own, "__consumer_offsets")
		return size < twoSegments
	})
	c.check("compacted")
	c.restart()
	c.check("compacted and restarted")
}

// Retention takes the segments of a topic that is not compacted, the last one too, and settings act while
// the broker runs.
func TestBrokerDeletesOldSegments(t *testing.T) {
	c := &compactedTopic{t: t, dir: t.TempDir()}
	c.restart()
	c.CreateTopic("old", 1, map[string]string{"segment.bytes": "1048576"})
	for range 30 {
		c.Produce(nil, "old", 0, batch.Record{Key: []byte("k"), Value: make([]byte, 100<<10)})
	}
	if size, start := sizeOf(c.own, "old"); start != 0 || size < 30*100<<10 {
		t.Fatal(size, start)
	}
	alterConfig(t, c.Client, "old", "retention.bytes", "1500000")
	await(t, "retention by size", func() bool { size, start := sizeOf(c.own, "old"); return start > 0 && size < 3<<20 })
	if size, _ := sizeOf(c.own, "old"); size < 1_500_000 {
		t.Fatalf("%d bytes are left", size)
	}
	alterConfig(t, c.Client, "old", "retention.ms", "1")
	await(t, "retention by time", func() bool { size, start := sizeOf(c.own, "old"); return start == 30 && size == 0 })
}
