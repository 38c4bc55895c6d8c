package sharepartition

import (
	"github.com/prometheus/client_golang/prometheus"

	"once/sharepartition/window"
)

// metrics are those of share partitions and share sessions, over all groups.
type metrics struct {
	loadSeconds    prometheus.Histogram
	lockTimeouts   prometheus.Counter
	letters        prometheus.Counter
	failedLetters  prometheus.Counter
	acknowledgedBy *prometheus.CounterVec
}

// acknowledgeNames are the label values of the types of acknowledgements.
var acknowledgeNames = [window.Renew + 1]string{"gap", "accept", "release", "reject", "renew"}

func newMetrics(m *Manager, registerer prometheus.Registerer) (*metrics, error) {
	x := &metrics{
		loadSeconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "share_partition_load_duration_seconds", Help: "Time to load the state of a share partition.",
			Buckets: prometheus.ExponentialBuckets(0.0001, 4, 8),
		}),
		lockTimeouts: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "share_acquisition_lock_timeouts_total", Help: "Runs of records whose acquisition lock has ended.",
		}),
		letters: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "share_dead_letters_total", Help: "Runs of records that were due for the dead-letter queue.",
		}),
		failedLetters: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "share_dead_letters_failed_total", Help: "Runs of records that could not be written to the dead-letter queue.",
		}),
		acknowledgedBy: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "share_acknowledgements_total", Help: "Records that members have acknowledged, by type.",
		}, []string{"type"}),
	}
	if registerer == nil {
		return x, nil
	}
	for _, c := range []prometheus.Collector{
		x.loadSeconds, x.lockTimeouts, x.letters, x.failedLetters, x.acknowledgedBy,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "share_sessions", Help: "Share sessions."}, func() float64 {
			return float64(m.Sessions())
		}),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "share_partitions_loaded", Help: "Share partitions in memory."},
			func() float64 {
				m.mu.Lock()
				defer m.mu.Unlock()
				return float64(len(m.mu.loaded))
			}),
		stateCollector{m},
	} {
		if err := registerer.Register(c); err != nil {
			return nil, err
		}
	}
	return x, nil
}

func (x *metrics) acknowledged(list []window.Acknowledgement) {
	for _, a := range list {
		if len(a.Types) == 1 {
			x.acknowledgedBy.WithLabelValues(acknowledgeNames[a.Types[0]]).Add(float64(a.LastOffset - a.FirstOffset + 1))
			continue
		}
		for _, t := range a.Types {
			x.acknowledgedBy.WithLabelValues(acknowledgeNames[t]).Inc()
		}
	}
}

// stateCollector counts the records of all windows by state.
type stateCollector struct{ m *Manager }

var recordsInFlight = prometheus.NewDesc("share_records", "Records in the windows of share partitions, by state.",
	[]string{"state"}, nil)

// Describe implements prometheus.Collector.
func (stateCollector) Describe(ch chan<- *prometheus.Desc) { ch <- recordsInFlight }

// Collect implements prometheus.Collector.
func (c stateCollector) Collect(ch chan<- prometheus.Metric) {
	c.m.mu.Lock()
	all := make([]*SharePartition, 0, len(c.m.mu.loaded))
	for _, sp := range c.m.mu.loaded {
		all = append(all, sp)
	}
	c.m.mu.Unlock()
	var sum [window.Archived + 1]int64
	for _, sp := range all {
		sp.mu.Lock()
		if sp.mu.window != nil {
			for state, n := range sp.mu.window.Counts() {
				sum[state] += n
			}
		}
		sp.mu.Unlock()
	}
	for state, n := range sum {
		ch <- prometheus.MustNewConstMetric(recordsInFlight, prometheus.GaugeValue, float64(n), map[window.State]string{
			window.Available: "available", window.Acquired: "acquired", window.Acknowledged: "acknowledged",
			window.Archiving: "archiving", window.Archived: "archived",
		}[window.State(state)])
	}
}
