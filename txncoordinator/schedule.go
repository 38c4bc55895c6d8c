package txncoordinator

import (
	"slices"
	"sync"
	"time"
)

// schedule is what happens by the clock: timeouts, expiry, markers to be tried again.
type schedule struct {
	due sync.Mutex // one Due at a time; held during appends, never taken with mu or an entry's lock held
	mu  struct {
		sync.Mutex
		retries     []retry
		nextAbort   time.Time
		nextRemove  time.Time
		lastRemoval time.Time // when expiry was last looked at
	}
}

// retry is a prepared transaction whose owner is the schedule.
type retry struct {
	entry    *entry
	at       time.Time
	attempts int
}

func (s *schedule) begin(now time.Time, cfg *Config) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.nextAbort, s.mu.nextRemove, s.mu.lastRemoval = now.Add(cfg.AbortInterval), now.Add(cfg.RemoveInterval), now
}

// retryLater hands a prepared transaction to the run loop.
func (c *Coordinator) retryLater(e *entry, attempts int) {
	delay := min(firstRetry<<min(attempts, maxDoublings), maxRetry)
	c.schedule.mu.Lock()
	c.schedule.mu.retries = append(c.schedule.mu.retries, retry{e, c.cfg.Clock.Now().Add(delay), attempts + 1})
	c.schedule.mu.Unlock()
	c.wakeUp()
}

func (c *Coordinator) wakeUp() {
	select {
	case c.kick <- struct{}{}:
	default:
	}
}

// Start runs Due whenever something falls due, until Close.
func (c *Coordinator) Start() {
	c.loop.Add(1)
	go func() {
		defer c.loop.Done()
		for c.ctx.Err() == nil {
			now := c.cfg.Clock.Now()
			timer := c.cfg.Clock.AfterFunc(c.Due(now).Sub(now), c.wakeUp)
			select {
			case <-c.kick:
			case <-c.ctx.Done():
			}
			timer.Stop()
		}
	}()
}

// Close stops the run loop and waits for it. Requests are refused from then on; what is decided but not
// finished is finished by the next Load. Whoever sends requests has stopped before.
func (c *Coordinator) Close() {
	c.phase.Store(phaseClosed)
	c.cancel()
	c.loop.Wait()
	c.metrics.unregister()
}

// Due does what has fallen due at now and returns when it wants to be called next. The loop of Start
// calls it; tests do so themselves.
func (c *Coordinator) Due(now time.Time) (wake time.Time) {
	c.schedule.due.Lock()
	defer c.schedule.due.Unlock()
	if c.serving() != nil {
		return now.Add(c.cfg.AbortInterval)
	}
	retries, abort, removeIdle := c.schedule.take(now, &c.cfg)
	for _, r := range retries {
		_ = c.finishOrRetry(r.entry, r.attempts) // puts itself back
	}
	if abort {
		for _, e := range c.which(func(e *entry) bool { return e.timedOut(now) }) {
			c.abortTimedOut(e, now)
		}
	}
	if removeIdle && c.clocksAgree(now) {
		for _, e := range c.which(func(e *entry) bool { return e.unused(c.cfg.IDExpiration, now) }) {
			c.expire(e, now)
		}
	}
	return c.schedule.next()
}

// take removes from the schedule what is due.
func (s *schedule) take(now time.Time, cfg *Config) (retries []retry, abort, removeIdle bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.retries = slices.DeleteFunc(s.mu.retries, func(r retry) bool {
		due := !r.at.After(now)
		if due {
			retries = append(retries, r)
		}
		return due
	})
	if abort = !s.mu.nextAbort.After(now); abort {
		s.mu.nextAbort = now.Add(cfg.AbortInterval)
	}
	if removeIdle = !s.mu.nextRemove.After(now); removeIdle {
		s.mu.nextRemove = now.Add(cfg.RemoveInterval)
	}
	return retries, abort, removeIdle
}

func (s *schedule) next() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	wake := s.mu.nextAbort
	if s.mu.nextRemove.Before(wake) {
		wake = s.mu.nextRemove
	}
	for _, r := range s.mu.retries {
		if r.at.Before(wake) {
			wake = r.at
		}
	}
	return wake
}

func (e *entry) timedOut(now time.Time) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.timedOutLocked(now)
}

func (e *entry) timedOutLocked(now time.Time) bool {
	t := &e.mu.txn
	return t.State == Ongoing && t.Pending == NoState && now.After(e.mu.deadline)
}

func (e *entry) unused(expiration time.Duration, now time.Time) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return expirable(&e.mu.txn, expiration.Milliseconds(), now.UnixMilli())
}

// abortTimedOut fences the producer of a transaction that is open for longer than its timeout and
// aborts it (spec: transactions 12). Activity does not move the deadline. One that is being ended at
// this moment is left alone: its end wins.
func (c *Coordinator) abortTimedOut(e *entry, now time.Time) {
	version := c.cfg.TransactionVersion()
	p, err := c.begin(e, func(t *Transaction, freshID, nowMs int64) (plan, error) {
		if !e.timedOutLocked(now) { // decisions are made with e.mu held
			return plan{done: true}, nil
		}
		return prepareFence(t, freshID, version, nowMs)
	})
	if err == nil && !p.done {
		c.cfg.Logger.Info("transaction timed out", "transactional_id", p.next.TransactionalID,
			"producer_id", p.next.ProducerID, "timeout_ms", p.next.TimeoutMs)
		err = c.end(e, &p, outcomeTimeout)
	}
	if err != nil { // the next look tries again, or the schedule does
		c.cfg.Logger.Warn("abort of a timed out transaction is not finished", "transactional_id", e.transactionalID(), "error", err)
	}
}

// clocksAgree tells whether the wall clock and the monotonic one have moved alike since the last look
// for unused IDs; when the wall clock was set, expiry sits out one interval (reliability P29).
func (c *Coordinator) clocksAgree(now time.Time) bool {
	c.schedule.mu.Lock()
	last := c.schedule.mu.lastRemoval
	c.schedule.mu.lastRemoval = now
	c.schedule.mu.Unlock()
	wall, monotonic := now.Round(0).Sub(last.Round(0)), now.Sub(last)
	if wasSet(wall, monotonic) {
		c.cfg.Logger.Warn("wall clock was set; transactional IDs do not expire this time", "by", wall-monotonic)
		return false
	}
	return true
}

// wasSet tells whether a wall clock was set, by what passed on it and on the monotonic one.
func wasSet(wall, monotonic time.Duration) bool { return (wall - monotonic).Abs() > time.Minute }

// expire forgets an ID that was unused for too long (spec: transactions 12). While the tombstone is
// being written Dead is pending, and it stays so in the entry that others may still hold.
func (c *Coordinator) expire(e *entry, now time.Time) {
	nowMs := now.UnixMilli()
	e.mu.Lock()
	t := &e.mu.txn
	due := expirable(t, c.cfg.IDExpiration.Milliseconds(), nowMs)
	if due {
		t.Pending = Dead
	}
	id := t.TransactionalID
	e.mu.Unlock()
	if !due {
		return
	}
	if _, err := e.shard.stateLog.AppendCoordinator(encodeTombstone(id, nowMs)); err != nil {
		e.giveBack()
		c.cfg.Logger.Warn("unused transactional ID could not be removed", "transactional_id", id, "error", err)
		return
	}
	c.remove(e.shard, id)
}
