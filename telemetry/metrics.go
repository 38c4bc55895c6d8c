package telemetry

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"once/log/batch"
)

// The limits of what clients push.
const (
	// maxNames is how many names of metrics are kept until the cluster ends; data points of others are dropped.
	maxNames = 1000
	// maxNameBytes is the longest name; a metric with a longer one is dropped.
	maxNameBytes = 200
)

// outcomes of requests, as labels.
var outcomes = []struct {
	err  error
	name string
}{
	{nil, "accepted"}, {ErrThrottled, "throttled"}, {ErrTerminating, "terminating"}, {ErrInstanceID, "instance_id"},
	{ErrUnknownSubscription, "unknown_subscription"}, {ErrCodec, "codec"}, {ErrTooLarge, "too_large"},
	{ErrUnreadable, "unreadable"},
}

// metrics are those of the clients, added up over all of them, and those of telemetry itself.
type metrics struct {
	requests, pushes       *prometheus.CounterVec
	dropped                *prometheus.CounterVec
	total, value, observed *prometheus.Desc
	mu                     struct {
		sync.Mutex
		byName map[string]*values
	}
}

// values are all data points of one name.
type values struct {
	total, last           float64
	sum                   float64
	count                 uint64
	counted, set, observe bool // which of them there are
}

func newMetrics(r prometheus.Registerer, instances func() int) (*metrics, error) {
	vector := func(name, label, help string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, []string{label})
	}
	desc := func(name, help string) *prometheus.Desc {
		return prometheus.NewDesc(name, help, []string{"metric"}, nil)
	}
	m := &metrics{
		requests: vector("telemetry_subscription_requests_total", "outcome",
			"Requests of clients for the metrics that they should push, by outcome."),
		pushes: vector("telemetry_pushes_total", "outcome", "Pushes of metrics by clients, by outcome."),
		dropped: vector("telemetry_dropped_points_total", "reason",
			"Data points that clients have pushed and that are not shown, by reason."),
		total: desc("client_metric_total", "What clients have counted, added up over all of them."),
		value: desc("client_metric_value", "The value that a client has pushed last."),
		observed: desc("client_metric_observed",
			"Number and sum of the values that all clients have pushed: their quotient is the mean."),
	}
	m.mu.byName = map[string]*values{}
	for _, o := range outcomes {
		m.pushes.WithLabelValues(o.name)
	}
	if r == nil {
		return m, nil
	}
	gauge := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "telemetry_client_instances", Help: "Client instances that are remembered.",
	}, func() float64 { return float64(instances()) })
	return m, errors.Join(r.Register(m.requests), r.Register(m.pushes), r.Register(m.dropped), r.Register(gauge),
		r.Register(m))
}

func outcome(err error) string {
	for _, o := range outcomes {
		if errors.Is(err, o.err) {
			return o.name
		}
	}
	return "unreadable"
}

func (m *metrics) asked(err error) { m.requests.WithLabelValues(outcome(err)).Inc() }

func (m *metrics) pushed(err error) { m.pushes.WithLabelValues(outcome(err)).Inc() }

// add adds the metrics of a push that the client was asked for. If they cannot be read to their end, none is added.
func (m *metrics) add(p *Push, asked prefixes, maxBytes int) error {
	if len(p.Metrics) == 0 {
		return nil
	}
	data, err := batch.Inflate(p.Metrics, p.Codec, maxBytes)
	if err != nil {
		return fmt.Errorf("%w: %v", ErrUnreadable, err)
	}
	if !decode(data, func([]byte, point) {}) {
		return fmt.Errorf("%w: they are no MetricsData of OTLP", ErrUnreadable)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	decode(data, func(name []byte, p point) {
		if reason := m.addLocked(name, p, asked); reason != "" {
			m.dropped.WithLabelValues(reason).Inc()
		}
	})
	return nil
}

// addLocked returns the reason why a data point is dropped.
func (m *metrics) addLocked(name []byte, p point, asked prefixes) string {
	switch {
	case len(name) == 0 || len(name) > maxNameBytes:
		return "name"
	case !asked.have(string(name)):
		return "not_subscribed"
	case math.IsNaN(p.value) || math.IsInf(p.value, 0) || p.counted && p.value < 0:
		return "value"
	}
	clean := cleanName(name)
	v := m.mu.byName[clean]
	if v == nil {
		if len(m.mu.byName) >= maxNames {
			return "too_many_names"
		}
		v = &values{}
		m.mu.byName[clean] = v
	}
	v.add(p)
	return ""
}

func (v *values) add(p point) {
	if p.counted {
		v.total, v.counted = v.total+p.value, true
		return
	}
	v.observe, v.sum = true, v.sum+p.value
	if p.distribution {
		v.count += p.count
		return
	}
	v.count++
	v.last, v.set = p.value, true
}

// cleanName is a name of letters, digits, dots, dashes and underscores.
func cleanName(name []byte) string {
	return strings.Map(func(c rune) rune {
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '.' || c == '-' {
			return c
		}
		return '_'
	}, string(name))
}

// Describe implements prometheus.Collector.
func (m *metrics) Describe(ch chan<- *prometheus.Desc) {
	ch <- m.total
	ch <- m.value
	ch <- m.observed
}

// Collect implements prometheus.Collector.
func (m *metrics) Collect(ch chan<- prometheus.Metric) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for name, v := range m.mu.byName {
		if v.counted {
			ch <- prometheus.MustNewConstMetric(m.total, prometheus.CounterValue, v.total, name)
		}
		if v.set {
			ch <- prometheus.MustNewConstMetric(m.value, prometheus.GaugeValue, v.last, name)
		}
		if v.observe {
			ch <- prometheus.MustNewConstSummary(m.observed, v.count, v.sum, nil, name)
		}
	}
}
