package txncoordinator

import (
	"fmt"

	"github.com/prometheus/client_golang/prometheus"
)

// outcome is the way a transaction ended, as a label of the metric.
type outcome int

const (
	outcomeCommit outcome = iota
	outcomeAbort
	outcomeTimeout
	outcomeFenced
)

var outcomeNames = [...]string{"commit", "abort", "timeout", "fenced"}

// metrics counts the operations of the coordinator. The gauges are computed at scrape time: a walk over the table with
// one short lock an ID.
type metrics struct {
	registerer prometheus.Registerer // nil: none
	endedTotal [len(outcomeNames)]prometheus.Counter
	errors     *prometheus.CounterVec
	late       prometheus.Counter
	endSeconds prometheus.Histogram
	all        []prometheus.Collector
}

func newMetrics(c *Coordinator, r prometheus.Registerer) (*metrics, error) {
	ended := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "txn_ended_total", Help: "Transactions whose outcome was decided, by what decided it.",
	}, []string{"outcome"})
	m := &metrics{
		registerer: r,
		errors: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "txn_errors_total", Help: "Requests of producers that the transaction coordinator refused, by kind.",
		}, []string{"kind"}),
		late: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "txn_late_requests_total", Help: "Requests of an older connection of a transactional producer, which were " +
				"not carried out.",
		}),
		endSeconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "txn_end_duration_seconds", Help: "From EndTxn to its answer, markers included.",
			Buckets: prometheus.ExponentialBuckets(0.000025, 2, 18),
		}),
	}
	for i, name := range outcomeNames {
		m.endedTotal[i] = ended.WithLabelValues(name)
	}
	m.all = []prometheus.Collector{ended, m.errors, m.late, m.endSeconds, &gauges{coordinator: c}}
	if r == nil {
		return m, nil
	}
	for i, collector := range m.all {
		if err := r.Register(collector); err != nil {
			m.all = m.all[:i]
			m.unregister()
			return nil, fmt.Errorf("txncoordinator: metrics: %w", err)
		}
	}
	return m, nil
}

func (m *metrics) unregister() {
	if m.registerer == nil {
		return
	}
	for _, collector := range m.all {
		m.registerer.Unregister(collector)
	}
}

func (m *metrics) ended(as outcome) { m.endedTotal[as].Inc() }

// refused counts an error that a producer sees; nil is none.
func (m *metrics) refused(err error) {
	if err != nil {
		m.errors.WithLabelValues(kindOf(err)).Inc()
	}
}

// gauges counts the table at scrape time.
type gauges struct{ coordinator *Coordinator }

var (
	byStateDesc = prometheus.NewDesc("txn_transactional_ids", "Transactional IDs by state.", []string{"state"}, nil)
	openDesc    = prometheus.NewDesc("txn_open", "Transactions that are ongoing, or decided with markers owed.", nil, nil)
	retriesDesc = prometheus.NewDesc("txn_unfinished", "Decided transactions that wait for another try of their markers.",
		nil, nil)
)

// Describe implements prometheus.Collector.
func (g *gauges) Describe(out chan<- *prometheus.Desc) {
	out <- byStateDesc
	out <- openDesc
	out <- retriesDesc
}

// Collect implements prometheus.Collector.
func (g *gauges) Collect(out chan<- prometheus.Metric) {
	var counts [CompleteAbort + 1]int
	g.coordinator.each(func(e *entry) {
		e.mu.Lock()
		counts[e.mu.txn.State]++
		e.mu.Unlock()
	})
	for s, n := range counts {
		out <- prometheus.MustNewConstMetric(byStateDesc, prometheus.GaugeValue, float64(n), State(s).String())
	}
	open := counts[Ongoing] + counts[PrepareCommit] + counts[PrepareAbort]
	out <- prometheus.MustNewConstMetric(openDesc, prometheus.GaugeValue, float64(open))
	g.coordinator.schedule.mu.Lock()
	retries := len(g.coordinator.schedule.mu.retries)
	g.coordinator.schedule.mu.Unlock()
	out <- prometheus.MustNewConstMetric(retriesDesc, prometheus.GaugeValue, float64(retries))
}
