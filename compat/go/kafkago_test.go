package compat

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
	"github.com/twmb/franz-go/pkg/kgo"
)

// kafka-go speaks old, fixed versions (JoinGroup v1, OffsetCommit v2, Fetch v2 to v10), which few other
// clients still use.

func kafkaWriter(t *testing.T, topic string) *kafka.Writer {
	w := &kafka.Writer{Addr: kafka.TCP(address), Topic: topic, BatchTimeout: 5 * time.Millisecond,
		RequiredAcks: kafka.RequireAll, Transport: &kafka.Transport{}}
	closeAfter(t, w)
	return w
}

func kafkaReader(t *testing.T, c kafka.ReaderConfig) *kafka.Reader {
	c.Brokers = []string{address}
	c.MaxWait = 200 * time.Millisecond
	c.MinBytes, c.MaxBytes = 1, 1<<20
	c.HeartbeatInterval, c.JoinGroupBackoff = 200*time.Millisecond, 100*time.Millisecond
	c.StartOffset = kafka.FirstOffset
	r := kafka.NewReader(c)
	t.Cleanup(func() { _ = r.Close() })
	return r
}

func TestKafkaGoRoundTripOfEachCodec(t *testing.T) {
	for name, codec := range map[string]kafka.Compression{"none": 0, "gzip": kafka.Gzip, "snappy": kafka.Snappy,
		"lz4": kafka.Lz4, "zstd": kafka.Zstd} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			topic := newTopic(t, 1)
			ctx := within(t)
			w := kafkaWriter(t, topic)
			w.Compression = codec
			var messages []kafka.Message
			for i := range 50 {
				messages = append(messages, kafka.Message{Key: fmt.Append(nil, "key", i), Value: fmt.Append(nil, "value", i),
					Headers: []kafka.Header{{Key: "h", Value: fmt.Append(nil, i)}}})
			}
			must(t, w.WriteMessages(ctx, messages...))
			r := kafkaReader(t, kafka.ReaderConfig{Topic: topic})
			for i := range 50 {
				m, err := r.ReadMessage(ctx)
				must(t, err)
				if m.Offset != int64(i) || string(m.Key) != fmt.Sprint("key", i) || string(m.Value) != fmt.Sprint("value", i) ||
					len(m.Headers) != 1 || string(m.Headers[0].Value) != fmt.Sprint(i) {
					t.Fatalf("message %d is %+v", i, m)
				}
			}
		})
	}
}

// TestKafkaGoStopsAtTheStableOffset: this client asks for read_committed and so is held back by an open
// transaction, but it hides neither markers nor aborted records; those are the client's to filter.
func TestKafkaGoStopsAtTheStableOffset(t *testing.T) {
	t.Parallel()
	topic := newTopic(t, 1)
	ctx := within(t)
	producer := franz(t, kgo.TransactionalID(unique(t, "txn")), kgo.DefaultProduceTopic(topic))
	for _, value := range []string{"first", "second"} {
		must(t, producer.BeginTransaction())
		must(t, producer.ProduceSync(ctx, kgo.StringRecord(value)).FirstErr())
		if value == "first" {
			must(t, producer.EndTransaction(ctx, kgo.TryCommit))
		}
	}
	r := kafkaReader(t, kafka.ReaderConfig{Topic: topic, IsolationLevel: kafka.ReadCommitted})
	next := func(ctx context.Context) (string, error) {
		for {
			m, err := r.ReadMessage(ctx)
			if err != nil || len(m.Key) != 4 || len(m.Value) != 6 { // not a marker
				return string(m.Value), err
			}
		}
	}
	got, err := next(ctx)
	must(t, err)
	if got != "first" {
		t.Fatalf("read %q, want first", got)
	}
	short, cancel := context.WithTimeout(ctx, 500*time.Millisecond)
	defer cancel()
	if got, err := next(short); err == nil {
		t.Fatalf("read %q of an open transaction", got)
	}
	must(t, producer.EndTransaction(ctx, kgo.TryCommit))
	got, err = next(ctx)
	must(t, err)
	if got != "second" {
		t.Fatalf("read %q, want second", got)
	}
}

func TestKafkaGoGroupSharesAndResumes(t *testing.T) {
	t.Parallel()
	topic, group := newTopic(t, 2), unique(t, "group")
	ctx := within(t)
	w := kafkaWriter(t, topic)
	w.Balancer = &kafka.RoundRobin{}
	sent := 0
	write := func() {
		var messages []kafka.Message
		for range 20 {
			messages = append(messages, kafka.Message{Value: fmt.Append(nil, sent)})
			sent++
		}
		must(t, w.WriteMessages(ctx, messages...))
	}
	write()
	config := kafka.ReaderConfig{GroupID: group, Topic: topic}
	seen := map[string]bool{}
	first := kafkaReader(t, config)
	for range 20 {
		m, err := first.FetchMessage(ctx)
		must(t, err)
		seen[string(m.Value)] = true
		must(t, first.CommitMessages(ctx, m))
	}
	must(t, first.Close())
	write()
	got := make(chan kafka.Message)
	readCtx, stop := context.WithCancel(ctx)
	defer stop()
	for range 2 {
		r := kafkaReader(t, config)
		go func() { // ends with readCtx
			for {
				m, err := r.FetchMessage(readCtx)
				if err != nil {
					return
				}
				select {
				case got <- m:
				case <-readCtx.Done():
					return
				}
				_ = r.CommitMessages(readCtx, m)
			}
		}()
	}
	for len(seen) < sent {
		select {
		case m := <-got:
			if n := string(m.Value); seen[n] && len(n) < 2 {
				t.Errorf("message %s came again after its commit", n)
			}
			seen[string(m.Value)] = true
		case <-ctx.Done():
			t.Fatalf("%d of %d messages", len(seen), sent)
		}
	}
	adm := admin(t)
	eventually(t, "all is committed by two members", func() bool {
		described, err := adm.DescribeGroups(ctx, group)
		must(t, err)
		offsets, err := adm.FetchOffsets(ctx, group)
		must(t, err)
		sum := int64(0)
		for p := range int32(2) {
			if o, ok := offsets.Lookup(topic, p); ok {
				sum += o.At
			}
		}
		return sum == int64(sent) && len(described[group].Members) == 2 && described[group].State == "Stable"
	})
}

func TestKafkaGoConsumerGroupGenerations(t *testing.T) {
	t.Parallel()
	topic, group := newTopic(t, 2), unique(t, "group")
	ctx := within(t)
	g, err := kafka.NewConsumerGroup(kafka.ConsumerGroupConfig{ID: group, Brokers: []string{address},
		Topics: []string{topic}, HeartbeatInterval: 200 * time.Millisecond, JoinGroupBackoff: 100 * time.Millisecond})
	must(t, err)
	closeAfter(t, g)
	generation, err := g.Next(ctx)
	must(t, err)
	if parts := generation.Assignments[topic]; len(parts) != 2 {
		t.Fatalf("assigned %v", parts)
	}
	must(t, generation.CommitOffsets(map[string]map[int]int64{topic: {0: 3, 1: 4}}))
	offsets, err := admin(t).FetchOffsets(ctx, group)
	must(t, err)
	for p, want := range []int64{3, 4} {
		if o, ok := offsets.Lookup(topic, int32(p)); !ok || o.At != want {
			t.Errorf("partition %d: committed %d, want %d", p, o.At, want)
		}
	}
}

func TestKafkaGoClientRequests(t *testing.T) {
	t.Parallel()
	ctx, topic := within(t), unique(t, "topic")
	cl := &kafka.Client{Addr: kafka.TCP(address), Transport: &kafka.Transport{}}
	made, err := cl.CreateTopics(ctx, &kafka.CreateTopicsRequest{Topics: []kafka.TopicConfig{{Topic: topic,
		NumPartitions: 2, ReplicationFactor: 1}}})
	must(t, err)
	must(t, made.Errors[topic])
	visible(t, admin(t), topic, 2)
	meta, err := cl.Metadata(ctx, &kafka.MetadataRequest{Topics: []string{topic}})
	must(t, err)
	if len(meta.Topics) != 1 || len(meta.Topics[0].Partitions) != 2 {
		t.Errorf("metadata %+v", meta.Topics)
	}
	produced, err := cl.Produce(ctx, &kafka.ProduceRequest{Topic: topic, Partition: 1, RequiredAcks: kafka.RequireAll,
		Records: kafka.NewRecordReader(kafka.Record{Value: kafka.NewBytes([]byte("x"))})})
	must(t, err)
	if produced.Error != nil || produced.BaseOffset != 0 {
		t.Errorf("produce: %+v", produced)
	}
	listed, err := cl.ListOffsets(ctx,
		&kafka.ListOffsetsRequest{Topics: map[string][]kafka.OffsetRequest{topic: {kafka.FirstOffsetOf(1),
			kafka.LastOffsetOf(1)}}})
	must(t, err)
	if p := listed.Topics[topic]; len(p) != 1 || p[0].Error != nil || p[0].FirstOffset != 0 || p[0].LastOffset != 1 {
		t.Errorf("offsets %+v", p)
	}
	deleted, err := cl.DeleteTopics(ctx, &kafka.DeleteTopicsRequest{Topics: []string{topic}})
	must(t, err)
	must(t, deleted.Errors[topic])
}

// TestKafkaGoTransactionByHand sends the requests of a transaction one by one, in the versions from before
// transactions V2, and must see the codes that Kafka gives to wrong ones.
func TestKafkaGoTransactionByHand(t *testing.T) {
	t.Parallel()
	ctx, topic, group, id := within(t), newTopic(t, 1), unique(t, "group"), unique(t, "txn")
	cl := &kafka.Client{Addr: kafka.TCP(address), Transport: &kafka.Transport{}}
	var pid *kafka.ProducerSession
	eventually(t, "InitProducerId is answered", func() bool {
		resp, err := cl.InitProducerID(ctx, &kafka.InitProducerIDRequest{TransactionalID: id, TransactionTimeoutMs: 30_000})
		must(t, err)
		if resp.Error == nil {
			pid = resp.Producer
		}
		return resp.Error == nil
	})
	add := func(epoch int) error {
		resp, err := cl.AddPartitionsToTxn(ctx, &kafka.AddPartitionsToTxnRequest{TransactionalID: id,
			ProducerID: pid.ProducerID, ProducerEpoch: epoch,
			Topics: map[string][]kafka.AddPartitionToTxn{topic: {{Partition: 0}}}})
		must(t, err)
		return resp.Topics[topic][0].Error
	}
	end := func(commit bool) error {
		resp, err := cl.EndTxn(ctx, &kafka.EndTxnRequest{TransactionalID: id, ProducerID: pid.ProducerID,
			ProducerEpoch: pid.ProducerEpoch, Committed: commit})
		must(t, err)
		return resp.Error
	}
	if err := end(true); err == nil {
		t.Error("commit without a transaction succeeded")
	}
	must(t, add(pid.ProducerEpoch))
	if err := add(pid.ProducerEpoch + 7); err == nil {
		t.Error("a partition was added with an epoch that was never handed out")
	}
	offsets, err := cl.AddOffsetsToTxn(ctx, &kafka.AddOffsetsToTxnRequest{TransactionalID: id, ProducerID: pid.ProducerID,
		ProducerEpoch: pid.ProducerEpoch, GroupID: group})
	must(t, err)
	must(t, offsets.Error)
	staged, err := cl.TxnOffsetCommit(ctx, &kafka.TxnOffsetCommitRequest{TransactionalID: id, GroupID: group,
		ProducerID: pid.ProducerID, ProducerEpoch: pid.ProducerEpoch, GenerationID: -1,
		Topics: map[string][]kafka.TxnOffsetCommit{topic: {{Partition: 0, Offset: 42}}}})
	must(t, err)
	must(t, staged.Topics[topic][0].Error)
	must(t, end(true))
	eventually(t, "the staged offset is committed", func() bool {
		offsets, err := admin(t).FetchOffsets(ctx, group)
		must(t, err)
		o, ok := offsets.Lookup(topic, 0)
		return ok && o.At == 42
	})
	eventually(t, "the same commit again is answered with success", func() bool { return end(true) == nil })
	if err := end(false); !errors.Is(err, kafka.InvalidTransactionState) {
		t.Errorf("abort after the commit: %v, want INVALID_TXN_STATE", err)
	}
}

func TestKafkaGoConnDeadlinesAndApiVersions(t *testing.T) {
	t.Parallel()
	conn, err := kafka.DialContext(within(t), "tcp", address)
	must(t, err)
	closeAfter(t, conn)
	versions, err := conn.ApiVersions()
	must(t, err)
	if len(versions) < 20 {
		t.Errorf("%d APIs", len(versions))
	}
	topic := newTopic(t, 1)
	leader, err := kafka.DialLeader(within(t), "tcp", address, topic, 0)
	must(t, err)
	closeAfter(t, leader)
	_, err = leader.WriteMessages(kafka.Message{Value: []byte(strings.Repeat("x", 1000))})
	must(t, err)
	first, last, err := leader.ReadOffsets()
	must(t, err)
	if first != 0 || last != 1 {
		t.Errorf("offsets %d to %d", first, last)
	}
}
