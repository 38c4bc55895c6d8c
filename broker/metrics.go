package broker

import (
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"once/cluster"
)

// clusterLabel is the label of the metrics of a cluster that was made while the broker runs: its name. Those of the
// default cluster have none, so that they stay what they are when others come.
const clusterLabel = "cluster"

// Gather implements prometheus.Gatherer for all clusters but the default one. There are at most clusters.max of them,
// and those of a cluster that was deleted are gone.
func (cs *clusters) Gather() ([]*dto.MetricFamily, error) {
	all := prometheus.Gatherers{}
	cs.Lock()
	for _, x := range cs.byName {
		if x != nil {
			all = append(all, labelled{x.name, x.cluster})
		}
	}
	cs.Unlock()
	return all.Gather()
}

// labelled adds a cluster's name to its metrics.
type labelled struct {
	name    string
	cluster *cluster.Cluster
}

// Gather implements prometheus.Gatherer.
func (l labelled) Gather() ([]*dto.MetricFamily, error) {
	families, err := l.cluster.Gather()
	label := clusterLabel
	for _, family := range families {
		for _, m := range family.Metric {
			m.Label = append(slices.Clip(m.Label), &dto.LabelPair{Name: &label, Value: &l.name}) // they may be the collector's
			slices.SortFunc(m.Label, func(a, b *dto.LabelPair) int { return strings.Compare(a.GetName(), b.GetName()) })
		}
	}
	return families, err
}
