package durability

import (
	"github.com/prometheus/client_golang/prometheus"
)

// metrics are the metrics of the barrier and of the recovery of its logs.
type metrics struct {
	syncSeconds prometheus.Histogram
	truncated   prometheus.Counter
	zeros       prometheus.Counter
	restored    prometheus.Counter
	notWritten  prometheus.Counter
	barriers    *prometheus.CounterVec
}

// Values of the label to: where a barrier has written the bytes that it covers.
const (
	toJournal = "journal"
	toFiles   = "files"
)

func newMetrics(b *Barrier, r prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		syncSeconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "log_sync_duration_seconds", Help: "How long barriers waited for the disk.",
			Buckets: prometheus.ExponentialBuckets(0.000025, 2, 20),
		}),
		truncated: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "log_recovery_truncated_bytes_total",
			Help: "Bytes that the start took out of logs, because they were torn or a power cut had overtaken them. They lie " +
				"beside the log in files named .torn.",
		}),
		zeros: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "log_recovery_zero_bytes_total", Help: "Zeros that the start dropped from the end of logs: space that was " +
				"never written.",
		}),
		restored: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "log_recovery_restored_bytes_total",
			Help: "Bytes that the start appended to logs from the journal, because a power cut had taken them out of their " +
				"files.",
		}),
		notWritten: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "log_cleaner_read_back_failures_total",
			Help: "Cleaned segments that were not what was written when they were read back. They replaced nothing, and " +
				"their partitions are not compacted until the next start.",
		}),
		barriers: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "log_barriers_total", Help: "Barriers that something was to be written for: to the journal, or to the " +
				"files of the logs and the barrier record.",
		}, []string{"to"}),
	}
	if r == nil {
		return m, nil
	}
	mode := prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "log_durability_mode", Help: "1 for the durability mode that the broker runs in.",
	}, []string{"mode"})
	for known := Page; known.isKnown(); known++ {
		mode.WithLabelValues(known.String()).Set(0)
	}
	mode.WithLabelValues(b.o.Mode.String()).Set(1)
	for _, c := range []prometheus.Collector{
		m.syncSeconds, m.truncated, m.zeros, m.restored, m.notWritten, m.barriers, mode,
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "log_unsynced_bytes", Help: "Bytes appended since files were last synced. In the modes txn and fsync they " +
				"are in the journal, too, as soon as somebody has waited for them.",
		}, func() float64 { return float64(b.unsyncedBytes.Load()) }),
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "log_disk_full", Help: "1 while records of clients are refused because they would go into the reserve.",
		}, func() float64 {
			if b.space.full.Load() {
				return 1
			}
			return 0
		}),
	} {
		if err := r.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// NotAsWritten counts a cleaned segment that differed from what was written when it was read back.
func (m *Member) NotAsWritten() {
	if m != nil {
		m.barrier.metrics.notWritten.Inc()
	}
}

// recovered counts what a log has lost in its recovery.
func (m *metrics) recovered(r Restored) {
	m.truncated.Add(float64(r.TruncatedBytes))
	m.zeros.Add(float64(r.ZeroBytes))
	m.restored.Add(float64(r.RestoredBytes))
}
