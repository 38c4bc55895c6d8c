package durability_test

import (
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"once/durability"
	"once/internal/vfs"
	"once/log/logtest"
)

// scrape returns the metrics by name and labels; of a histogram, how often something was observed.
func scrape(w *logtest.World) map[string]float64 {
	w.T.Helper()
	families, err := w.Metrics.Gather()
	if err != nil {
		w.T.Fatal(err)
	}
	values := map[string]float64{}
	for _, f := range families {
		for _, m := range f.Metric {
			name := f.GetName()
			for _, l := range m.Label {
				name += " " + l.GetValue()
			}
			values[name] = m.GetGauge().GetValue() + m.GetCounter().GetValue() + float64(m.GetHistogram().GetSampleCount())
		}
	}
	return values
}

// The mode is in a metric (spec: reliability P38), and what a start has taken out of a log is counted (P12).
func TestMetricsTellModeSyncsAndLoss(t *testing.T) {
	fs := vfs.NewCrashable(1)
	w := logtest.NewWorld(t, fs, durability.Page)
	w.Metrics = prometheus.NewRegistry()
	w.MustOpen()
	logtest.MustAdd(t, w.Log, 3, 2)
	w.MustSync()
	logtest.MustAdd(t, w.Log, 2, 2)
	for name, want := range map[string]bool{
		"log_durability_mode page": true, "log_durability_mode txn": false, "log_durability_mode fsync": false,
		"log_sync_duration_seconds": true, "log_unsynced_bytes": true, "log_disk_full": false,
		"log_recovery_truncated_bytes_total": false, "log_recovery_zero_bytes_total": false,
	} {
		if got, ok := scrape(w)[name]; !ok || got > 0 != want {
			t.Errorf("%s: %v, there is %v; above 0 is %v", name, got, ok, want)
		}
	}
	left := fs.Clone() // the power is cut, and every byte happens to be there: page cuts all the same
	w.Leave()

	after := logtest.NewWorld(t, left, durability.Page)
	after.Boot, after.Metrics = "boot-2", prometheus.NewRegistry()
	after.MustOpen()
	defer after.Leave()
	if got, want := scrape(after)["log_recovery_truncated_bytes_total"],
		after.Report.TruncatedBytes; got != float64(want) || want == 0 {
		t.Errorf("%v bytes are counted, %d were cut", got, want)
	}
}

// What barriers were written to, and what came back from the journal.
func TestMetricsTellOfTheJournal(t *testing.T) {
	mem := vfs.NewCrashable(1)
	w := logtest.NewWorld(t, mem, durability.Fsync)
	w.Metrics = prometheus.NewRegistry()
	l := w.MustOpen()
	w.MustRecover()
	for range 3 {
		logtest.MustAdd(t, l, 1, 1)
		w.MustSync()
	}
	if m := scrape(w); m["log_barriers_total journal"] != 3 || m["log_barriers_total files"] != 1 {
		t.Errorf("%v", m)
	}
	w.Leave()
	if err := mem.RemoveAll(logtest.Dir); err != nil {
		t.Fatal(err)
	}
	after := logtest.NewWorld(t, mem, durability.Fsync)
	after.Boot, after.Metrics = "boot-2", prometheus.NewRegistry()
	after.MustOpen()
	defer after.Leave()
	if got, want := scrape(after)["log_recovery_restored_bytes_total"], after.Report.RestoredBytes; got != float64(want) ||
		want == 0 {
		t.Errorf("%v bytes are counted, %d were restored", got, want)
	}
}
