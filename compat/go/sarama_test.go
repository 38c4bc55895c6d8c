package compat

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/IBM/sarama"
)

// saramaVersions are the protocol versions that its users commonly configure.
var saramaVersions = map[string]sarama.KafkaVersion{"V0_11": sarama.V0_11_0_0, "default": sarama.DefaultVersion,
	"max": sarama.MaxVersion}

func saramaConfig(version sarama.KafkaVersion) *sarama.Config {
	c := sarama.NewConfig()
	c.Version = version
	c.Producer.Return.Successes = true
	c.Producer.Return.Errors = true
	c.Producer.RequiredAcks = sarama.WaitForAll
	c.Consumer.Offsets.Initial = sarama.OffsetOldest
	c.Consumer.Group.Heartbeat.Interval = 200 * time.Millisecond
	c.Consumer.MaxWaitTime = 200 * time.Millisecond
	c.Metadata.Retry.Backoff = 50 * time.Millisecond
	return c
}

func eachSaramaVersion(t *testing.T, test func(t *testing.T, version sarama.KafkaVersion)) {
	for name, version := range saramaVersions {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, version)
		})
	}
}

func closeAfter(t *testing.T, c interface{ Close() error }) {
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
}

// saramaRead reads n messages of partition 0.
func saramaRead(t *testing.T, c *sarama.Config, topic string, n int) []*sarama.ConsumerMessage {
	t.Helper()
	consumer, err := sarama.NewConsumer([]string{address}, c)
	must(t, err)
	closeAfter(t, consumer)
	part, err := consumer.ConsumePartition(topic, 0, sarama.OffsetOldest)
	must(t, err)
	closeAfter(t, part)
	ctx := within(t)
	var got []*sarama.ConsumerMessage
	for len(got) < n {
		select {
		case m := <-part.Messages():
			got = append(got, m)
		case <-ctx.Done():
			t.Fatalf("%d of %d messages", len(got), n)
		}
	}
	return got
}

func TestSaramaRoundTripOfEachCodec(t *testing.T) {
	eachSaramaVersion(t, func(t *testing.T, version sarama.KafkaVersion) {
		for _, codec := range []sarama.CompressionCodec{sarama.CompressionNone, sarama.CompressionGZIP,
			sarama.CompressionSnappy, sarama.CompressionLZ4, sarama.CompressionZSTD} {
			if codec == sarama.CompressionZSTD && !version.IsAtLeast(sarama.V2_1_0_0) {
				continue // the client itself refuses it
			}
			topic, c := newTopic(t, 1), saramaConfig(version)
			c.Producer.Compression = codec
			producer, err := sarama.NewSyncProducer([]string{address}, c)
			must(t, err)
			closeAfter(t, producer)
			var messages []*sarama.ProducerMessage
			for i := range 50 {
				messages = append(messages, &sarama.ProducerMessage{Topic: topic, Key: sarama.StringEncoder(fmt.Sprint("key", i)),
					Value:   sarama.StringEncoder(fmt.Sprint("value", i)),
					Headers: []sarama.RecordHeader{{Key: []byte("h"), Value: fmt.Append(nil, i)}}})
			}
			must(t, producer.SendMessages(messages))
			for i, m := range saramaRead(t, c, topic, 50) {
				if m.Offset != int64(i) || string(m.Key) != fmt.Sprint("key", i) || string(m.Value) != fmt.Sprint("value", i) ||
					len(m.Headers) != 1 || string(m.Headers[0].Value) != fmt.Sprint(i) {
					t.Fatalf("%s: message %d is %+v", codec, i, m)
				}
			}
		}
	})
}

func TestSaramaIdempotentProducer(t *testing.T) {
	eachSaramaVersion(t, func(t *testing.T, version sarama.KafkaVersion) {
		topic, c := newTopic(t, 1), saramaConfig(version)
		c.Producer.Idempotent = true
		c.Net.MaxOpenRequests = 1
		producer, err := sarama.NewAsyncProducer([]string{address}, c)
		must(t, err)
		const n = 500
		go func() { // ends when all are sent
			for i := range n {
				producer.Input() <- &sarama.ProducerMessage{Topic: topic, Value: sarama.StringEncoder(fmt.Sprint(i))}
			}
		}()
		for range n {
			select {
			case <-producer.Successes():
			case err := <-producer.Errors():
				t.Fatal(err)
			}
		}
		must(t, producer.Close())
		for i, m := range saramaRead(t, c, topic, n) {
			if string(m.Value) != fmt.Sprint(i) {
				t.Fatalf("message %d is %q", i, m.Value)
			}
		}
	})
}

// groupHandler counts what it gets and marks it.
type groupHandler struct {
	mu     sync.Mutex
	seen   map[string]int
	claims int
}

func (h *groupHandler) Setup(s sarama.ConsumerGroupSession) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.claims = 0
	for _, parts := range s.Claims() {
		h.claims += len(parts)
	}
	return nil
}
func (h *groupHandler) Cleanup(sarama.ConsumerGroupSession) error { return nil }
func (h *groupHandler) ConsumeClaim(s sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim) error {
	for {
		select {
		case m, ok := <-claim.Messages():
			if !ok {
				return nil
			}
			h.mu.Lock()
			h.seen[string(m.Value)]++
			h.mu.Unlock()
			s.MarkMessage(m, "")
		case <-s.Context().Done():
			return nil
		}
	}
}

func (h *groupHandler) state() (seen, claims int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return len(h.seen), h.claims
}

func TestSaramaConsumerGroupSharesAndResumes(t *testing.T) {
	eachSaramaVersion(t, func(t *testing.T, version sarama.KafkaVersion) {
		topic, group, c := newTopic(t, 4), unique(t, "group"), saramaConfig(version)
		c.Producer.Partitioner = sarama.NewRoundRobinPartitioner
		producer, err := sarama.NewSyncProducer([]string{address}, c)
		must(t, err)
		closeAfter(t, producer)
		sent := 0
		send := func() {
			for range 40 {
				_, _, err := producer.SendMessage(&sarama.ProducerMessage{Topic: topic,
					Value: sarama.StringEncoder(fmt.Sprint(sent))})
				must(t, err)
				sent++
			}
		}
		member := func() (h *groupHandler, leave func()) {
			h = &groupHandler{seen: map[string]int{}}
			g, err := sarama.NewConsumerGroup([]string{address}, group, c)
			must(t, err)
			ctx, cancel := context.WithCancel(context.Background())
			done := make(chan error, 1)
			go func() {
				for ctx.Err() == nil {
					if err := g.Consume(ctx, []string{topic}, h); err != nil {
						done <- err
						return
					}
				}
				done <- nil
			}()
			var once sync.Once
			leave = func() {
				once.Do(func() {
					cancel()
					if err := <-done; err != nil {
						t.Error(err)
					}
					if err := g.Close(); err != nil {
						t.Error(err)
					}
				})
			}
			t.Cleanup(leave)
			return h, leave
		}
		send()
		a, leaveA := member()
		eventually(t, "a reads all", func() bool { seen, claims := a.state(); return seen == 40 && claims == 4 })
		b, _ := member()
		eventually(t, "a and b share", func() bool {
			_, ofA := a.state()
			_, ofB := b.state()
			return ofA == 2 && ofB == 2
		})
		send()
		eventually(t, "both read all", func() bool { x, _ := a.state(); y, _ := b.state(); return x+y >= 80 })
		leaveA()
		eventually(t, "b owns all", func() bool { _, claims := b.state(); return claims == 4 })
		send()
		eventually(t, "b reads on", func() bool { x, _ := a.state(); y, _ := b.state(); return x+y >= 120 })
		for _, h := range []*groupHandler{a, b} {
			for v, n := range h.seen {
				if n > 1 {
					t.Errorf("message %s was read %d times by one member: its commit was lost", v, n)
				}
			}
		}
	})
}

func TestSaramaTransactions(t *testing.T) {
	eachSaramaVersion(t, func(t *testing.T, version sarama.KafkaVersion) {
		in, out, group, c := newTopic(t, 1), newTopic(t, 1), unique(t, "group"), saramaConfig(version)
		c.Producer.Idempotent = true
		c.Producer.Transaction.ID = unique(t, "txn")
		c.Net.MaxOpenRequests = 1
		c.Consumer.IsolationLevel = sarama.ReadCommitted
		producer, err := sarama.NewSyncProducer([]string{address}, c)
		must(t, err)
		closeAfter(t, producer)
		committed := func() int64 {
			offsets, err := admin(t).FetchOffsets(within(t), group)
			must(t, err)
			if o, ok := offsets.Lookup(in, 0); ok {
				return o.At
			}
			return -1
		}
		want := int64(-1)
		for i := range 9 {
			must(t, producer.BeginTxn())
			for k := range 2 {
				_, _, err := producer.SendMessage(&sarama.ProducerMessage{Topic: out,
					Value: sarama.StringEncoder(fmt.Sprintf("%d-%d", i, k))})
				must(t, err)
			}
			must(t, producer.AddOffsetsToTxn(map[string][]*sarama.PartitionOffsetMetadata{in: {{Partition: 0,
				Offset: int64(i + 1), LeaderEpoch: -1}}}, group))
			if i%3 == 1 {
				must(t, producer.AbortTxn())
			} else {
				must(t, producer.CommitTxn())
				want = int64(i + 1)
			}
			eventually(t, fmt.Sprintf("committed offset %d after transaction %d", want, i),
				func() bool { return committed() == want })
		}
		for j, m := range saramaRead(t, c, out, 12) {
			i := []int{0, 2, 3, 5, 6, 8}[j/2]
			if string(m.Value) != fmt.Sprintf("%d-%d", i, j%2) {
				t.Fatalf("message %d is %s", j, m.Value)
			}
		}
		dirty := saramaConfig(version)
		if got := saramaRead(t, dirty, out, 18); len(got) != 18 {
			t.Errorf("read_uncommitted sees %d", len(got))
		}
	})
}

func TestSaramaFencedProducer(t *testing.T) {
	t.Parallel()
	topic, c := newTopic(t, 1), saramaConfig(sarama.DefaultVersion)
	c.Producer.Idempotent = true
	c.Producer.Transaction.ID = unique(t, "txn")
	c.Producer.Transaction.Retry.Max = 5
	c.Net.MaxOpenRequests = 1
	first, err := sarama.NewSyncProducer([]string{address}, c)
	must(t, err)
	must(t, first.BeginTxn())
	_, _, err = first.SendMessage(&sarama.ProducerMessage{Topic: topic, Value: sarama.StringEncoder("fenced")})
	must(t, err)
	second, err := sarama.NewSyncProducer([]string{address}, c)
	must(t, err)
	closeAfter(t, second)
	if err := first.CommitTxn(); err == nil {
		t.Error("the fenced producer committed")
	}
	_ = first.Close()
	must(t, second.BeginTxn())
	_, _, err = second.SendMessage(&sarama.ProducerMessage{Topic: topic, Value: sarama.StringEncoder("fences")})
	must(t, err)
	must(t, second.CommitTxn())
	c.Consumer.IsolationLevel = sarama.ReadCommitted
	if got := saramaRead(t, c, topic, 1); string(got[0].Value) != "fences" {
		t.Errorf("read_committed %q", got[0].Value)
	}
}

func TestSaramaClusterAdmin(t *testing.T) {
	eachSaramaVersion(t, func(t *testing.T, version sarama.KafkaVersion) {
		if version == sarama.V0_11_0_0 {
			version = sarama.V2_0_0_0 // before, DescribeConfigs is at version 0, which no current broker has
		}
		adm, err := sarama.NewClusterAdmin([]string{address}, saramaConfig(version))
		must(t, err)
		closeAfter(t, adm)
		topic, size := unique(t, "topic"), "1048576"
		must(t, adm.CreateTopic(topic, &sarama.TopicDetail{NumPartitions: 2, ReplicationFactor: 1,
			ConfigEntries: map[string]*string{"segment.bytes": &size}}, false))
		eventually(t, "the topic is listed", func() bool {
			topics, err := adm.ListTopics()
			must(t, err)
			d, ok := topics[topic]
			return ok && d.NumPartitions == 2 && d.ConfigEntries["segment.bytes"] != nil &&
				*d.ConfigEntries["segment.bytes"] == size
		})
		must(t, adm.CreatePartitions(topic, 3, nil, false))
		entries, err := adm.DescribeConfig(sarama.ConfigResource{Type: sarama.TopicResource, Name: topic,
			ConfigNames: []string{"segment.bytes"}})
		must(t, err)
		if len(entries) != 1 || entries[0].Value != size {
			t.Errorf("configurations %+v", entries)
		}
		brokers, controller, err := adm.DescribeCluster()
		must(t, err)
		if len(brokers) != 1 || brokers[0].ID() != controller {
			t.Errorf("brokers %v, controller %d", brokers, controller)
		}
		_, err = adm.ListConsumerGroups()
		must(t, err)
		must(t, adm.DeleteTopic(topic))
	})
}
