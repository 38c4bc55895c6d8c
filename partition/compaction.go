package partition

import (
	"context"
	"fmt"
	"math"

	"once/log"
)

// Compaction says how the log keeps the newest record of each key. The zero value keeps all.
type Compaction struct {
	Compact  bool  // cleanup.policy contains compact; without it the rest does not count
	MinLagMs int64 // min.compaction.lag.ms: younger segments stay as they are
	// max.compaction.lag.ms: older records are compacted whatever MinDirtyRatio says; 0 is no limit
	MaxLagMs          int64
	DeleteRetentionMs int64   // delete.retention.ms: how long tombstones and markers stay
	MinDirtyRatio     float64 // min.cleanable.dirty.ratio: share of bytes not compacted yet that is worth a pass
}

// Dirtiness says how much there is to compact, and whether it is worth a pass.
type Dirtiness struct {
	log.Dirtiness
	Due bool
}

// Dirtiness returns what may be compacted now (spec: log 10). It is cheap if nothing has changed.
func (p *Partition) Dirtiness(nowMs int64) (Dirtiness, error) {
	c, v := p.config.Load().Compaction, p.view.Load()
	if !c.Compact || v.offline || v.logEnd == 0 {
		return Dirtiness{}, nil
	}
	d, err := p.log.Dirtiness(v.lastStable, nowMs, c.MinLagMs)
	if err != nil {
		return Dirtiness{}, fmt.Errorf("looking for what to compact in %s: %w", p.id, p.offlineIfDamaged(err))
	}
	overdue := c.MaxLagMs > 0 && c.MaxLagMs < math.MaxInt64 && d.OldestTimestampMs >= 0 &&
		d.OldestTimestampMs < nowMs-c.MaxLagMs
	return Dirtiness{Dirtiness: d, Due: d.CleanableBytes > 0 && (d.Ratio() > c.MinDirtyRatio || overdue)}, nil
}

// Compact makes one pass over everything that may be compacted now, whether a pass is due or not. It stops soon when
// ctx ends or the partition is closed or deleted, with an error for which log.IsStopped is true. mapBytes is the memory
// for keys (log.cleaner.dedupe.buffer.size): the pass ends where it is full.
func (p *Partition) Compact(ctx context.Context, nowMs, mapBytes int64) (log.Cleaned, error) {
	p.tidying.Lock()
	defer p.tidying.Unlock()
	if p.ending.Load() {
		return log.Cleaned{}, nil
	}
	// The last stable offset is taken before the pass waits for a barrier: after it the end of all transactions
	// below is on disk.
	d, err := p.Dirtiness(nowMs)
	if err != nil || d.CleanableBytes == 0 {
		return log.Cleaned{}, err
	}
	done, err := p.log.Clean(ctx, log.CleanOptions{
		Limit: d.Limit, NowMs: nowMs, DeleteRetentionMs: p.config.Load().Compaction.DeleteRetentionMs, MapBytes: mapBytes,
		Producers: p.lastOfProducers(), Exclusively: p.exclusively,
		Stopped: func() bool { return p.ending.Load() || ctx.Err() != nil },
	})
	if err != nil {
		err = fmt.Errorf("compacting %s: %w", p.id, p.offlineIfDamaged(err))
	}
	return done, err
}

// exclusively runs f while no append runs.
func (p *Partition) exclusively(f func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	f()
}

// lastOfProducers returns what the log must keep of each known producer.
func (p *Partition) lastOfProducers() map[int64]log.LastOfProducer {
	p.mu.Lock()
	defer p.mu.Unlock()
	last := make(map[int64]log.LastOfProducer, p.mu.producers.Count())
	p.mu.producers.All(func(id int64, e producer) {
		last[id] = log.LastOfProducer{DataOffset: e.LastDataOffset(), ProducerEpoch: e.ProducerEpoch}
	})
	return last
}
