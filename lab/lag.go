package lab

import (
	"errors"
	"slices"

	"once/cluster"
	"once/partition"
	"once/sharepartition"
)

// exactLagOffsets is how many offsets of an answer with estimate=true are looked at one by one.
const exactLagOffsets = 20_000

// addLag adds the lag of each partition. While exactLag offsets are left to look at, records are counted. The lag of a
// partition that is further behind, or is offline, is a difference of offsets.
func (g *Group) addLag(v cluster.View, exactLag int64) {
	for i := range g.Offsets {
		o := &g.Offsets[i]
		if o.Pending {
			g.PendingCount++
		}
		p, ok := v.Topics.Partition(o.Topic, o.Partition)
		if !ok {
			continue
		}
		o.LastStableOffset, o.HighWatermark = p.LastStableOffset(), p.HighWatermark()
		from := max(o.Committed, p.LogStartOffset())
		behind := max(0, o.LastStableOffset-from)
		if n, err := countRecords(p, from, o.LastStableOffset, exactLag); err == nil {
			o.Lag = n
			exactLag -= behind
		} else {
			o.Lag, o.LagAtMost, g.LagAtMost = behind, true, true
		}
		g.Lag += o.Lag
	}
}

var errTooFar = errors.New("too many offsets to look at")

func countRecords(p *partition.Partition, from, to, most int64) (int64, error) {
	if to-from > most {
		return 0, errTooFar
	}
	return cluster.CommittedRecords(p, from, to)
}

// addShareOffsets adds the share partitions of a share group with their start offsets and lag.
func (g *Group) addShareOffsets(v cluster.View) error {
	initialized, err := v.Groups.SharePartitions(g.ID)
	if err != nil {
		return err
	}
	for _, of := range initialized {
		t, ok := v.Topics.LookupID(of.ID)
		if !ok {
			continue
		}
		for _, index := range of.Partitions {
			key := sharepartition.Key{Group: g.ID, TopicID: of.ID, Partition: index}
			start, finished, _, err := v.Services.Shares.State(key)
			p, ok := t.Partition(index)
			if err != nil || !ok {
				continue
			}
			o := Offset{TopicPartition: TopicPartition{t.Name, index}, Committed: start,
				LastStableOffset: p.LastStableOffset(), HighWatermark: p.HighWatermark()}
			if start >= 0 && finished >= 0 {
				o.Lag = max(0, o.HighWatermark-start-finished)
			}
			g.Offsets = append(g.Offsets, o)
			g.Lag += o.Lag
		}
	}
	slices.SortFunc(g.Offsets, func(a, b Offset) int { return a.compare(b.TopicPartition) })
	return nil
}
