package cluster

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"once/log"
)

// passOutcome is the outcome of a pass of the cleaner, as a label of the metrics.
type passOutcome int

const (
	passDone passOutcome = iota
	passStopped
	passFailed
)

var passOutcomeNames = [...]string{"done", "stopped", "failed"}

// cleanerMetrics are the metrics of the cleaner.
type cleanerMetrics struct {
	passes      [len(passOutcomeNames)]prometheus.Counter
	lastPass    [len(passOutcomeNames)]prometheus.Gauge
	readBytes   prometheus.Counter
	wroteBytes  prometheus.Counter
	passSeconds prometheus.Histogram
	uncleanable prometheus.Gauge
}

func newCleanerMetrics(r prometheus.Registerer) *cleanerMetrics {
	passes := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "log_cleaner_passes_total", Help: "Passes of the cleaner over a partition, by how they ended; stopped means " +
			"for the end of the partition or the broker.",
	}, []string{"outcome"})
	lastPass := prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "log_cleaner_last_pass_timestamp_seconds",
		Help: "When the last pass that ended like this did, in Unix time; 0 when there was none since the start.",
	}, []string{"outcome"})
	m := &cleanerMetrics{
		readBytes: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "log_cleaner_read_bytes_total", Help: "Bytes of segments that passes looked at for what can go. That the " +
				"new ones among them are read for their keys before is not in it.",
		}),
		wroteBytes: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "log_cleaner_written_bytes_total", Help: "Bytes of segments that passes wrote in place of others.",
		}),
		passSeconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "log_cleaner_pass_duration_seconds", Help: "How long passes took, whatever their end.",
			Buckets: prometheus.ExponentialBuckets(0.001, 4, 12), // to 70 minutes
		}),
		uncleanable: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "log_cleaner_uncleanable_partitions",
			Help: "Compacted partitions whose last pass failed; each is tried again after a while.",
		}),
	}
	for i, name := range passOutcomeNames {
		m.passes[i], m.lastPass[i] = passes.WithLabelValues(name), lastPass.WithLabelValues(name)
	}
	r.MustRegister(passes, lastPass, m.readBytes, m.wroteBytes, m.passSeconds, m.uncleanable)
	return m
}

// ended counts a pass, including the bytes that an unfinished pass has read and written.
func (m *cleanerMetrics) ended(as passOutcome, did log.Cleaned, begun, ended time.Time) {
	m.passes[as].Inc()
	m.lastPass[as].Set(float64(ended.UnixMilli()) / 1000)
	m.readBytes.Add(float64(did.ReadBytes))
	m.wroteBytes.Add(float64(did.WrittenBytes))
	m.passSeconds.Observe(max(ended.Sub(begun), 0).Seconds())
}
