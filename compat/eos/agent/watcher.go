package agent

import (
	"context"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"once/compat/eos/history"
)

// watch reads all outputs from their start through the whole run at one isolation level and keeps what
// each poll returned, with the watermarks of the fetch.
func (a *agent) watch(ctx context.Context) error {
	isolation := kgo.ReadUncommitted()
	if a.ReadCommitted {
		isolation = kgo.ReadCommitted()
	}
	offsets := map[string]map[int32]kgo.Offset{}
	for i, l := range a.cfg.Logs {
		if a.cfg.IsInput(int32(i)) {
			continue
		}
		if offsets[l.Topic] == nil {
			offsets[l.Topic] = map[int32]kgo.Offset{}
		}
		offsets[l.Topic][l.Partition] = kgo.NewOffset().At(0)
	}
	cl, err := kgo.NewClient(a.options(kgo.FetchIsolationLevel(isolation), kgo.ConsumePartitions(offsets),
		kgo.FetchMaxWait(200*time.Millisecond))...)
	if err != nil {
		return err
	}
	defer cl.Close()
	index := a.cfg.LogIndex()
	for ctx.Err() == nil {
		fetches := cl.PollFetches(ctx)
		now := history.Now()
		fetches.EachPartition(func(p kgo.FetchTopicPartition) {
			if len(p.Records) > 0 {
				a.keep(now, index[history.Log{Topic: p.Topic, Partition: p.Partition}], p)
			}
		})
	}
	return nil
}

func (a *agent) keep(now int64, log int32, p kgo.FetchTopicPartition) {
	e := history.Event{
		Kind: history.KindPoll, TimeNs: now, ReadCommitted: a.ReadCommitted, Log: []int32{log},
		HighWatermark: p.HighWatermark, LastStableOffset: p.LastStableOffset, Count: len(p.Records),
	}
	for _, r := range p.Records {
		v, err := history.Decode(r.Value)
		if err != nil || v.RunID != a.cfg.RunID {
			a.event(history.Event{Kind: history.KindNote, Text: "unreadable value", Log: []int32{log}, From: r.Offset})
			continue // the final read meets it again and judges it
		}
		e.Offsets = append(e.Offsets, r.Offset)
		e.Inc = append(e.Inc, v.Incarnation)
		e.Seq = append(e.Seq, v.Seq)
	}
	a.event(e)
}
