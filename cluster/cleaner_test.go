package cluster

import (
	"context"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"once/log/batch"
	"once/partition"
	"once/settings"
	"once/topics"
)

// idleCleaner is a cleaner that runs only when it is told to, of a broker with a partition worth a pass.
func idleCleaner(t *testing.T) (*cleaner, *partition.Partition, *prometheus.Registry) {
	t.Helper()
	s, _, err := settings.Resolve(map[string]string{"log.cleaner.enable": "false"})
	if err != nil {
		t.Fatal(err)
	}
	opened, err := Open(InMemory(Env{Settings: s}), "data")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = opened.Close() })
	e := opened.engine()
	topic, err := e.topics.Create(topics.Spec{Name: "compacted", Partitions: 1,
		Overrides: map[string]string{"cleanup.policy": "compact", "segment.bytes": "1048576"}})
	if err != nil {
		t.Fatal(err)
	}
	p := topic.Partitions()[0]
	for range 30 {
		o := batch.BuildOptions{ProducerID: -1, ProducerEpoch: -1, BaseSequence: -1, TimestampMs: time.Now().UnixMilli(),
			LeaderEpoch: -1}
		if _, err := p.AppendClient(batch.Build(o, batch.Record{Key: []byte("k"), Value: make([]byte, 100<<10)}), 0,
			12); err != nil {
			t.Fatal(err)
		}
	}
	if err := e.barrier.Sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	registry := prometheus.NewRegistry()
	c := &cleaner{e: e, metrics: newCleanerMetrics(registry), failed: map[*partition.Partition]time.Time{}}
	c.ctx, c.cancel = context.WithCancel(t.Context())
	t.Cleanup(c.cancel)
	return c, p, registry
}

// passesIn reads the passes by outcome, and the partitions given up on.
func passesIn(t *testing.T, r *prometheus.Registry) (done, stopped, failed, uncleanable int) {
	t.Helper()
	families, err := r.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			switch f.GetName() {
			case "log_cleaner_uncleanable_partitions":
				uncleanable = int(m.GetGauge().GetValue())
			case "log_cleaner_passes_total":
				n := int(m.GetCounter().GetValue())
				switch m.GetLabel()[0].GetValue() {
				case "done":
					done = n
				case "stopped":
					stopped = n
				case "failed":
					failed = n
				}
			}
		}
	}
	return done, stopped, failed, uncleanable
}

// A pass that the end of the broker cuts short is no failure: the partition can be cleaned at once.
func TestStoppedPassIsNoFailure(t *testing.T) {
	c, p, registry := idleCleaner(t)
	c.cancel()
	if got := c.dirtiest(); got != p {
		t.Fatalf("%v is the dirtiest partition", got)
	}
	c.clean(p)
	if done, stopped, failed, uncleanable := passesIn(t, registry); done != 0 || stopped != 1 || failed != 0 ||
		uncleanable != 0 {
		t.Fatalf("%d done, %d stopped, %d failed, %d uncleanable", done, stopped, failed, uncleanable)
	}
	c.ctx = t.Context()
	if got := c.dirtiest(); got != p {
		t.Fatalf("%v is the dirtiest partition after a stopped pass", got)
	}
	c.clean(p)
	if done, stopped, failed, uncleanable := passesIn(t, registry); done != 1 || stopped != 1 || failed != 0 ||
		uncleanable != 0 {
		t.Fatalf("%d done, %d stopped, %d failed, %d uncleanable", done, stopped, failed, uncleanable)
	}
	if got := c.dirtiest(); got != nil {
		t.Fatalf("%v is dirty after its pass", got.ID())
	}
}

// A partition whose pass failed waits, and counts as uncleanable until a pass over it succeeds, it is
// deleted, or nothing of it needs to be cleaned any more.
func TestFailedPartitionWaits(t *testing.T) {
	c, p, registry := idleCleaner(t)
	gone := new(partition.Partition) // of a topic that was deleted
	c.failed[p], c.failed[gone] = time.Now(), time.Now()
	if got := c.dirtiest(); got != nil {
		t.Fatalf("%v is tried again at once", got.ID())
	}
	if _, _, _, uncleanable := passesIn(t, registry); uncleanable != 1 {
		t.Fatalf("%d partitions are uncleanable", uncleanable)
	}
	c.failed[p] = time.Now().Add(-retryFailed)
	if got := c.dirtiest(); got != p {
		t.Fatalf("%v is tried again", got)
	}
	if _, _, _, uncleanable := passesIn(t, registry); uncleanable != 1 {
		t.Fatalf("%d partitions are uncleanable before the other try", uncleanable)
	}
	c.clean(p)
	if done, _, _, uncleanable := passesIn(t, registry); done != 1 || uncleanable != 0 || len(c.failed) != 0 {
		t.Fatalf("%d done, %d uncleanable, %d remembered", done, uncleanable, len(c.failed))
	}
	c.failed[p] = time.Now().Add(-retryFailed)
	if got := c.dirtiest(); got != nil || len(c.failed) != 0 {
		t.Fatalf("%v is tried again with nothing to clean, %d remembered", got, len(c.failed))
	}
}
