package txncoordinator

import (
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"once/durability"
	"once/internal/clock"
)

// schedule is the work without a request: timeouts and expiry by the cluster's clock, and retries of markers in real
// time.
type schedule struct {
	abort, remove *clock.Check // nil before Start
	lastRemoval   time.Time    // when expiry was last looked at; of the check
	mu            struct {
		sync.Mutex
		retries []retry
	}
}

// retry is a prepared transaction owned by the schedule.
type retry struct {
	entry    *entry
	at       time.Time
	attempts int
}

// hurry makes the retry loop try a transaction again at once, if it is waiting there.
func (c *Coordinator) hurry(e *entry) {
	c.schedule.mu.Lock()
	for i := range c.schedule.mu.retries {
		if r := &c.schedule.mu.retries[i]; r.entry == e {
			r.at = c.cfg.RealTime.Now()
		}
	}
	c.schedule.mu.Unlock()
	c.wakeUp()
}

// retryLater hands a prepared transaction to the retry loop.
func (c *Coordinator) retryLater(e *entry, attempts int) {
	delay := min(firstRetry<<min(attempts, maxDoublings), maxRetry)
	c.schedule.mu.Lock()
	c.schedule.mu.retries = append(c.schedule.mu.retries, retry{e, c.cfg.RealTime.Now().Add(delay), attempts + 1})
	c.schedule.mu.Unlock()
	c.wakeUp()
}

func (c *Coordinator) wakeUp() {
	select {
	case c.kick <- struct{}{}:
	default:
	}
}

// Start starts the checks for timeouts and unused IDs and the retries of markers, until Close.
func (c *Coordinator) Start() {
	every := func(d time.Duration, f func()) *clock.Check {
		return c.cfg.Clock.Every(d, func() time.Duration { return d }, f)
	}
	c.schedule.abort = every(c.cfg.AbortInterval, c.abortTimedOut)
	c.schedule.remove = every(c.cfg.RemoveInterval, c.removeUnused)
	c.loop.Go(c.retryLoop)
}

func (c *Coordinator) retryLoop() {
	for c.ctx.Err() == nil {
		var timer clock.Timer
		now := c.cfg.RealTime.Now()
		if next, waiting := c.retryDue(now); waiting {
			timer = c.cfg.RealTime.AfterFunc(next.Sub(now), c.wakeUp)
		}
		select {
		case <-c.kick:
		case <-c.ctx.Done():
		}
		if timer != nil {
			timer.Stop()
		}
	}
}

// Close stops the work without a request and waits for it. Requests are refused from then on; the next Load finishes
// decided transactions. The caller has stopped all requests before.
func (c *Coordinator) Close() {
	c.phase.Store(phaseClosed)
	c.cancel()
	for _, check := range []*clock.Check{c.schedule.abort, c.schedule.remove} {
		if check != nil {
			check.Stop()
		}
	}
	c.loop.Wait()
	c.metrics.unregister()
}

// retryDue retries the markers that are due at now, and returns when the next ones are; false when there are none.
func (c *Coordinator) retryDue(now time.Time) (next time.Time, waiting bool) {
	c.work(func() {
		for _, r := range c.schedule.takeDue(now) {
			_ = c.finishOrRetry(r.entry, r.attempts) // puts itself back
		}
	})
	c.schedule.mu.Lock()
	defer c.schedule.mu.Unlock()
	for i, r := range c.schedule.mu.retries {
		if i == 0 || r.at.Before(next) {
			next = r.at
		}
	}
	return next, len(c.schedule.mu.retries) > 0
}

// takeDue removes the due retries from the schedule and returns them.
func (s *schedule) takeDue(now time.Time) (due []retry) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.retries = slices.DeleteFunc(s.mu.retries, func(r retry) bool {
		if r.at.After(now) {
			return false
		}
		due = append(due, r)
		return true
	})
	return due
}

// RetryNow tries all missing markers now: a partition that was offline is back.
func (c *Coordinator) RetryNow() {
	c.retryDue(c.cfg.RealTime.Now().Add(maxRetry))
	c.wakeUp()
}

// forget drops the retries of entries.
func (s *schedule) forget(of func(e *entry) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.mu.retries = slices.DeleteFunc(s.mu.retries, func(r retry) bool { return of(r.entry) })
}

// abortTimedOut aborts every transaction that has been open for longer than its timeout.
func (c *Coordinator) abortTimedOut() {
	c.gate.enter()
	defer c.gate.leave()
	now := c.cfg.Clock.Now()
	for _, e := range c.entriesWhere(func(e *entry) bool { return e.timedOut(now) }) {
		c.expireTransaction(e, now)
	}
}

// removeUnused forgets every ID that was unused for too long.
func (c *Coordinator) removeUnused() {
	c.gate.enter()
	defer c.gate.leave()
	now := c.cfg.Clock.Now()
	if !c.clocksAgree(now) {
		return
	}
	for _, e := range c.entriesWhere(func(e *entry) bool { return e.unused(c.cfg.IDExpiration, now) }) {
		c.expire(e, now)
	}
}

func (e *entry) timedOut(now time.Time) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.timedOutLocked(now) && (e.mu.holds == nil || e.mu.holds.expiry == nil)
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

// abortOne fences the producer of a transaction that has been open for longer than its timeout and aborts it (spec:
// transactions 12). Activity does not move the deadline. If another request is ending the transaction, that end wins.
func (c *Coordinator) abortOne(e *entry, now time.Time) {
	version := c.cfg.TransactionVersion()
	p, err := c.begin(e, Source{}, func(t *Transaction, freshID, nowMs int64) (plan, error) {
		if !e.timedOutLocked(now) { // decisions are made with e.mu held
			return plan{done: true}, nil
		}
		return prepareFence(t, freshID, version, nowMs)
	})
	if err == nil && !p.done {
		c.cfg.Logger.Info("transaction timed out", "transactional_id", p.next.TransactionalID,
			"producer_id", p.next.ProducerID, "timeout_ms", p.next.TimeoutMs)
		if err = c.end(e, &p, outcomeTimeout); err == nil {
			c.cfg.Clock.Did("aborted transaction", slog.String("transactionalId", p.next.TransactionalID))
		}
	}
	if err != nil && !errors.Is(err, errHeld) { // the next look tries again, or the schedule does
		c.cfg.Logger.Warn("abort of a timed out transaction is not finished", "transactional_id", e.transactionalID(),
			"error", err)
	}
}

// clocksAgree says whether the wall clock and the monotonic one have moved alike since the last check for unused IDs.
// If the wall clock was set, expiry skips one interval (reliability P29).
func (c *Coordinator) clocksAgree(now time.Time) bool {
	last := c.schedule.lastRemoval
	c.schedule.lastRemoval = now
	wall, monotonic := now.Round(0).Sub(last.Round(0)), now.Sub(last)
	if wasSet(wall, monotonic) {
		c.cfg.Logger.Warn("wall clock was set; transactional IDs do not expire this time", "by", wall-monotonic)
		return false
	}
	return true
}

// wasSet says whether a wall clock was set, from the time passed on it and on the monotonic one.
func wasSet(wall, monotonic time.Duration) bool { return (wall - monotonic).Abs() > time.Minute }

// expire forgets an ID that was unused for too long (spec: transactions 12). Dead is pending while the tombstone is
// written, and stays so in the entry, which other goroutines may still hold.
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
	if _, err := e.shard.stateLog.AppendCoordinator(encodeTombstone(id, nowMs),
		durability.TransactionChanged); err != nil {
		e.endUnchanged()
		c.cfg.Logger.Warn("unused transactional ID could not be removed", "transactional_id", id, "error", err)
		return
	}
	c.remove(e.shard, id)
	c.cfg.Clock.Did("expired transactional ID", slog.String("transactionalId", id))
}
