package broker

import (
	"sync"
	"time"

	"once/internal/clock"
)

// upkeep runs what has to be done from time to time: today, forgetting producers that have been silent
// for producer.id.expiration.ms.
type upkeep struct {
	b     *Broker
	mu    sync.Mutex
	timer clock.Timer
	ended bool
	busy  sync.WaitGroup
}

func startUpkeep(b *Broker) *upkeep {
	u := &upkeep{b: b}
	u.arm()
	return u
}

func (u *upkeep) arm() {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.ended {
		return
	}
	interval := max(u.b.cfg.Settings.Milliseconds("producer.id.expiration.check.interval.ms"), time.Millisecond)
	u.timer = u.b.cfg.Clock.AfterFunc(interval, u.run)
}

func (u *upkeep) run() {
	u.mu.Lock()
	if u.ended {
		u.mu.Unlock()
		return
	}
	u.busy.Add(1)
	u.mu.Unlock()
	defer u.busy.Done()
	now, limit := u.b.cfg.Clock.Now().UnixMilli(), u.b.cfg.Settings.Int64("producer.id.expiration.ms")
	expired := 0
	for _, t := range u.b.topics.All() {
		for _, p := range t.Partitions() {
			expired += p.ExpireProducers(now, limit)
		}
	}
	if expired > 0 {
		u.b.cfg.Logger.Info("silent producers are forgotten", "producers", expired)
	}
	u.arm()
}

func (u *upkeep) stop() {
	u.mu.Lock()
	u.ended = true
	u.timer.Stop()
	u.mu.Unlock()
	u.busy.Wait()
}
