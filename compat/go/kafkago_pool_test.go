package compat

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/segmentio/kafka-go"
)

// TestKafkaGoTransactionsOverAPoolOfConnections: everything that uses kafka-go's default transport shares its pool of
// connections to a broker, and a request goes over one that is idle just then, an older or a newer one than the
// request before. Three writers keep the pool busy. Each transaction stages the offset of a partition of its own.
func TestKafkaGoTransactionsOverAPoolOfConnections(t *testing.T) {
	t.Parallel()
	const transactions = 100
	topic, group, id := newTopic(t, transactions), unique(t, "group"), unique(t, "txn")
	ctx := within(t)
	t.Cleanup(kafka.DefaultTransport.(*kafka.Transport).CloseIdleConnections) // and of the metadata that it keeps
	stop := writeUntilStopped(t, 3)
	defer stop()

	cl := &kafka.Client{Addr: kafka.TCP(address)}
	var producer *kafka.ProducerSession
	eventually(t, "InitProducerId is answered", func() bool {
		resp, err := cl.InitProducerID(ctx, &kafka.InitProducerIDRequest{TransactionalID: id, TransactionTimeoutMs: 60_000})
		must(t, err)
		producer = resp.Producer
		return resp.Error == nil
	})
	for i := range transactions {
		together(t,
			func() error {
				resp, err := cl.AddPartitionsToTxn(ctx, &kafka.AddPartitionsToTxnRequest{TransactionalID: id,
					ProducerID: producer.ProducerID, ProducerEpoch: producer.ProducerEpoch,
					Topics: map[string][]kafka.AddPartitionToTxn{topic: {{Partition: i}}}})
				if err != nil {
					return fmt.Errorf("AddPartitionsToTxn: %w", err)
				}
				return resp.Topics[topic][0].Error
			},
			func() error {
				resp, err := cl.AddOffsetsToTxn(ctx, &kafka.AddOffsetsToTxnRequest{TransactionalID: id,
					ProducerID: producer.ProducerID, ProducerEpoch: producer.ProducerEpoch, GroupID: group})
				if err != nil {
					return fmt.Errorf("AddOffsetsToTxn: %w", err)
				}
				return resp.Error
			})
		together(t, func() error {
			resp, err := cl.TxnOffsetCommit(ctx, &kafka.TxnOffsetCommitRequest{TransactionalID: id, GroupID: group,
				ProducerID: producer.ProducerID, ProducerEpoch: producer.ProducerEpoch, GenerationID: -1,
				Topics: map[string][]kafka.TxnOffsetCommit{topic: {{Partition: i, Offset: int64(i)}}}})
			if err != nil {
				return fmt.Errorf("TxnOffsetCommit: %w", err)
			}
			return resp.Topics[topic][0].Error
		})
		together(t, func() error {
			resp, err := cl.EndTxn(ctx, &kafka.EndTxnRequest{TransactionalID: id, ProducerID: producer.ProducerID,
				ProducerEpoch: producer.ProducerEpoch, Committed: true})
			if err != nil {
				return fmt.Errorf("EndTxn: %w", err)
			}
			return resp.Error
		})
	}
	adm := admin(t)
	eventually(t, "the offsets of all transactions are committed", func() bool {
		offsets, err := adm.FetchOffsets(ctx, group)
		must(t, err)
		committed := 0
		for i := range int32(transactions) {
			if o, ok := offsets.Lookup(topic, i); ok && o.At == int64(i) {
				committed++
			}
		}
		return committed == transactions
	})
}

// together makes calls side by side, and each again while Kafka asks for that.
func together(t *testing.T, calls ...func() error) {
	t.Helper()
	var wg sync.WaitGroup
	for _, call := range calls {
		wg.Go(func() {
			for err := call(); err != nil; err = call() {
				if !errors.Is(err, kafka.ConcurrentTransactions) {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	if t.Failed() {
		t.FailNow()
	}
}

// writeUntilStopped starts writers that use the default transport and write one message after the other.
func writeUntilStopped(t *testing.T, writers int) (stop func()) {
	t.Helper()
	topic := newTopic(t, 1)
	ctx, cancel := context.WithCancel(within(t))
	var wg sync.WaitGroup
	for range writers {
		w := &kafka.Writer{Addr: kafka.TCP(address), Topic: topic, BatchTimeout: time.Millisecond,
			RequiredAcks: kafka.RequireAll}
		closeAfter(t, w)
		wg.Go(func() {
			for n := 0; ; n++ {
				err := w.WriteMessages(ctx, kafka.Message{Value: fmt.Append(nil, n)})
				if ctx.Err() != nil {
					return
				}
				if err != nil {
					t.Errorf("writing message %d: %v", n, err)
					return
				}
			}
		})
	}
	return func() {
		cancel()
		wg.Wait()
	}
}
