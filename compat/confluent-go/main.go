// Command confluent-go is the application of compat/python/test_connections.py with confluent-kafka-go. See there for
// what it does. It is a module of its own because it needs a C compiler.
//
//	confluent-go ADDRESS TOPIC TRANSACTIONAL-ID TRANSACTIONS TIMEOUT-MS
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/confluentinc/confluent-kafka-go/v2/kafka"
)

const (
	threads = 4  // that send side by side, each to a partition of its own
	records = 10 // of a thread in a transaction
	limit   = time.Minute
)

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "confluent-go:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) != 5 {
		return errors.New("five arguments are needed")
	}
	address, topic, transactionalID := args[0], args[1], args[2]
	transactions, err := strconv.Atoi(args[3])
	if err != nil {
		return err
	}
	timeoutMs, err := strconv.Atoi(args[4])
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), limit)
	defer cancel()
	producer, err := kafka.NewProducer(&kafka.ConfigMap{"bootstrap.servers": address, "transactional.id": transactionalID,
		"linger.ms": 0, "socket.timeout.ms": timeoutMs})
	if err != nil {
		return err
	}
	defer producer.Close()
	member, err := kafka.NewConsumer(&kafka.ConfigMap{"bootstrap.servers": address, "group.id": transactionalID})
	if err != nil {
		return err
	}
	defer member.Close()
	group, err := member.GetConsumerGroupMetadata()
	if err != nil {
		return err
	}
	if err := producer.InitTransactions(ctx); err != nil {
		return err
	}
	for i := range transactions {
		if err := producer.BeginTransaction(); err != nil {
			return err
		}
		if err := send(producer, topic, i); err != nil {
			return err
		}
		offset := []kafka.TopicPartition{{Topic: &topic, Partition: 0, Offset: kafka.Offset(i + 1)}}
		if err := producer.SendOffsetsToTransaction(ctx, offset, group); err != nil {
			return err
		}
		end := producer.CommitTransaction
		if i%3 == 1 {
			end = producer.AbortTransaction
		}
		if err := end(ctx); err != nil {
			return fmt.Errorf("transaction %d: %w", i, err)
		}
	}
	return nil
}

// send has the threads send side by side, and waits until everything is stored.
func send(producer *kafka.Producer, topic string, transaction int) error {
	errs := make([]error, threads)
	var wg sync.WaitGroup
	for thread := range threads {
		wg.Go(func() {
			delivered := make(chan kafka.Event, records)
			for n := range records {
				m := &kafka.Message{TopicPartition: kafka.TopicPartition{Topic: &topic, Partition: int32(thread)},
					Value: fmt.Appendf(nil, "%d-%d-%d", transaction, thread, n)}
				if errs[thread] = producer.Produce(m, delivered); errs[thread] != nil {
					return
				}
			}
			for range records {
				errs[thread] = errors.Join(errs[thread], (<-delivered).(*kafka.Message).TopicPartition.Error)
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}
