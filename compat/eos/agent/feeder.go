package agent

import (
	"context"
	"fmt"
	"strconv"
	"sync"

	"github.com/twmb/franz-go/pkg/kgo"

	"once/compat/eos/history"
)

const feedChunk = 500

// feed writes the inputs in the order of their ids with one idempotent producer, never further than the
// driver's target, and keeps every acknowledged offset.
func (a *agent) feed(ctx context.Context) error {
	cl, err := kgo.NewClient(a.options(kgo.ProducerBatchMaxBytes(4 << 10))...)
	if err != nil {
		return err
	}
	defer cl.Close()
	for next := int64(0); next < a.cfg.Records; {
		to := min(next+feedChunk, a.target.Load(), a.cfg.Records)
		if to <= next {
			select {
			case <-a.orders:
			case <-ctx.Done():
				return ctx.Err()
			}
			continue
		}
		a.event(history.Event{Kind: history.KindFeedRange, From: next, To: to})
		if err := a.feedRange(ctx, cl, next, to); err != nil {
			return err
		}
		next = to
		a.report(Report{Fed: next})
	}
	return nil
}

// idHeaders returns headers with an input's ID, for the verdict of the broker.
func idHeaders(id int64, names ...string) (headers []kgo.RecordHeader) {
	for _, name := range names {
		headers = append(headers, kgo.RecordHeader{Key: name, Value: strconv.AppendInt(nil, id, 10)})
	}
	return headers
}

func (a *agent) feedRange(ctx context.Context, cl *kgo.Client, from, to int64) error {
	var (
		mu    sync.Mutex
		acks  = history.Event{Kind: history.KindAcks}
		fails error
		wait  sync.WaitGroup
	)
	for id := from; id < to; id++ {
		log := a.cfg.InputLog(id)
		value := history.Provenance{RunID: a.cfg.RunID, Seq: uint32(id), InPartition: -1, ID: id}.Encode()
		wait.Add(1)
		cl.Produce(ctx, &kgo.Record{Topic: a.cfg.Logs[log].Topic, Partition: a.cfg.Logs[log].Partition, Value: value,
			Headers: idHeaders(id, history.OutputNames[:a.cfg.Outputs(id)]...)},
			func(r *kgo.Record, err error) {
				defer wait.Done()
				mu.Lock()
				defer mu.Unlock()
				if err != nil {
					fails = fmt.Errorf("input %d: %w", id, err)
					return
				}
				acks.Log = append(acks.Log, log)
				acks.Offsets = append(acks.Offsets, r.Offset)
				acks.Seq = append(acks.Seq, uint32(id))
			})
	}
	wait.Wait()
	acks.Count = len(acks.Offsets)
	a.event(acks)
	if fails != nil {
		a.event(history.Event{Kind: history.KindFail, Text: fails.Error()})
	}
	return fails
}
