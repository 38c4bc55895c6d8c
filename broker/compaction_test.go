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
	"once/log/batch"
)

// compactedTopic is a client of a broker with a compacted topic of small segments.
type compactedTopic struct {
	*peer
	producerID    int64
	producerEpoch int16
	sequence      int32
	want          map[string]string // the newest committed value of each key
	commits       int
}

const compactedName = "compacted"

func (c *compactedTopic) restart() {
	c.hangUp()
	if c.own != nil {
		if err := c.own.Close(); err != nil {
			c.t.Fatal(err)
		}
	}
	c.own = brokertest.Start(c.t, brokertest.WithDataDir(c.dir), brokertest.WithSettings(c.t, map[string]string{
		"log.cleaner.backoff.ms": "20", "flush.interval.ms": "20", "log.retention.check.interval.ms": "20",
		"offsets.topic.num.partitions": "1", "offsets.topic.segment.bytes": "1048576", "log.cleaner.min.cleanable.ratio": "0.1",
	}))
	c.addr = c.own.Addr()
}

func (c *compactedTopic) create(name string, configs map[string]string) {
	r := kmsg.NewPtrCreateTopicsRequest()
	r.Version = 7
	t := kmsg.NewCreateTopicsRequestTopic()
	t.Topic, t.NumPartitions, t.ReplicationFactor = name, 1, 1
	for k, v := range configs {
		t.Configs = append(t.Configs, kmsg.CreateTopicsRequestTopicConfig{Name: k, Value: &v})
	}
	r.Topics = append(r.Topics, t)
	if resp := c.ask(r).(*kmsg.CreateTopicsResponse); resp.Topics[0].ErrorCode != 0 {
		c.t.Fatal(code(resp.Topics[0].ErrorCode))
	}
}

func (c *compactedTopic) begin() {
	id := "compaction"
	r := kmsg.NewPtrInitProducerIDRequest()
	r.Version, r.TransactionalID, r.TransactionTimeoutMillis, r.ProducerID, r.ProducerEpoch = 5, &id, 60_000, -1, -1
	resp := c.ask(r).(*kmsg.InitProducerIDResponse)
	if resp.ErrorCode != 0 {
		c.t.Fatal(code(resp.ErrorCode))
	}
	c.producerID, c.producerEpoch, c.sequence = resp.ProducerID, resp.ProducerEpoch, 0
}

// send appends a batch, as part of the transaction if there is to be one.
func (c *compactedTopic) send(topic string, transactional bool, records ...batch.Record) int16 {
	for i := range records {
		records[i].OffsetDelta = int32(i)
	}
	o := batch.BuildOptions{ProducerID: -1, ProducerEpoch: -1, BaseSequence: -1, TimestampMs: time.Now().UnixMilli(), LeaderEpoch: -1}
	r := kmsg.NewPtrProduceRequest()
	r.Version, r.Acks, r.TimeoutMillis = 12, -1, 10_000
	if transactional {
		o.ProducerID, o.ProducerEpoch, o.BaseSequence, o.Transactional = c.producerID, c.producerEpoch, c.sequence, true
		c.sequence += int32(len(records))
		id := "compaction"
		r.TransactionID = &id
	}
	return c.produceRequest(r, topic, batch.Build(o, records...))
}

// produce appends a batch as it is.
func (c *compactedTopic) produce(topic string, raw []byte) int16 {
	r := kmsg.NewPtrProduceRequest()
	r.Version, r.Acks, r.TimeoutMillis = 12, -1, 10_000
	return c.produceRequest(r, topic, raw)
}

func (c *compactedTopic) produceRequest(r *kmsg.ProduceRequest, topic string, raw []byte) int16 {
	t := kmsg.NewProduceRequestTopic()
	t.Topic = topic
	t.Partitions = []kmsg.ProduceRequestTopicPartition{{Records: raw}}
	r.Topics = append(r.Topics, t)
	return c.ask(r).(*kmsg.ProduceResponse).Topics[0].Partitions[0].ErrorCode
}

func (c *compactedTopic) end(commit bool) {
	r := kmsg.NewPtrEndTxnRequest()
	r.Version, r.TransactionalID, r.ProducerID, r.ProducerEpoch, r.Commit = 5, "compaction", c.producerID, c.producerEpoch, commit
	resp := c.ask(r).(*kmsg.EndTxnResponse)
	if resp.ErrorCode != 0 {
		c.t.Fatal(code(resp.ErrorCode))
	}
	c.producerID, c.producerEpoch, c.sequence = resp.ProducerID, resp.ProducerEpoch, 0
}

// round writes 20 keys four times: plainly, in a transaction that commits, in one that aborts, and half
// of them as tombstones. Together that is a segment.
func (c *compactedTopic) round(n int) {
	body := strings.Repeat("x", 16<<10)
	for i := range 20 {
		key, value := fmt.Sprint("key", i), fmt.Sprint("round ", n, body)
		record := func(value string) batch.Record { return batch.Record{Key: []byte(key), Value: []byte(value)} }
		tombstone := batch.Record{Key: []byte(key)}
		c.must(c.send(compactedName, false, record("plain "+value)))
		c.must(c.send(compactedName, true, record(value)))
		c.end(true)
		c.want[key] = value
		if i%2 == n%2 {
			c.must(c.send(compactedName, false, tombstone))
			delete(c.want, key)
		}
		c.must(c.send(compactedName, true, record("aborted "+value)))
		c.end(false)
	}
}

func (c *compactedTopic) must(errorCode int16) {
	c.t.Helper()
	if errorCode != 0 {
		c.t.Fatal(code(errorCode))
	}
}

// commit commits offsets of a group until they fill a segment of their topic.
func (c *compactedTopic) commit() {
	for range 300 {
		c.commits++
		r := kmsg.NewPtrOffsetCommitRequest()
		r.Version, r.Group, r.Generation = 8, "compaction", -1
		rp := kmsg.NewOffsetCommitRequestTopicPartition()
		rp.Offset, rp.Metadata = int64(c.commits), kmsg.StringPtr(strings.Repeat("m", 4096))
		r.Topics = []kmsg.OffsetCommitRequestTopic{{Topic: compactedName, Partitions: []kmsg.OffsetCommitRequestTopicPartition{rp}}}
		c.must(c.ask(r).(*kmsg.OffsetCommitResponse).Topics[0].Partitions[0].ErrorCode)
	}
}

// check reads everything that is committed, over the wire.
func (c *compactedTopic) check(when string) {
	c.t.Helper()
	got := map[string]string{}
	for at, end := int64(0), int64(1); at < end; {
		r := kmsg.NewPtrFetchRequest()
		r.Version, r.ReplicaID, r.MaxBytes, r.SessionEpoch, r.IsolationLevel = 12, -1, 1<<20, -1, 1
		p := kmsg.NewFetchRequestTopicPartition()
		p.FetchOffset, p.PartitionMaxBytes = at, 100<<10
		r.Topics = []kmsg.FetchRequestTopic{{Topic: compactedName, Partitions: []kmsg.FetchRequestTopicPartition{p}}}
		answer := c.ask(r).(*kmsg.FetchResponse).Topics[0].Partitions[0]
		c.must(answer.ErrorCode)
		end = answer.LastStableOffset
		before := at
		at = readNewest(c.t, answer, got, at)
		if at == before && at < end {
			c.t.Fatalf("%s: nothing to read at %d, below %d", when, at, end)
		}
	}
	if !maps.Equal(got, c.want) {
		c.t.Fatalf("%s: read keys %v, want %v", when, slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(c.want)))
	}
	r := kmsg.NewPtrOffsetFetchRequest()
	r.Version = 8
	g := kmsg.NewOffsetFetchRequestGroup()
	g.Group, g.Topics = "compaction", []kmsg.OffsetFetchRequestGroupTopic{{Topic: compactedName, Partitions: []int32{0}}}
	r.Groups = append(r.Groups, g)
	if offset := c.ask(r).(*kmsg.OffsetFetchResponse).Groups[0].Topics[0].Partitions[0].Offset; offset != int64(c.commits) {
		c.t.Fatalf("%s: offset %d is committed, want %d", when, offset, c.commits)
	}
}

// readNewest puts the committed values of an answer where the older ones of their keys are. It returns the offset to
// go on at.
func readNewest(t *testing.T, answer kmsg.FetchResponseTopicPartition, got map[string]string, at int64) int64 {
	t.Helper()
	aborted := map[int64]bool{}
	for raw := answer.RecordBatches; len(raw) > 0; {
		h, err := batch.ParseHeader(raw)
		if err != nil || h.SizeBytes() > len(raw) {
			break
		}
		one := raw[:h.SizeBytes()]
		raw, at = raw[len(one):], h.NextOffset()
		for _, a := range answer.AbortedTransactions {
			if a.FirstOffset <= h.LastOffset() && a.FirstOffset >= 0 {
				aborted[a.ProducerID] = true
			}
		}
		answer.AbortedTransactions = slices.DeleteFunc(answer.AbortedTransactions, func(a kmsg.FetchResponseTopicPartitionAbortedTransaction) bool {
			return a.FirstOffset <= h.LastOffset()
		})
		if h.IsControl() {
			if m, ok, _ := batch.ParseMarker(one); ok && m.Type == batch.Abort {
				delete(aborted, h.ProducerID)
			}
			continue
		}
		if aborted[h.ProducerID] {
			continue
		}
		for r, err := range batch.Records(one, 1<<20) {
			if err != nil {
				t.Fatal(err)
			}
			if r.Value == nil {
				delete(got, string(r.Key))
			} else {
				got[string(r.Key)] = string(r.Value)
			}
		}
	}
	return at
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

func (c *compactedTopic) await(what string, done func() bool) {
	c.t.Helper()
	await(c.t, what, done)
}

func await(t *testing.T, what string, done func() bool) {
	t.Helper()
	deadline, tick := time.NewTimer(20*time.Second), time.NewTicker(10*time.Millisecond)
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
	c := &compactedTopic{peer: &peer{t: t, dir: t.TempDir()}, want: map[string]string{}}
	c.forget()
	c.restart()
	t.Cleanup(c.hangUp)
	c.create(compactedName, map[string]string{"cleanup.policy": "compact", "segment.bytes": "1048576", "delete.retention.ms": "100"})
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
	c.await("the topic to be compacted", func() bool { size, _ := sizeOf(c.own, compactedName); return size < twoSegments })
	c.await("the offsets to be compacted", func() bool { size, _ := sizeOf(c.own, "__consumer_offsets"); return size < twoSegments })
	c.check("compacted")
	c.restart()
	c.check("compacted and restarted")
}

// Retention takes the segments of a topic that is not compacted, the last one too, and settings act while
// the broker runs.
func TestBrokerDeletesOldSegments(t *testing.T) {
	c := &compactedTopic{peer: &peer{t: t, dir: t.TempDir()}}
	c.forget()
	c.restart()
	t.Cleanup(c.hangUp)
	c.create("old", map[string]string{"segment.bytes": "1048576"})
	for range 30 {
		c.must(c.send("old", false, batch.Record{Key: []byte("k"), Value: make([]byte, 100<<10)}))
	}
	set := func(name, value string) {
		r := kmsg.NewPtrIncrementalAlterConfigsRequest()
		rr := kmsg.NewIncrementalAlterConfigsRequestResource()
		rr.ResourceType, rr.ResourceName = kmsg.ConfigResourceTypeTopic, "old"
		rr.Configs = []kmsg.IncrementalAlterConfigsRequestResourceConfig{{Name: name, Value: &value}}
		r.Resources = append(r.Resources, rr)
		c.must(c.ask(r).(*kmsg.IncrementalAlterConfigsResponse).Resources[0].ErrorCode)
	}
	if size, start := sizeOf(c.own, "old"); start != 0 || size < 30*100<<10 {
		t.Fatal(size, start)
	}
	set("retention.bytes", "1500000")
	c.await("retention by size", func() bool { size, start := sizeOf(c.own, "old"); return start > 0 && size < 3<<20 })
	if size, _ := sizeOf(c.own, "old"); size < 1_500_000 {
		t.Fatalf("%d bytes are left", size)
	}
	set("retention.ms", "1")
	c.await("retention by time", func() bool { size, start := sizeOf(c.own, "old"); return start == 30 && size == 0 })
}
