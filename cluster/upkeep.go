package cluster

import (
	"log/slog"
	"sync/atomic"
	"time"

	"once/internal/clock"
	"once/partition"
	"once/settings"
)

// upkeep runs periodic work: it forgets producers that have written nothing for producer.id.expiration.ms, and deletes
// segments that are due by time or size.
type upkeep struct {
	e      *engine
	checks []*clock.Check
	ended  atomic.Bool
}

// firstRetention is the time of Kafka's first retention check after a start.
const firstRetention = 30 * time.Second

func startUpkeep(e *engine) *upkeep {
	u := &upkeep{e: e}
	u.start(upkeepCheck{
		setting:  "producer.id.expiration.check.interval.ms",
		interval: func(s *settings.Broker) time.Duration { return s.ProducerIDExpirationCheckInterval },
		run:      u.expireProducers,
	})
	u.start(upkeepCheck{
		setting:  "log.retention.check.interval.ms",
		interval: func(s *settings.Broker) time.Duration { return s.LogRetentionCheckInterval },
		first:    firstRetention,
		run:      u.applyRetention,
	})
	return u
}

// upkeepCheck is a periodic check.
type upkeepCheck struct {
	setting  string // the interval's name
	interval func(*settings.Broker) time.Duration
	first    time.Duration // latest first run; 0 means the interval
	run      func(nowMs int64)
}

func (u *upkeep) start(c upkeepCheck) {
	interval := func() time.Duration { return max(c.interval(u.e.configs.Settings()), time.Millisecond) }
	first := c.first
	if first == 0 {
		first = interval()
	}
	last := u.e.env.Clock.Now()
	u.checks = append(u.checks, u.e.env.Clock.Every(min(first, interval()), interval, func() {
		now := u.e.env.Clock.Now()
		wall, steady := now.Round(0).Sub(last.Round(0)), now.Sub(last)
		last = now
		if jumped(wall, steady) {
			u.e.env.Logger.Warn("the wall clock jumped; what goes by age stays for one more interval", "interval", c.setting,
				"jump", (wall - steady).String())
			return
		}
		c.run(now.UnixMilli())
	}))
}

// jumped says whether the wall clock moved by a minute more or less than the monotonic clock since the last check. Then
// ages are not used for one interval (spec: reliability P29).
func jumped(wall, steady time.Duration) bool { return (wall - steady).Abs() > time.Minute }

func (u *upkeep) expireProducers(nowMs int64) {
	limit := u.e.configs.Settings().ProducerIDExpiration.Milliseconds()
	expired := 0
	u.eachPartition(func(p *partition.Partition) { expired += p.ExpireProducers(nowMs, limit) })
	if expired > 0 {
		u.e.env.Logger.Info("silent producers are forgotten", "producers", expired)
		u.e.env.Clock.Did("expired producer IDs", slog.Int("producerIds", expired))
	}
}

func (u *upkeep) applyRetention(nowMs int64) {
	u.eachPartition(func(p *partition.Partition) {
		deleted, err := p.ApplyRetention(nowMs)
		if err != nil {
			u.e.env.Logger.Warn("segments are not deleted; tried again at the next check", "partition", p.ID().String(),
				"error", err)
		}
		if deleted.Segments > 0 {
			u.e.env.Logger.Info("segments are deleted", "partition", p.ID().String(), "segments", deleted.Segments,
				"size_bytes", deleted.SizeBytes, "log_start_offset", p.LogStartOffset())
			u.e.env.Clock.Did("deleted segments", slog.String("topic", p.ID().Topic), slog.Int("partition", int(p.ID().Index)),
				slog.Int("segments", deleted.Segments), slog.Int64("logStartOffset", p.LogStartOffset()))
		}
	})
}

// eachPartition calls f for each partition until the broker stops.
func (u *upkeep) eachPartition(f func(p *partition.Partition)) {
	for _, t := range u.e.topics.All() {
		for _, p := range t.Partitions() {
			if u.ended.Load() {
				return
			}
			f(p)
		}
	}
}

func (u *upkeep) stop() {
	u.ended.Store(true)
	for _, c := range u.checks {
		c.Stop()
	}
}
