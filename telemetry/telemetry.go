// Package telemetry is the broker's side of client telemetry (KIP-714; spec: wire 16). A client asks which metrics it
// should send, and how often; then it pushes them. What is pushed is added up over all clients, as metrics of the
// broker.
//
// Subscriptions are configured as resources of the type CLIENT_METRICS, and matched against the attributes of a client.
// A client instance is remembered in a table: when it asked and pushed last, and which subscription it was given. The
// table has a limit, and an instance that is silent is forgotten by the cluster's clock. Nothing of it is stored.
//
// handlers and cluster use it. It knows no requests. Payloads come from anybody: nothing in them is trusted, and no
// label of a metric has more values than maxNames.
package telemetry

import (
	"errors"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"once/internal/clock"
	"once/log/batch"
	"once/settings"
)

// The errors of requests.
var (
	// ErrThrottled: the interval of the subscription is not over.
	ErrThrottled = errors.New("the request is before its time")
	// ErrTerminating: the client has said that its last push was the last one.
	ErrTerminating = errors.New("the client has ended already")
	// ErrInstanceID: no client can have this ID.
	ErrInstanceID = errors.New("no client instance ID")
	// ErrUnknownSubscription: the subscription of the client has another ID, because subscriptions have changed.
	ErrUnknownSubscription = errors.New("unknown subscription ID")
	// ErrCodec: there is no such compression.
	ErrCodec = errors.New("unknown compression type")
	// ErrTooLarge: the compressed metrics have more than telemetry.max.bytes.
	ErrTooLarge = errors.New("too many bytes of metrics")
	// ErrUnreadable: the metrics cannot be decompressed or decoded, or have more than telemetry.max.bytes then.
	ErrUnreadable = errors.New("unreadable metrics")
)

// Options are for New.
type Options struct {
	Clock      clock.Clock // the cluster's
	MaxBytes   int         // telemetry.max.bytes
	Registerer prometheus.Registerer
}

// Telemetry holds the subscriptions and the client instances. Safe for concurrent use; change is held while a
// subscription is replaced, and taken before the lock of the table.
type Telemetry struct {
	clock    clock.Clock // immutable, as are the next two
	maxBytes int
	metrics  *metrics
	expiry   *clock.Check
	change   sync.Mutex
	subs     atomic.Pointer[subscriptions]
	table    *table
}

// subscriptions are immutable.
type subscriptions struct {
	version int64 // grows with each change
	byName  map[string]settings.ClientMetrics
}

// New returns telemetry without subscriptions.
func New(o Options) (*Telemetry, error) {
	t := &Telemetry{clock: o.Clock, maxBytes: o.MaxBytes, table: newTable(maxInstances)}
	t.subs.Store(&subscriptions{})
	var err error
	if t.metrics, err = newMetrics(o.Registerer, t.table.len); err != nil {
		return nil, err
	}
	t.expiry = t.clock.Every(minExpiry, func() time.Duration { return minExpiry },
		func() { t.table.expire(t.clock.Now()) })
	return t, nil
}

// Close ends the expiry of client instances.
func (t *Telemetry) Close() { t.expiry.Stop() }

// SetSubscription makes the settings of a subscription hold; none remove it.
func (t *Telemetry) SetSubscription(name string, set settings.Values) {
	t.change.Lock()
	defer t.change.Unlock()
	old := t.subs.Load()
	byName := maps.Clone(old.byName)
	if byName == nil {
		byName = map[string]settings.ClientMetrics{}
	}
	if len(set) == 0 {
		delete(byName, name)
	} else {
		byName[name] = settings.ClientMetricsOf(set)
	}
	t.subs.Store(&subscriptions{old.version + 1, byName})
}

// IsConfigured says whether there are subscriptions. While there are none, clients are not shown the APIs.
func (t *Telemetry) IsConfigured() bool { return t != nil && len(t.subs.Load().byName) > 0 }

// Client is the client of a request, with what subscriptions are matched against.
type Client struct {
	ConnectionID                  int64
	ClientID                      string
	SoftwareName, SoftwareVersion string
	Address, Port                 string
}

// Subscription is what a client should push.
type Subscription struct {
	InstanceID ID
	ID         int32
	Interval   time.Duration
	Metrics    []string // prefixes of names, sorted
}

// MaxBytes is the most that a push may have, compressed.
func (t *Telemetry) MaxBytes() int { return t.maxBytes }

// Subscription returns what a client should push. A client without an ID, which is NoID, is given one.
func (t *Telemetry) Subscription(id ID, c Client) (Subscription, error) {
	now, subs := t.clock.Now(), t.subs.Load()
	if id == NoID {
		id = newID()
	}
	wanted := subs.wanted(id, &c)
	err := t.table.ask(id, c.ConnectionID, subs.version, &wanted, now)
	t.metrics.asked(err)
	if err != nil {
		return Subscription{}, err
	}
	return wanted, nil
}

// Push are metrics of a client.
type Push struct {
	InstanceID     ID
	SubscriptionID int32
	Terminating    bool // it is the client's last one
	Codec          batch.Codec
	Metrics        []byte // MetricsData of OTLP, compressed
	Client         Client
}

// Push adds a client's metrics to those of the broker.
func (t *Telemetry) Push(p *Push) error {
	err := t.push(p)
	t.metrics.pushed(err)
	return err
}

func (t *Telemetry) push(p *Push) error {
	if p.InstanceID == NoID || p.InstanceID == reservedID {
		return ErrInstanceID
	}
	now, subs := t.clock.Now(), t.subs.Load()
	wanted := subs.wanted(p.InstanceID, &p.Client)
	if err := t.table.push(p, subs.version, &wanted, t.maxBytes, now); err != nil {
		return err
	}
	err := t.metrics.add(p, prefixesOf(wanted.Metrics), t.maxBytes)
	t.table.pushed(p.InstanceID, err)
	return err
}

// Disconnected forgets the client instance that was first seen over a connection.
func (t *Telemetry) Disconnected(connectionID int64) { t.table.disconnected(connectionID) }
