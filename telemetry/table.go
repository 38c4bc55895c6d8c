package telemetry

import (
	"container/list"
	"errors"
	"sync"
	"time"

	"once/log/batch"
)

// The limits of the table, which are Kafka's.
const (
	// maxInstances is how many client instances are remembered; the one that was seen longest ago makes room.
	maxInstances = 16_384
	// An instance is forgotten when it was silent for expiryIntervals intervals of its subscription, at least minExpiry.
	expiryIntervals = 3
	minExpiry       = time.Minute
)

// instance is a client instance. It is made for one version of the subscriptions: with the next one it begins again,
// and may ask and push at once.
type instance struct {
	id                ID
	version           int64
	subscriptionID    int32
	interval          time.Duration
	lastAsk, lastPush time.Time // zero: never
	terminating       bool
	lastErr           error // of its last push
	expires           time.Time
}

// table holds the client instances.
type table struct {
	max int
	mu  struct {
		sync.Mutex
		instances map[ID]*list.Element // of *instance
		order     *list.List           // by the time of their last request, the oldest first
		byConn    map[int64]ID         // the instance that each connection has made last
	}
}

func newTable(most int) *table {
	t := &table{max: most}
	t.mu.instances, t.mu.order, t.mu.byConn = map[ID]*list.Element{}, list.New(), map[int64]ID{}
	return t
}

func (t *table) len() int {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.mu.order.Len()
}

func (t *table) findLocked(id ID, now time.Time) *instance {
	e := t.mu.instances[id]
	if e == nil {
		return nil
	}
	if i := e.Value.(*instance); now.Before(i.expires) {
		return i
	}
	t.removeLocked(id)
	return nil
}

func (t *table) removeLocked(id ID) {
	if e := t.mu.instances[id]; e != nil {
		t.mu.order.Remove(e)
		delete(t.mu.instances, id)
	}
}

// seenLocked returns the instance of a request, a new one if there is none for this version of the subscriptions.
func (t *table) seenLocked(id ID, connectionID, version int64, wanted *Subscription, now time.Time) *instance {
	i := t.findLocked(id, now)
	if i == nil || i.version < version {
		t.removeLocked(id)
		if t.mu.order.Len() >= t.max {
			t.removeLocked(t.mu.order.Front().Value.(*instance).id)
		}
		i = &instance{id: id, version: version, subscriptionID: wanted.ID, interval: wanted.Interval}
		t.mu.instances[id] = t.mu.order.PushBack(i)
		t.mu.byConn[connectionID] = id
	}
	t.mu.order.MoveToBack(t.mu.instances[id])
	i.expires = now.Add(max(minExpiry, expiryIntervals*i.interval))
	return i
}

// ask is for a request for the subscription of an instance.
func (t *table) ask(id ID, connectionID, version int64, wanted *Subscription, now time.Time) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	i := t.seenLocked(id, connectionID, version, wanted, now)
	last := i.lastAsk
	if i.lastPush.After(last) {
		last = i.lastPush
	}
	if now.Sub(last) >= i.interval {
		i.lastAsk = now
	} else if !errors.Is(i.lastErr, ErrUnknownSubscription) && !errors.Is(i.lastErr, ErrCodec) {
		return ErrThrottled
	}
	i.lastErr = nil
	wanted.ID, wanted.Interval = i.subscriptionID, i.interval
	return nil
}

// push is for a push of an instance, which is refused or may be decoded.
func (t *table) push(p *Push, version int64, wanted *Subscription, maxBytes int, now time.Time) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	i := t.seenLocked(p.InstanceID, p.Client.ConnectionID, version, wanted, now)
	err := i.check(p, maxBytes, now)
	// As in Kafka, a push after the last one is refused only once.
	i.terminating, i.lastErr = p.Terminating, err
	return err
}

// check is in Kafka's order.
func (i *instance) check(p *Push, maxBytes int, now time.Time) error {
	if i.terminating {
		return ErrTerminating
	}
	inTime := i.lastAsk.After(i.lastPush) || now.Sub(i.lastPush) >= i.interval
	if inTime {
		i.lastPush = now
	}
	switch {
	case !inTime && !p.Terminating:
		return ErrThrottled
	case p.SubscriptionID != i.subscriptionID:
		return ErrUnknownSubscription
	case p.Codec < batch.None || p.Codec > batch.Zstd:
		return ErrCodec
	case len(p.Metrics) > maxBytes:
		return ErrTooLarge
	}
	return nil
}

// pushed is told how the decoding of a push has ended.
func (t *table) pushed(id ID, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if e := t.mu.instances[id]; e != nil {
		e.Value.(*instance).lastErr = err
	}
}

func (t *table) disconnected(connectionID int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if id, ok := t.mu.byConn[connectionID]; ok {
		delete(t.mu.byConn, connectionID)
		t.removeLocked(id)
	}
}

// expire forgets the instances that have been silent for too long.
func (t *table) expire(now time.Time) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for id := range t.mu.instances {
		t.findLocked(id, now)
	}
}
