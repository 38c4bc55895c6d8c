package cluster

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"once/internal/clock"
	"once/log"
	"once/partition"
)

// cleaner is the log cleaner: it compacts one partition after the other, dirtiest first, until none is worth a pass
// (spec: log 10), every log.cleaner.backoff.ms. After a failed pass a partition is left alone for a while.
type cleaner struct {
	e       *engine
	metrics *cleanerMetrics
	ctx     context.Context
	cancel  context.CancelFunc
	check   *clock.Check
	paused  atomic.Int32 // how many ask for no pass
	pass    struct {
		sync.Mutex
		cancel context.CancelFunc // ends the pass that is under way
	}
	failed map[*partition.Partition]time.Time // when their last pass failed, in real time; of the check
}

const (
	// retryFailed is the time for which a partition is left alone after a failed pass.
	retryFailed = 10 * time.Minute
	// leastBackoff keeps log.cleaner.backoff.ms=0 from checking all partitions without a pause.
	leastBackoff = 10 * time.Millisecond
)

func startCleaner(e *engine) *cleaner {
	c := &cleaner{e: e, failed: map[*partition.Partition]time.Time{}}
	c.metrics = newCleanerMetrics(e.registerer())
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.pass.cancel = func() {}
	backoff := func() time.Duration {
		return max(e.configs.Settings().LogCleanerBackoff, leastBackoff)
	}
	c.check = e.env.Clock.Every(0, backoff, c.run)
	return c
}

func (c *cleaner) run() {
	for c.ctx.Err() == nil && c.paused.Load() == 0 {
		p := c.dirtiest()
		if p == nil {
			return
		}
		c.clean(p)
	}
}

// dirtiest returns the partition with the largest share of dirty bytes among those that are worth a pass; nil when none
// is.
func (c *cleaner) dirtiest() *partition.Partition {
	now, machine := c.e.env.Clock.Now(), time.Now()
	failed := make(map[*partition.Partition]time.Time, len(c.failed)) // without those that are no more
	var worst *partition.Partition
	most := -1.0
	for _, t := range c.e.topics.All() {
		if !t.Config().CleanupCompact {
			continue
		}
		for _, p := range t.Partitions() {
			at, waits := c.failed[p]
			if waits && machine.Sub(at) < retryFailed {
				failed[p] = at
				continue
			}
			d, err := p.Dirtiness(now.UnixMilli())
			if err != nil {
				failed[p] = machine
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
	ctx, cancel := context.WithCancel(c.ctx)
	defer cancel()
	c.pass.Lock()
	c.pass.cancel = cancel
	c.pass.Unlock()
	if c.paused.Load() > 0 {
		return
	}
	begun := time.Now()
	done, err := p.Compact(ctx, c.e.env.Clock.Now().UnixMilli(), c.e.configs.Settings().LogCleanerDedupeBufferBytes)
	ended := time.Now()
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
		c.e.env.Logger.Info("partition is compacted", "partition", p.ID().String(), "first_dirty_offset", done.DirtyStart,
			"to_offset", done.End,
			"read_bytes", done.ReadBytes, "written_bytes", done.WrittenBytes, "keys", done.Keys,
			"segments_before", done.SegmentsBefore, "segments", done.Segments, "duration", ended.Sub(begun).String())
		c.e.env.Clock.Did("compacted partition", slog.String("topic", p.ID().Topic), slog.Int("partition", int(p.ID().Index)))
	}
	c.metrics.ended(outcome, done, begun, ended)
	c.metrics.uncleanable.Set(float64(len(c.failed)))
}

func (c *cleaner) warn(p *partition.Partition, err error) {
	if log.IsUncleanable(err) {
		c.e.env.Logger.Error("what the cleaner wrote is not what it was to write; nothing is lost, and the partition is "+
			"not compacted until the next start",
			"partition", p.ID().String(), "error", err)
		return
	}
	c.e.env.Logger.Warn("partition is not compacted; it is tried again later", "partition", p.ID().String(), "error", err)
}

// pause stops the running pass, and lets none begin until goOn is called.
func (c *cleaner) pause() (goOn func()) {
	c.paused.Add(1)
	c.pass.Lock()
	c.pass.cancel()
	c.pass.Unlock()
	return func() { c.paused.Add(-1) }
}

func (c *cleaner) stop() {
	c.cancel()
	c.check.Stop()
}
