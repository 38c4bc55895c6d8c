package quotas

import (
	"math"
	"strings"
	"time"
)

// rateKey is whose rate is measured: those of a quota for users are of one user with all client IDs, those of one for
// client IDs of one client ID with all users.
type rateKey struct {
	quota, user, clientID string
}

// maxRates bounds the rates that are measured at a time: clients choose their IDs. Above it, those that have been idle
// for all windows are forgotten, and if there are none, all.
const maxRates = 10_000

// bound finds the quota that holds for a user and a client ID, in Kafka's order, and whose rate counts for it.
func (q *Quotas) bound(quota, user, clientID string) (limit float64, key rateKey, ok bool) {
	kept := q.all()
	const (
		anyUser   = string(User)
		anyClient = string(ClientID)
	)
	ofUser, ofClient := anyUser+"="+user, anyClient+"="+clientID
	for _, candidate := range [...]string{
		ofUser + "\n" + ofClient, ofUser + "\n" + anyClient, ofUser,
		anyUser + "\n" + ofClient, anyUser + "\n" + anyClient, anyUser,
		ofClient, anyClient,
	} {
		if limit, ok = kept[candidate][quota]; !ok {
			continue
		}
		key.quota = quota
		if strings.HasPrefix(candidate, anyUser) {
			key.user = user
		}
		if strings.Contains("\n"+candidate, "\n"+anyClient) {
			key.clientID = clientID
		}
		return limit, key, true
	}
	return 0, rateKey{}, false
}

// Throttle adds an amount to the rate of a user's client, and returns for how long it has to pause, 0 where there is no
// quota or it is kept (spec: admin 17).
func (q *Quotas) Throttle(quota, user, clientID string, amount float64, now time.Time) time.Duration {
	if !q.Active() {
		return 0
	}
	limit, key, ok := q.bound(quota, user, clientID)
	if !ok {
		return 0
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	r := q.rateLocked(key, now)
	r.add(amount, now)
	pause := r.pause(limit, now)
	if quota == RequestPercentage {
		pause = min(pause, q.cfg.Window)
	}
	return pause
}

// Admit is Throttle for an amount that can be kept back: if it is too much it is not added, and admitted is false. One
// that is more than may be used in all windows would never be admitted; it is when nothing else has been used.
func (q *Quotas) Admit(quota, user, clientID string, amount float64, now time.Time) (pause time.Duration,
	admitted bool) {
	limit, key, ok := q.bound(quota, user, clientID)
	if !ok {
		return 0, true
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	r := q.rateLocked(key, now)
	used, _ := r.measure(now)
	r.add(amount, now)
	pause = r.pause(limit, now)
	if pause > 0 && used > 0 {
		r.add(-amount, now)
		return pause, false
	}
	return pause, true
}

// Room is what may be used in all windows; infinite where there is no quota.
func (q *Quotas) Room(quota, user, clientID string) float64 {
	limit, _, ok := q.bound(quota, user, clientID)
	if !ok {
		return math.Inf(1)
	}
	return limit * float64(q.cfg.Samples-1) * q.cfg.Window.Seconds()
}

// Mutate takes permits from the bucket of a user's client for changes: it holds what may be used in all windows, and is
// filled at the rate of controller_mutation_rate. A bucket may be overdrawn, then the client has to pause; with strict
// nothing is taken from one that is, and the change is refused (KIP-599; spec: admin 17).
func (q *Quotas) Mutate(user, clientID string, permits float64, strict bool,
	now time.Time) (pause time.Duration, refused bool) {
	limit, key, ok := q.bound(ControllerMutationRate, user, clientID)
	if !ok {
		return 0, false
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	r := q.rateLocked(key, now)
	r.fill(limit, now)
	if refused = strict && r.tokens < 0; !refused {
		r.tokens -= permits
	}
	if r.tokens < 0 {
		pause = time.Duration(min(math.Round(-r.tokens/limit*1000), math.MaxInt32)) * time.Millisecond
	}
	return pause, refused
}

// rateLocked returns the rate of a key, a new one if there is none.
func (q *Quotas) rateLocked(key rateKey, now time.Time) *rate {
	r := q.mu.rates[key]
	if r == nil {
		q.makeRoomLocked(now)
		cfg := q.cfg
		if key.quota == ControllerMutationRate {
			cfg = q.mutations
		}
		r = newRate(cfg)
		key.user, key.clientID = strings.Clone(key.user), strings.Clone(key.clientID)
		q.mu.rates[key] = r
	}
	return r
}

func (q *Quotas) makeRoomLocked(now time.Time) {
	if len(q.mu.rates) < maxRates {
		return
	}
	for key, r := range q.mu.rates {
		if r.isIdle(now) {
			delete(q.mu.rates, key)
		}
	}
	if len(q.mu.rates) >= maxRates {
		clear(q.mu.rates)
	}
}

// rate is an amount a second over sliding windows, as Kafka measures it: the sum of the last samples over the time
// since the oldest of them began, but at least all windows but one. It is pure.
type rate struct {
	cfg     Config
	samples []sample // at most cfg.Samples, oldest first
	// A bucket has these in place of samples.
	tokens float64
	filled time.Time // zero: never
}

type sample struct {
	begin  time.Time
	amount float64
}

func newRate(cfg Config) *rate { return &rate{cfg: cfg} }

// forget removes the samples that are too old.
func (r *rate) forget(now time.Time) {
	oldest := now.Add(-time.Duration(r.cfg.Samples) * r.cfg.Window)
	n := 0
	for n < len(r.samples) && !r.samples[n].begin.After(oldest) {
		n++
	}
	r.samples = append(r.samples[:0], r.samples[n:]...)
}

func (r *rate) isIdle(now time.Time) bool {
	r.forget(now)
	return len(r.samples) == 0 && r.tokens >= 0 && now.Sub(r.filled) >= time.Duration(r.cfg.Samples)*r.cfg.Window
}

// fill adds to a bucket what may be used since it was filled last, up to what may be used in all windows. A new one is
// full.
func (r *rate) fill(limit float64, now time.Time) {
	full := limit * (time.Duration(r.cfg.Samples) * r.cfg.Window).Seconds()
	if r.filled.IsZero() {
		r.tokens = full
	}
	r.tokens = min(full, r.tokens+limit*max(0, now.Sub(r.filled).Seconds()))
	r.filled = now
}

func (r *rate) add(amount float64, now time.Time) {
	r.forget(now)
	if n := len(r.samples); n == 0 || now.Sub(r.samples[n-1].begin) >= r.cfg.Window {
		if n >= r.cfg.Samples {
			r.samples = append(r.samples[:0], r.samples[1:]...)
		}
		r.samples = append(r.samples, sample{begin: now})
	}
	r.samples[len(r.samples)-1].amount += amount
}

// measure returns the rate and the time that it is measured over.
func (r *rate) measure(now time.Time) (perSecond float64, over time.Duration) {
	r.forget(now)
	if len(r.samples) == 0 {
		return 0, r.cfg.Window
	}
	total := 0.0
	for _, s := range r.samples {
		total += s.amount
	}
	over = now.Sub(r.samples[0].begin)
	if full := int(over / r.cfg.Window); full < r.cfg.Samples-1 {
		over += time.Duration(r.cfg.Samples-1-full) * r.cfg.Window
	}
	over = max(over, r.cfg.Window)
	return total / over.Seconds(), over
}

// pause is the time after which the rate is the limit again if nothing more is added.
func (r *rate) pause(limit float64, now time.Time) time.Duration {
	perSecond, over := r.measure(now)
	if perSecond <= limit {
		return 0
	}
	ms := math.Round((perSecond - limit) / limit * float64(over.Milliseconds()))
	return time.Duration(min(ms, math.MaxInt32)) * time.Millisecond
}
