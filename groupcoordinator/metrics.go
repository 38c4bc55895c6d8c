package groupcoordinator

import "github.com/prometheus/client_golang/prometheus"

// metrics of the coordinator. Groups and members are counted at scrape time.
type metrics struct {
	c              *Coordinator
	groups         *prometheus.Desc
	members        *prometheus.Desc
	rebalances     prometheus.Counter
	offsetCommits  prometheus.Counter
	expiredOffsets prometheus.Counter
}

func newMetrics(c *Coordinator, r prometheus.Registerer) (*metrics, error) {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help})
	}
	m := &metrics{
		c:              c,
		groups:         prometheus.NewDesc("group_groups", "Groups, by state.", []string{"state"}, nil),
		members:        prometheus.NewDesc("group_members", "Members of all groups.", nil, nil),
		rebalances:     counter("group_rebalances_total", "Rebalances that ended with an assignment."),
		offsetCommits:  counter("group_offset_commits_total", "Offsets committed, or staged in a transaction."),
		expiredOffsets: counter("group_expired_offsets_total", "Offsets removed because their retention was over."),
	}
	if r == nil {
		return m, nil
	}
	return m, r.Register(m)
}

// Describe implements prometheus.Collector.
func (m *metrics) Describe(ch chan<- *prometheus.Desc) {
	ch <- m.groups
	ch <- m.members
	m.rebalances.Describe(ch)
	m.offsetCommits.Describe(ch)
	m.expiredOffsets.Describe(ch)
}

// Collect implements prometheus.Collector.
func (m *metrics) Collect(ch chan<- prometheus.Metric) {
	byState := map[string]int{}
	for state := range Dead {
		byState[state.String()] = 0 // shown without groups, too
	}
	members := 0
	for _, s := range m.c.shards {
		s.mu.Lock()
		for _, g := range s.mu.groups {
			byState[g.State()]++
			members += g.Members()
		}
		s.mu.Unlock()
	}
	for state, n := range byState {
		ch <- prometheus.MustNewConstMetric(m.groups, prometheus.GaugeValue, float64(n), state)
	}
	ch <- prometheus.MustNewConstMetric(m.members, prometheus.GaugeValue, float64(members))
	m.rebalances.Collect(ch)
	m.offsetCommits.Collect(ch)
	m.expiredOffsets.Collect(ch)
}
