// Command transactions is the application of compat/python/test_connections.py with franz-go. See there for what it
// does.
//
//	transactions ADDRESS TOPIC TRANSACTIONAL-ID TRANSACTIONS TIMEOUT-MS
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	threads = 4  // that send side by side, each to a partition of its own
	records = 10 // of a thread in a transaction
)

type job struct {
	address         string
	topic           string
	transactionalID string
	transactions    int
	timeout         time.Duration
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "transactions:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 5 {
		return errors.New("five arguments are needed")
	}
	transactions, err := strconv.Atoi(args[3])
	if err != nil {
		return err
	}
	timeoutMs, err := strconv.Atoi(args[4])
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	j := job{
		address:         args[0],
		topic:           args[1],
		transactionalID: args[2],
		transactions:    transactions,
		timeout:         time.Duration(timeoutMs) * time.Millisecond,
	}
	if err := j.fillInput(ctx); err != nil {
		return err
	}
	return j.transact(ctx)
}

func isAborted(transaction int) bool { return transaction%3 == 1 }

// send has the threads send side by side and returns the first error.
func send(transaction int, one func(value string, partition int32) error) error {
	errs := make([]error, threads)
	var wg sync.WaitGroup
	for thread := range threads {
		wg.Go(func() {
			for n := range records {
				errs[thread] = errors.Join(errs[thread], one(fmt.Sprintf("%d-%d-%d", transaction, thread, n), int32(thread)))
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// input is a topic with a record for each transaction: a session adds the offsets of what it has consumed.
func (j job) input() string { return j.topic + "-in" }

// fillInput writes without a producer ID, so that the coordinator hears from the session's client only.
func (j job) fillInput(ctx context.Context) error {
	cl, err := kgo.NewClient(kgo.SeedBrokers(j.address), kgo.DefaultProduceTopic(j.input()), kgo.AllowAutoTopicCreation(),
		kgo.DisableIdempotentWrite())
	if err != nil {
		return err
	}
	defer cl.Close()
	for range j.transactions {
		if err := cl.ProduceSync(ctx, kgo.StringRecord("input")).FirstErr(); err != nil {
			return err
		}
	}
	return nil
}

func (j job) transact(ctx context.Context) error {
	session, err := kgo.NewGroupTransactSession(kgo.SeedBrokers(j.address), kgo.TransactionalID(j.transactionalID),
		kgo.RequestTimeoutOverhead(j.timeout), kgo.ConsumerGroup(j.transactionalID),
		kgo.ConsumeTopics(j.input()), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.RecordPartitioner(kgo.ManualPartitioner()), kgo.ProducerLinger(0))
	if err != nil {
		return err
	}
	defer session.Close()
	for i := range j.transactions {
		if err := session.PollRecords(ctx, 1).Err(); err != nil {
			return err
		}
		if err := session.Begin(); err != nil {
			return err
		}
		err := send(i, func(value string, partition int32) error {
			return session.ProduceSync(ctx, &kgo.Record{Topic: j.topic, Partition: partition, Value: []byte(value)}).FirstErr()
		})
		if err != nil {
			return err
		}
		committed, err := session.End(ctx, kgo.TransactionEndTry(!isAborted(i)))
		if err != nil || committed == isAborted(i) {
			return fmt.Errorf("transaction %d: committed %v: %w", i, committed, err)
		}
	}
	return nil
}
