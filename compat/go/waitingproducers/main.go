// Command waitingproducers measures producers that wait for the answer before they send the next record, or the
// next few, against any broker:
//
//	go run ./waitingproducers -broker 127.0.0.1:9092 -producers 16 -partitions 4
//
// The topic is made with flush.messages=1, so that every record is synced to disk before it is answered; with
// -sync=false it is the broker that decides. It prints one line: records a second, and how long an answer took.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

var (
	broker     = flag.String("broker", "127.0.0.1:9092", "bootstrap address")
	producers  = flag.Int("producers", 16, "clients side by side")
	partitions = flag.Int("partitions", 4, "of the topic; producer i writes to partition i modulo so many")
	records    = flag.Int("records", 2000, "records a producer")
	batch      = flag.Int("batch", 1, "records that a producer sends before it waits for all their answers")
	size       = flag.Int("size", 100, "bytes a record")
	synced     = flag.Bool("sync", true, "make the topic with flush.messages=1")
	pause      = flag.Duration("pause", 0, "between an answer and the next record")
)

// warmUp is how many records a producer sends before the clock starts.
const warmUp = 10

func main() {
	flag.Parse()
	if err := run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "waitingproducers:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	cl, err := kgo.NewClient(kgo.SeedBrokers(*broker))
	if err != nil {
		return err
	}
	defer cl.Close()
	topic, configs := fmt.Sprintf("waiting-%d", time.Now().UnixNano()), map[string]*string{}
	if *synced {
		configs["flush.messages"] = kadm.StringPtr("1")
	}
	admin := kadm.NewClient(cl)
	if _, err := admin.CreateTopic(ctx, int32(*partitions), 1, configs, topic); err != nil {
		return err
	}
	defer admin.DeleteTopics(ctx, topic)
	var clients []*kgo.Client
	for i := range *producers {
		cl, err := kgo.NewClient(kgo.SeedBrokers(*broker), kgo.ProducerLinger(0), kgo.DefaultProduceTopic(topic),
			kgo.RecordPartitioner(kgo.ManualPartitioner()))
		if err != nil {
			return err
		}
		defer cl.Close()
		clients = append(clients, cl)
		if _, err := send(ctx, cl, i, warmUp); err != nil {
			return err
		}
	}
	latencies, errs := make([][]time.Duration, *producers), make([]error, *producers)
	var wg sync.WaitGroup
	begin := time.Now()
	for i, cl := range clients {
		wg.Go(func() { latencies[i], errs[i] = send(ctx, cl, i, *records) })
	}
	wg.Wait()
	took := time.Since(begin)
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	all := slices.Concat(latencies...)
	slices.Sort(all)
	fmt.Printf("%d producers, %d partitions: %.0f records/s, p50 %v, p99 %v\n", *producers, *partitions,
		float64(len(all)**batch)/took.Seconds(), all[len(all)/2], all[len(all)*99/100])
	return nil
}

// send sends records, so many at a time, and returns how long each time took.
func send(ctx context.Context, cl *kgo.Client, producer, count int) ([]time.Duration, error) {
	var latencies []time.Duration
	value := make([]byte, *size)
	for sent := 0; sent < count; sent += *batch {
		together := make([]*kgo.Record, *batch)
		for i := range together {
			together[i] = &kgo.Record{Value: value, Partition: int32(producer % *partitions)}
		}
		begin := time.Now()
		if err := cl.ProduceSync(ctx, together...).FirstErr(); err != nil {
			return nil, err
		}
		latencies = append(latencies, time.Since(begin))
		if *pause > 0 {
			time.Sleep(*pause)
		}
	}
	return latencies, nil
}
