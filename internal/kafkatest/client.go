package kafkatest

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/log/batch"
)

// Client sends the common requests of tests, one after the other, each about one partition. Other requests go through
// Answer.
type Client struct {
	// Ask sends a request and waits for the answer.
	Ask func(kmsg.Request) (kmsg.Response, error)
	// Fail is called with every error before it is returned, error codes in answers included. It may be nil.
	Fail func(error)
	// TimestampMs is the timestamp of the next batch. Each batch adds StepMs to it.
	TimestampMs, StepMs int64
	// TransactionTimeout is the transaction timeout of new producers; 0 means the longest that Kafka allows.
	TransactionTimeout time.Duration
	// With Gapless, Read refuses gaps between batches, which only compaction leaves.
	Gapless bool
}

// CodeError is an answer with an error code.
type CodeError struct {
	What string
	Code int16
}

func (e *CodeError) Error() string { return fmt.Sprintf("%s: code %d", e.What, e.Code) }

// NewClient returns a client over a connection. Its errors end no test.
func NewClient(c *Conn) *Client {
	return &Client{Ask: c.Request, TimestampMs: time.Now().UnixMilli(), StepMs: 10}
}

// Code returns the code of a CodeError, and 0 for nil. Any other error ends the test.
func Code(t testing.TB, err error) int16 {
	t.Helper()
	var code *CodeError
	if errors.As(err, &code) {
		return code.Code
	}
	if err != nil {
		t.Fatal(err)
	}
	return 0
}

// Quiet returns a client over the same connection whose errors end no test.
func (c *Client) Quiet() *Client {
	quiet := *c
	quiet.Fail = nil
	return &quiet
}

// Connect returns a client of a broker at host:port over a connection of its own, which is closed at the end of the
// test. Its errors end the test.
func Connect(t testing.TB, addr string) *Client {
	t.Helper()
	conn, err := Dial(addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return Must(t, conn)
}

// Must returns a client over a connection. Its errors end the test.
func Must(t testing.TB, conn *Conn) *Client {
	c := NewClient(conn)
	c.Fail = func(err error) { t.Helper(); t.Fatal(err) }
	return c
}

// failed calls Fail, and returns err.
func (c *Client) failed(err error) error {
	if err != nil && c.Fail != nil {
		c.Fail(err)
	}
	return err
}

// ask sends a request and returns an answer of the type that belongs to it; code finds the error in it.
func ask[A kmsg.Response](c *Client, r kmsg.Request, what string, code func(A) int16) (A, error) {
	resp, err := c.Ask(r)
	if err != nil {
		var none A
		return none, c.failed(fmt.Errorf("%s: %w", what, err))
	}
	a := resp.(A)
	if code := code(a); code != 0 {
		return a, c.failed(&CodeError{what, code})
	}
	return a, nil
}

// Answer sends a request and returns the answer, whatever code it has; nil if there is none.
func (c *Client) Answer(r kmsg.Request) kmsg.Response {
	resp, err := c.Ask(r)
	if c.failed(err) != nil {
		return nil
	}
	return resp
}

// CreateTopic creates a topic.
func (c *Client) CreateTopic(name string, partitions int32, configs map[string]string) error {
	_, err := ask(c, CreateTopicsRequest(name, partitions, configs), "creating "+name,
		func(r *kmsg.CreateTopicsResponse) int16 {
			return r.Topics[0].ErrorCode
		})
	return err
}

// Place is a partition.
type Place struct {
	Topic     string
	Partition int32
}

// Producer is a producer's identity and its next sequences; see InitProducer.
type Producer struct {
	TransactionalID string // "" for none
	V1              bool   // uses transactions V1
	ProducerID      int64
	ProducerEpoch   int16
	Sequences       map[Place]int32 // the next ones
}

// The codes after which a client tries again.
const (
	coordinatorLoadInProgress = 14
	concurrentTransactions    = 51
)

// InitProducer returns a new producer of transactions V2, or with "" one that is only idempotent. It tries again while
// the last transaction of the ID is being completed, or the coordinator loads.
func (c *Client) InitProducer(transactionalID string) (*Producer, error) {
	request := InitProducerIDRequest(transactionalID)
	if c.TransactionTimeout > 0 {
		request.TransactionTimeoutMillis = int32(c.TransactionTimeout.Milliseconds())
	}
	for {
		resp, err := c.Ask(request)
		if err == nil {
			r := resp.(*kmsg.InitProducerIDResponse)
			switch r.ErrorCode {
			case 0:
				return &Producer{TransactionalID: transactionalID, ProducerID: r.ProducerID, ProducerEpoch: r.ProducerEpoch,
					Sequences: map[Place]int32{}}, nil
			case concurrentTransactions, coordinatorLoadInProgress:
				continue
			}
			err = &CodeError{"init producer ID", r.ErrorCode}
		}
		return nil, c.failed(err)
	}
}

// Values are records without keys.
func Values(values ...string) []batch.Record {
	records := make([]batch.Record, len(values))
	for i, v := range values {
		records[i].Value = []byte(v)
	}
	return records
}

// KeyValue is a record.
func KeyValue(key, value string) batch.Record {
	return batch.Record{Key: []byte(key), Value: []byte(value)}
}

// Produce appends a batch of the producer, or of none when p is nil, and returns its offset. A producer of transactions
// V1 adds the partition first.
func (c *Client) Produce(p *Producer, topic string, partition int32,
	records ...batch.Record) (offset int64, err error) {
	timestampMs := c.TimestampMs
	c.TimestampMs += c.StepMs
	if p == nil {
		return c.Append(ProduceRequest("", topic, partition, p.Batch(-1, timestampMs, records...)))
	}
	if p.V1 && p.TransactionalID != "" {
		if err := c.AddPartition(p, topic, partition); err != nil {
			return -1, err
		}
	}
	at := Place{topic, partition}
	offset, err = c.Append(p.ProduceRequest(topic, partition, p.Batch(p.Sequences[at], timestampMs, records...)))
	if err == nil {
		p.Sequences[at] += int32(len(records))
	}
	return offset, err
}

// Append sends a request with one batch and returns its offset.
func (c *Client) Append(r *kmsg.ProduceRequest) (offset int64, err error) {
	resp, err := ask(c, r, "produce to "+r.Topics[0].Topic, func(r *kmsg.ProduceResponse) int16 {
		return r.Topics[0].Partitions[0].ErrorCode
	})
	if err != nil {
		return -1, err
	}
	return resp.Topics[0].Partitions[0].BaseOffset, nil
}

// AddPartition adds a partition to the producer's transaction.
func (c *Client) AddPartition(p *Producer, topic string, partition int32) error {
	_, err := ask(c, p.AddPartitionsToTxnRequest(topic, partition), "adding a partition",
		func(r *kmsg.AddPartitionsToTxnResponse) int16 {
			return r.Topics[0].Partitions[0].ErrorCode
		})
	return err
}

// Stage puts an offset of a group into the producer's transaction.
func (c *Client) Stage(p *Producer, group, topic string, partition int32, offset int64) error {
	return c.StageOffsets(p, p.TxnOffsetCommitRequest(group, topic, partition, offset))
}

// StageOffsets puts offsets of a group into the producer's transaction.
func (c *Client) StageOffsets(p *Producer, r *kmsg.TxnOffsetCommitRequest) error {
	if p.V1 {
		_, err := ask(c, p.AddOffsetsToTxnRequest(r.Group), "adding offsets",
			func(r *kmsg.AddOffsetsToTxnResponse) int16 { return r.ErrorCode })
		if err != nil {
			return err
		}
	}
	_, err := ask(c, r, "txn offset commit", func(r *kmsg.TxnOffsetCommitResponse) int16 {
		return r.Topics[0].Partitions[0].ErrorCode
	})
	return err
}

// End ends the producer's transaction. With V2 the producer takes over the producer ID and epoch of the answer.
func (c *Client) End(p *Producer, commit bool) error {
	resp, err := ask(c, p.EndTxnRequest(commit), "end of the transaction",
		func(r *kmsg.EndTxnResponse) int16 { return r.ErrorCode })
	if err == nil && !p.V1 {
		p.ProducerID, p.ProducerEpoch, p.Sequences = resp.ProducerID, resp.ProducerEpoch, map[Place]int32{}
	}
	return err
}

// Commit commits an offset of a group with metadata.
func (c *Client) Commit(group, topic string, partition int32, offset int64, metadata string) error {
	r := OffsetCommitRequest(group, topic, partition, offset)
	r.Topics[0].Partitions[0].Metadata = &metadata
	return c.CommitOffsets(r)
}

// CommitOffsets commits offsets of a group.
func (c *Client) CommitOffsets(r *kmsg.OffsetCommitRequest) error {
	_, err := ask(c, r, "offset commit", func(r *kmsg.OffsetCommitResponse) int16 {
		return r.Topics[0].Partitions[0].ErrorCode
	})
	return err
}

// DeleteRecords moves the start of a partition's log to an offset.
func (c *Client) DeleteRecords(topic string, partition int32, offset int64) error {
	r := kmsg.NewPtrDeleteRecordsRequest()
	r.Version, r.TimeoutMillis = 2, 10_000
	p := kmsg.NewDeleteRecordsRequestTopicPartition()
	p.Partition, p.Offset = partition, offset
	r.Topics = []kmsg.DeleteRecordsRequestTopic{{Topic: topic, Partitions: []kmsg.DeleteRecordsRequestTopicPartition{p}}}
	_, err := ask(c, r, "delete records of "+topic,
		func(r *kmsg.DeleteRecordsResponse) int16 { return r.Topics[0].Partitions[0].ErrorCode })
	return err
}

// Committed returns a group's offset, -1 for none.
func (c *Client) Committed(group, topic string, partition int32) (int64, error) {
	resp, err := ask(c, OffsetFetchRequest(group, topic, partition, false), "offset fetch",
		func(r *kmsg.OffsetFetchResponse) int16 {
			if r.Groups[0].ErrorCode != 0 {
				return r.Groups[0].ErrorCode
			}
			return r.Groups[0].Topics[0].Partitions[0].ErrorCode
		})
	if err != nil {
		return -1, err
	}
	return resp.Groups[0].Topics[0].Partitions[0].Offset, nil
}

// Join makes a classic group of one member, and returns the answer to its join.
func (c *Client) Join(group string) (*kmsg.JoinGroupResponse, error) {
	r := kmsg.NewPtrJoinGroupRequest()
	r.Version, r.Group, r.ProtocolType, r.SessionTimeoutMillis, r.RebalanceTimeoutMillis = 3, group, "consumer", 30_000,
		30_000
	r.Protocols = []kmsg.JoinGroupRequestProtocol{{Name: "range", Metadata: make([]byte, 10)}}
	joined, err := ask(c, r, "join", func(r *kmsg.JoinGroupResponse) int16 { return r.ErrorCode })
	if err != nil {
		return joined, err
	}
	s := kmsg.NewPtrSyncGroupRequest()
	s.Version, s.Group, s.MemberID, s.Generation = 2, group, joined.MemberID, joined.Generation
	s.GroupAssignment = []kmsg.SyncGroupRequestGroupAssignment{{MemberID: joined.MemberID,
		MemberAssignment: []byte("all")}}
	_, err = ask(c, s, "sync", func(r *kmsg.SyncGroupResponse) int16 { return r.ErrorCode })
	return joined, err
}

// Record is a record that was read.
type Record struct {
	Offset     int64
	Key, Value string
	// Aborted says that the answer lists the record's transaction as aborted.
	Aborted bool
	// Null says that the value is null: the record is a tombstone.
	Null bool
}

// Read reads a partition from an offset to its end. With an error it also returns the records that it has read. next is
// the offset behind the last one. With committed set, records of aborted transactions are marked. Each batch is
// verified, and must begin behind the one before it.
func (c *Client) Read(topic string, partition int32, from int64,
	committed bool) (records []Record, next int64, err error) {
	for next = from; ; {
		resp, err := ask(c, FetchRequest(topic, partition, next, committed), "fetch of "+topic,
			func(r *kmsg.FetchResponse) int16 {
				return r.Topics[0].Partitions[0].ErrorCode
			})
		if err != nil {
			return records, next, err
		}
		p := &resp.Topics[0].Partitions[0]
		before := next
		if records, next, err = appendRecords(records, p, next, c.Gapless); err != nil {
			return records, next, c.failed(fmt.Errorf("%s-%d at %d: %w", topic, partition, next, err))
		}
		if next == before {
			return records, next, nil
		}
	}
}

// Ends returns a partition's high watermark and last stable offset. The partition has to begin at offset 0.
func (c *Client) Ends(topic string, partition int32) (highWatermark, lastStable int64, err error) {
	r := FetchRequest(topic, partition, 0, false)
	r.Topics[0].Partitions[0].PartitionMaxBytes = 1
	resp, err := ask(c, r, "fetch of "+topic, func(
		r *kmsg.FetchResponse) int16 {
		return r.Topics[0].Partitions[0].ErrorCode
	})
	if err != nil {
		return -1, -1, err
	}
	p := resp.Topics[0].Partitions[0]
	return p.HighWatermark, p.LastStableOffset, nil
}

// Consume returns the values that a consumer gets of a partition from an offset on, and the offset behind them. With
// committed set it gets no records of aborted transactions.
func (c *Client) Consume(topic string, partition int32, from int64,
	committed bool) (values []string, next int64, err error) {
	records, next, err := c.Read(topic, partition, from, committed)
	for _, r := range records {
		if !r.Aborted {
			values = append(values, r.Value)
		}
	}
	return values, next, err
}

// appendRecords appends the records of an answer from an offset on, and returns the offset behind them.
func appendRecords(records []Record, p *kmsg.FetchResponseTopicPartition, from int64,
	gapless bool) ([]Record, int64, error) {
	next := from
	aborted := map[int64]bool{}
	begins := p.AbortedTransactions
	for raw := p.RecordBatches; len(raw) > 0; {
		h, err := batch.ParseHeader(raw)
		if err != nil || h.SizeBytes() > len(raw) {
			return records, next, nil // the last batch may be cut off
		}
		one := raw[:h.SizeBytes()]
		raw = raw[h.SizeBytes():]
		if h.NextOffset() <= next || gapless && h.BaseOffset > next {
			return records, next, fmt.Errorf("a batch at %d", h.BaseOffset)
		}
		if _, err := batch.Verify(one); err != nil {
			return records, next, err
		}
		next = h.NextOffset()
		begins = slices.DeleteFunc(begins, func(a kmsg.FetchResponseTopicPartitionAbortedTransaction) bool {
			begun := a.FirstOffset <= h.LastOffset() // the first batch itself may be compacted away
			if begun {
				aborted[a.ProducerID] = true
			}
			return begun
		})
		if h.IsControl() {
			delete(aborted, h.ProducerID)
			continue
		}
		for r, err := range batch.Records(one, 1<<20) {
			if err != nil {
				return records, next, err
			}
			if offset := h.BaseOffset + int64(r.OffsetDelta); offset >= from {
				records = append(records, Record{Offset: offset, Key: string(r.Key), Value: string(r.Value),
					Aborted: h.IsTransactional() && aborted[h.ProducerID], Null: r.Value == nil})
			}
		}
	}
	return records, next, nil
}
