package broker

import (
	"context"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"once/log"
	"once/partition"
)

// cleaner compacts one partition after the other in a goroutine of its own, dirtiest first (spec: log 10).
// It reads and writes at the pace of the disk; a partition that failed has to wait.
type cleaner struct {
	b       *Broker
	metrics *cleanerMetrics
	ctx     context.Context
	cancel  context.CancelFunc
	ended   sync.WaitGroup
	failed  map[*partition.Partition]time.Time // when their last pass failed; of the goroutine
}

const (
	// retryFailed is how long a partition is left alone after a pass over it failed.
	retryFailed = 10 * time.Minute
	// leastBackoff keeps log.cleaner.backoff.ms=0 from looking at all partitions without a pause.
	leastBackoff = 10 * time.Millisecond
)

func startCleaner(b *Broker) *cleaner {
	c := &cleaner{b: b, failed: map[*partition.Partition]time.Time{}}
	c.metrics = newCleanerMetrics(prometheus.WrapRegistererWithPrefix("once_", b.registry))
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.ended.Go(c.run)
	return c
}

func (c *cleaner) run() {
	for c.ctx.Err() == nil {
		if p := c.dirtiest(); p != nil {
			c.clean(p)
		} else {
			c.pause()
		}
	}
}

// pause waits for log.cleaner.backoff.ms or the end.
func (c *cleaner) pause() {
	over := make(chan struct{})
	t := c.b.cfg.Clock.AfterFunc(max(c.b.cfg.Settings.Milliseconds("log.cleaner.backoff.ms"), leastBackoff), func() { close(over) })
	defer t.Stop()
	select {
	case <-over:
	case <-c.ctx.Done():
	}
}

// dirtiest returns the partition with the largest share of bytes not compacted yet among those that are
// worth a pass; nil when none is.
func (c *cleaner) dirtiest() *partition.Partition {
	now := c.b.cfg.Clock.Now()
	failed := make(map[*partition.Partition]time.Time, len(c.failed)) // without those that are no more
	var worst *partition.Partition
	most := -1.0
	for _, t := range c.b.topics.All() {
		if !t.Config().CleanupCompact {
			continue
		}
		for _, p := range t.Partitions() {
			at, waits := c.failed[p]
			if waits && now.Sub(at) < retryFailed {
				failed[p] = at
				continue
			}
			d, err := p.Dirtiness(now.UnixMilli())
			if err != nil {
				failed[p] = now
				c.warn(p, err)
				continue
			}
			if waits && d.Due { // until it is seen to succeed
				failed[p] = at
			}
			if ratio := d.Ratio(); d.Due && ratio > most {
				worst, most = p, ratio
			}
		}
	}
	c.failed = failed
	c.metrics.uncleanable.Set(float64(len(failed)))
	return worst
}

func (c *cleaner) clean(p *partition.Partition) {
	begun := c.b.cfg.Clock.Now()
	done, err := p.Compact(c.ctx, begun.UnixMilli(), c.b.cfg.Settings.Int64("log.cleaner.dedupe.buffer.size"))
	ended := c.b.cfg.Clock.Now()
	outcome := passDone
	switch {
	case log.IsStopped(err):
		outcome = passStopped
	case err != nil:
		outcome = passFailed
		c.failed[p] = ended
		c.warn(p, err)
	default:
		delete(c.failed, p)
		c.b.cfg.Logger.Info("partition is compacted", "partition", p.ID().String(), "first_dirty_offset", done.DirtyStart, "to_offset", done.End,
			"read_bytes", done.ReadBytes, "written_bytes", done.WrittenBytes, "keys", done.Keys,
			"segments_before", done.SegmentsBefore, "segments", done.Segments, "duration", ended.Sub(begun).String())
	}
	c.metrics.ended(outcome, done, begun, ended)
	c.metrics.uncleanable.Set(float64(len(c.failed)))
}

func (c *cleaner) warn(p *partition.Partition, err error) {
	if log.IsUncleanable(err) {
		c.b.cfg.Logger.Error("what the cleaner wrote is not what it was to write; nothing is lost, and the partition is not compacted until the next start",
			"partition", p.ID().String(), "error", err)
		return
	}
	c.b.cfg.Logger.Warn("partition is not compacted; it is tried again later", "partition", p.ID().String(), "error", err)
}

func (c *cleaner) stop() {
	c.cancel()
	c.ended.Wait()
}
