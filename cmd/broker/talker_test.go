package main

import (
	"fmt"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/internal/kafkatest"
	"once/log/batch"
	"once/wire"
)

// talker says to a broker what the disk tests need to say, over one connection.
type talker struct {
	*kafkatest.Conn
	producerID int64
	epoch      int16
	txnID      *string
}

func dial(t *testing.T, addr string) *talker {
	t.Helper()
	c, err := kafkatest.Dial(addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return &talker{Conn: c, producerID: -1, epoch: -1}
}

func failed(what string, code int16) error {
	if code == 0 {
		return nil
	}
	return codeError{what, wire.Code(code)}
}

// codeError is an answer that is an error.
type codeError struct {
	what string
	code wire.Code
}

func (e codeError) Error() string { return fmt.Sprintf("%s: code %d", e.what, e.code) }

func (c *talker) create(topics ...string) error {
	req := kmsg.NewPtrCreateTopicsRequest()
	req.Version, req.TimeoutMillis = 7, 10_000
	for _, name := range topics {
		topic := kmsg.NewCreateTopicsRequestTopic()
		topic.Topic, topic.NumPartitions, topic.ReplicationFactor = name, 1, 1
		req.Topics = append(req.Topics, topic)
	}
	answer, err := c.Request(req)
	if err != nil {
		return err
	}
	for _, topic := range answer.(*kmsg.CreateTopicsResponse).Topics {
		if err := failed("create "+topic.Topic, topic.ErrorCode); err != nil {
			return err
		}
	}
	return nil
}

// begin makes the connection a producer's; "" is one without transactions.
func (c *talker) begin(txnID string) error {
	req := kmsg.NewPtrInitProducerIDRequest()
	req.Version, req.TransactionTimeoutMillis, req.ProducerID, req.ProducerEpoch = 5, 60_000, -1, -1
	if txnID != "" {
		req.TransactionalID, c.txnID = &txnID, &txnID
	}
	for {
		answer, err := c.Request(req)
		if err != nil {
			return err
		}
		resp := answer.(*kmsg.InitProducerIDResponse)
		if code := wire.Code(resp.ErrorCode); code == wire.ConcurrentTransactions || code == wire.CoordinatorLoadInProgress {
			continue // the transaction before is being ended
		}
		c.producerID, c.epoch = resp.ProducerID, resp.ProducerEpoch
		return failed("init producer ID", resp.ErrorCode)
	}
}

// produce appends records to partition 0; a negative sequence is that of a producer without ID.
func (c *talker) produce(topic string, sequence int32, timestampMs int64, values ...string) (offset int64, err error) {
	o := batch.BuildOptions{ProducerID: -1, ProducerEpoch: -1, BaseSequence: -1, TimestampMs: timestampMs, LeaderEpoch: -1}
	if sequence >= 0 {
		o.ProducerID, o.ProducerEpoch, o.BaseSequence, o.Transactional = c.producerID, c.epoch, sequence, c.txnID != nil
	}
	records := make([]batch.Record, len(values))
	for i, v := range values {
		records[i] = batch.Record{OffsetDelta: int32(i), Value: []byte(v)}
	}
	req := kmsg.NewPtrProduceRequest()
	req.Version, req.Acks, req.TimeoutMillis = 12, -1, 10_000
	if sequence >= 0 {
		req.TransactionID = c.txnID
	}
	rt, rp := kmsg.NewProduceRequestTopic(), kmsg.NewProduceRequestTopicPartition()
	rp.Records = batch.Build(o, records...)
	rt.Topic, rt.Partitions = topic, append(rt.Partitions, rp)
	req.Topics = append(req.Topics, rt)
	answer, err := c.Request(req)
	if err != nil {
		return -1, err
	}
	p := answer.(*kmsg.ProduceResponse).Topics[0].Partitions[0]
	return p.BaseOffset, failed("produce to "+topic, p.ErrorCode)
}

// stage commits an offset of partition 0 for a group, in the transaction if there is one.
func (c *talker) stage(group, topic string, offset int64) error {
	if c.txnID == nil {
		req := kmsg.NewPtrOffsetCommitRequest()
		req.Version, req.Group, req.Generation = 8, group, -1
		rt, rp := kmsg.NewOffsetCommitRequestTopic(), kmsg.NewOffsetCommitRequestTopicPartition()
		rp.Offset = offset
		rt.Topic, rt.Partitions = topic, append(rt.Partitions, rp)
		req.Topics = append(req.Topics, rt)
		answer, err := c.Request(req)
		if err != nil {
			return err
		}
		return failed("offset commit", answer.(*kmsg.OffsetCommitResponse).Topics[0].Partitions[0].ErrorCode)
	}
	req := kmsg.NewPtrTxnOffsetCommitRequest()
	req.Version, req.TransactionalID, req.Group, req.ProducerID, req.ProducerEpoch, req.Generation = 5, *c.txnID, group, c.producerID, c.epoch, -1
	rt, rp := kmsg.NewTxnOffsetCommitRequestTopic(), kmsg.NewTxnOffsetCommitRequestTopicPartition()
	rp.Offset = offset
	rt.Topic, rt.Partitions = topic, append(rt.Partitions, rp)
	req.Topics = append(req.Topics, rt)
	answer, err := c.Request(req)
	if err != nil {
		return err
	}
	return failed("txn offset commit", answer.(*kmsg.TxnOffsetCommitResponse).Topics[0].Partitions[0].ErrorCode)
}

func (c *talker) committedOffset(group, topic string) (int64, error) {
	req := kmsg.NewPtrOffsetFetchRequest()
	req.Version, req.RequireStable = 8, false
	g, gt := kmsg.NewOffsetFetchRequestGroup(), kmsg.NewOffsetFetchRequestGroupTopic()
	gt.Topic, gt.Partitions = topic, []int32{0}
	g.Group, g.Topics = group, append(g.Topics, gt)
	req.Groups = append(req.Groups, g)
	answer, err := c.Request(req)
	if err != nil {
		return -1, err
	}
	found := answer.(*kmsg.OffsetFetchResponse).Groups[0]
	if err := failed("offset fetch", found.ErrorCode); err != nil {
		return -1, err
	}
	return found.Topics[0].Partitions[0].Offset, failed("offset fetch", found.Topics[0].Partitions[0].ErrorCode)
}

func (c *talker) end(commit bool) error {
	req := kmsg.NewPtrEndTxnRequest()
	req.Version, req.TransactionalID, req.ProducerID, req.ProducerEpoch, req.Commit = 5, *c.txnID, c.producerID, c.epoch, commit
	answer, err := c.Request(req)
	if err != nil {
		return err
	}
	resp := answer.(*kmsg.EndTxnResponse)
	if resp.ErrorCode == 0 {
		c.producerID, c.epoch = resp.ProducerID, resp.ProducerEpoch
	}
	return failed("end of the transaction", resp.ErrorCode)
}

// read returns the values of partition 0 from an offset on, and where it has come to. With committed
// set the records of aborted transactions are left out.
func (c *talker) read(topic string, from int64, committed bool) (values []string, next int64, err error) {
	for next = from; ; {
		req := kmsg.NewPtrFetchRequest()
		req.Version, req.MaxBytes = 12, 8<<20
		if committed {
			req.IsolationLevel = 1
		}
		rt, rp := kmsg.NewFetchRequestTopic(), kmsg.NewFetchRequestTopicPartition()
		rp.FetchOffset, rp.PartitionMaxBytes = next, 4<<20
		rt.Topic, rt.Partitions = topic, append(rt.Partitions, rp)
		req.Topics = append(req.Topics, rt)
		answer, err := c.Request(req)
		if err != nil {
			return values, next, err
		}
		p := answer.(*kmsg.FetchResponse).Topics[0].Partitions[0]
		if err := failed("fetch of "+topic, p.ErrorCode); err != nil {
			return values, next, err
		}
		raw := p.RecordBatches
		before := next
		skip := map[int64]bool{}
		aborted := p.AbortedTransactions
		for len(raw) > 0 {
			h, err := batch.ParseHeader(raw)
			if err != nil || h.SizeBytes() > len(raw) {
				break // the last one may be cut off
			}
			one := raw[:h.SizeBytes()]
			raw, next = raw[h.SizeBytes():], h.NextOffset()
			if _, err := batch.Verify(one); err != nil {
				return values, next, err
			}
			if m, ok, _ := batch.ParseMarker(one); ok {
				if m.Type == batch.Abort {
					delete(skip, h.ProducerID)
				}
				continue
			}
			for _, a := range aborted {
				if a.FirstOffset == h.BaseOffset {
					skip[a.ProducerID] = true
				}
			}
			if h.IsTransactional() && skip[h.ProducerID] {
				continue
			}
			for r, err := range batch.Records(one, 1<<20) {
				if err != nil {
					return values, next, err
				}
				values = append(values, string(r.Value))
			}
		}
		if next == before {
			return values, next, nil
		}
	}
}

// number is the number at the front of a value.
func number(value string) int {
	head, _, _ := strings.Cut(value, " ")
	n, _ := strconv.Atoi(head)
	return n
}

// transaction writes its number to two topics and as an offset.
func (c *talker) transaction(n int, commit bool) error {
	now := time.Now().UnixMilli()
	for _, topic := range []string{"left", "right"} {
		if _, err := c.produce(topic, 0, now, fmt.Sprint(n), fmt.Sprint(n)); err != nil {
			return err
		}
	}
	offset := int64(n)
	if !commit {
		offset = 1_000_000
	}
	if err := c.stage("movers", "left", offset); err != nil {
		return err
	}
	return c.end(commit)
}
