package cluster

import (
	"fmt"
	"io"

	"github.com/prometheus/client_golang/prometheus"

	"once/txncoordinator"
)

// WriteState prints the cluster's logical state as text, in a fixed order: identity, topics with their
// partitions' offsets, producers and open transactions, transactional IDs. The admin endpoint serves it.
func (c *Cluster) WriteState(w io.Writer) {
	if e := c.engine(); e != nil {
		e.writeState(w)
	}
}

func (e *engine) writeState(w io.Writer) {
	fmt.Fprintf(w, "cluster_id %s\nstarts %d\ntransaction.version %d\n", e.identity.clusterID, e.identity.starts,
		e.features.TransactionVersion())
	for _, t := range e.topics.All() {
		fmt.Fprintf(w, "topic %s id=%x partitions=%d\n", t.Name, t.ID, len(t.Partitions()))
		for i, p := range t.Partitions() {
			o, err := p.Offsets()
			switch {
			case err != nil:
				fmt.Fprintf(w, "  %d offline: %v\n", i, err)
			case o.LogEndOffset > 0:
				fmt.Fprintf(w, "  %d log_start=%d last_stable=%d high_watermark=%d log_end=%d bytes=%d producers=%d "+
					"open_transactions=%d\n",
					i, o.LogStartOffset, o.LastStableOffset, o.HighWatermark, o.LogEndOffset, p.SizeBytes(), p.ProducerCount(),
					p.OpenTransactions())
			}
		}
	}
	found, _, err := e.txns.List(txncoordinator.ListFilter{DurationMs: -1})
	if err != nil {
		fmt.Fprintf(w, "transactions: %v\n", err)
		return
	}
	for _, l := range found {
		d, err := e.txns.Describe(l.TransactionalID)
		if err != nil {
			continue
		}
		fmt.Fprintf(w, "transactional_id %q %+v\n", l.TransactionalID, d)
	}
}

// stateCollector computes the metrics of the partitions at scrape time.
type stateCollector struct {
	e                                    *engine
	lag, openTxns, producers, partitions *prometheus.Desc
	offline, diskBytes                   *prometheus.Desc
}

func newStateCollector(e *engine) *stateCollector {
	return &stateCollector{
		e: e,
		lag: prometheus.NewDesc("partition_last_stable_offset_lag",
			"High watermark minus last stable offset: what read_committed cannot see yet. Partitions without records are "+
				"left out.", []string{"topic", "partition"}, nil),
		openTxns: prometheus.NewDesc("partition_open_transactions",
			"Transactions that are open, counted once for each partition they write to.", nil, nil),
		producers: prometheus.NewDesc("partition_producers",
			"Producers that partitions remember, counted once for each partition.", nil, nil),
		partitions: prometheus.NewDesc("partitions", "Partitions, internal ones included.", nil, nil),
		offline: prometheus.NewDesc("partitions_offline",
			"Partitions that answer nothing because their log is damaged or could not be written.", nil, nil),
		diskBytes: prometheus.NewDesc("log_size_bytes", "Size of all segments.", nil, nil),
	}
}

// Describe implements prometheus.Collector.
func (c *stateCollector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.lag, c.openTxns, c.producers, c.partitions, c.offline, c.diskBytes} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (c *stateCollector) Collect(ch chan<- prometheus.Metric) {
	var open, producers, partitions, offline, bytes float64
	for _, t := range c.e.topics.All() {
		for i, p := range t.Partitions() {
			partitions++
			o, err := p.Offsets()
			if err != nil {
				offline++
				continue
			}
			if o.LogEndOffset == 0 {
				continue
			}
			ch <- prometheus.MustNewConstMetric(c.lag, prometheus.GaugeValue, float64(o.HighWatermark-o.LastStableOffset),
				t.Name, fmt.Sprint(i))
			open += float64(p.OpenTransactions())
			producers += float64(p.ProducerCount())
			bytes += float64(p.SizeBytes())
		}
	}
	for _, m := range []struct {
		desc  *prometheus.Desc
		value float64
	}{{c.openTxns, open}, {c.producers, producers}, {c.partitions, partitions}, {c.offline, offline},
		{c.diskBytes, bytes}} {
		ch <- prometheus.MustNewConstMetric(m.desc, prometheus.GaugeValue, m.value)
	}
}
