package broker

import (
	"sync"
	"time"

	"once/internal/clock"
	"once/partition"
)

// upkeep runs what has to be done from time to time: forgetting producers that have been silent for
// producer.id.expiration.ms, and deleting segments that are too old or too many.
type upkeep struct {
	b    *Broker
	busy sync.WaitGroup
	mu   struct {
		sync.Mutex
		timers map[*duty]clock.Timer
		ended  bool
	}
	retention *duty // immutable
}

// duty is one thing to do, on a timer of its own.
type duty struct {
	name     string
	first    time.Duration // until the first time; 0 means the interval
	interval string        // the setting in ms
	run      func(nowMs int64)
	last     time.Time // when it was due last
	running  bool      // under upkeep's mu, as is the next one
	again    bool      // it is wanted once more when it has come to its end
}

// firstRetention is when Kafka looks at segments for the first time after its start.
const firstRetention = 30 * time.Second

func startUpkeep(b *Broker) *upkeep {
	u := &upkeep{b: b}
	u.mu.timers = map[*duty]clock.Timer{}
	u.retention = &duty{name: "retention", interval: "log.retention.check.interval.ms", run: u.applyRetention, first: firstRetention}
	for _, d := range []*duty{
		{name: "producer expiry", interval: "producer.id.expiration.check.interval.ms", run: u.expireProducers},
		u.retention,
	} {
		d.last = b.cfg.Clock.Now()
		u.arm(d, d.first)
	}
	return u
}

func (u *upkeep) arm(d *duty, atMost time.Duration) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.armLocked(d, atMost)
}

func (u *upkeep) armLocked(d *duty, atMost time.Duration) {
	if u.mu.ended {
		return
	}
	if t := u.mu.timers[d]; t != nil {
		t.Stop()
	}
	in := max(u.b.cfg.Settings.Milliseconds(d.interval), time.Millisecond)
	if atMost > 0 {
		in = min(in, atMost)
	}
	u.mu.timers[d] = u.b.cfg.Clock.AfterFunc(in, func() { u.due(d) })
}

// applyRetentionNow looks for segments to delete at once: somebody has deleted records, perhaps because the disk is full.
func (u *upkeep) applyRetentionNow() {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.retention.again = u.retention.running; !u.retention.again {
		u.armLocked(u.retention, time.Nanosecond)
	}
}

func (u *upkeep) due(d *duty) {
	u.mu.Lock()
	if u.mu.ended || d.running {
		u.mu.Unlock()
		return
	}
	d.running = true
	u.busy.Add(1)
	u.mu.Unlock()
	defer u.busy.Done()
	now := u.b.cfg.Clock.Now()
	wall, steady := now.Round(0).Sub(d.last.Round(0)), now.Sub(d.last)
	d.last = now
	if jumped(wall, steady) {
		u.b.cfg.Logger.Warn("the wall clock jumped; what goes by age stays for one more interval", "duty", d.name, "jump", (wall - steady).String())
	} else {
		d.run(now.UnixMilli())
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	soon := time.Duration(0)
	if d.again {
		soon = time.Nanosecond
	}
	d.running, d.again = false, false
	u.armLocked(d, soon)
}

// jumped says whether the wall clock moved by a minute more or less than the monotonic clock since the
// last look. Ages are then not to be believed, for one interval (spec: reliability P29).
func jumped(wall, steady time.Duration) bool { return (wall - steady).Abs() > time.Minute }

func (u *upkeep) expireProducers(nowMs int64) {
	limit := u.b.cfg.Settings.Int64("producer.id.expiration.ms")
	expired := 0
	u.eachPartition(func(p *partition.Partition) { expired += p.ExpireProducers(nowMs, limit) })
	if expired > 0 {
		u.b.cfg.Logger.Info("silent producers are forgotten", "producers", expired)
	}
}

func (u *upkeep) applyRetention(nowMs int64) {
	u.eachPartition(func(p *partition.Partition) {
		deleted, err := p.ApplyRetention(nowMs)
		if err != nil {
			u.b.cfg.Logger.Warn("segments are not deleted; tried again at the next check", "partition", p.ID().String(), "error", err)
		}
		if deleted.Segments > 0 {
			u.b.cfg.Logger.Info("segments are deleted", "partition", p.ID().String(), "segments", deleted.Segments,
				"size_bytes", deleted.SizeBytes, "log_start_offset", p.LogStartOffset())
		}
	})
}

// eachPartition calls f for each partition until the broker stops.
func (u *upkeep) eachPartition(f func(p *partition.Partition)) {
	for _, t := range u.b.topics.All() {
		for _, p := range t.Partitions() {
			u.mu.Lock()
			ended := u.mu.ended
			u.mu.Unlock()
			if ended {
				return
			}
			f(p)
		}
	}
}

func (u *upkeep) stop() {
	u.mu.Lock()
	u.mu.ended = true
	for _, t := range u.mu.timers {
		t.Stop()
	}
	u.mu.Unlock()
	u.busy.Wait()
}
