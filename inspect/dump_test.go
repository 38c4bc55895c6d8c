package inspect_test

import (
	"path/filepath"
	"strings"
	"testing"

	"once/inspect"
	"once/inspect/inspecttest"
	"once/internal/vfs"
	"once/meta"
)

// dumps returns what each dump prints.
func dumps(t *testing.T, dir string) map[string]string {
	t.Helper()
	all := map[string]string{}
	add := func(what string, dump func(w *strings.Builder) error) {
		var b strings.Builder
		if err := dump(&b); err != nil {
			t.Errorf("%s: %v", what, err)
		}
		all[what] = b.String()
	}
	add("segments", func(w *strings.Builder) error {
		return inspect.DumpSegments(w, vfs.OS, dir, "x-0", inspect.SegmentOptions{Values: true})
	})
	add("range", func(w *strings.Builder) error {
		return inspect.DumpSegments(w, vfs.OS, dir, "x-0", inspect.SegmentOptions{From: 1, To: 3, Records: true})
	})
	add("indexes", func(w *strings.Builder) error { return inspect.DumpIndexes(w, vfs.OS, dir, "x-0") })
	add("snapshots", func(w *strings.Builder) error { return inspect.DumpSnapshots(w, vfs.OS, dir, "x-0") })
	add("transactions", func(w *strings.Builder) error { return inspect.DumpTransactions(w, vfs.OS, dir) })
	add("offsets", func(w *strings.Builder) error { return inspect.DumpOffsets(w, vfs.OS, dir) })
	add("meta", func(w *strings.Builder) error { return inspect.DumpMeta(w, vfs.OS, dir) })
	add("barrier", func(w *strings.Builder) error { return inspect.DumpBarrier(w, vfs.OS, dir) })
	return all
}

func TestDumpsOfADataDirectory(t *testing.T) {
	all := dumps(t, cleanDir(t))
	for what, wants := range map[string][]string{
		"segments": {
			"segment file=00000000000000000000.log base_offset=0 size_bytes=",
			"batch base_offset=0 last_offset=1 position=0 size_bytes=", "key=\"key-plain0\" value=\"plain0\"",
			"marker COMMIT base_offset=", " transactional ", "marker ABORT base_offset=",
		},
		"range": {"batch base_offset=0 ", "record offset=2 ", "batch base_offset=2 "},
		"indexes": {"index file=", "timeindex file=", "txnindex file=", "entry producer_id=",
			"txnindex-checkpoint complete_to=", "leader_epoch leader_epoch=0 start_offset=0"},
		"snapshots": {"snapshot file=", "producer producer_id=", " txn_first_offset=-1"},
		"transactions": {
			"transactional_id=\"one\" state=Empty", "transactional_id=\"one\" state=Ongoing", "state=PrepareCommit",
			"state=CompleteCommit", "state=PrepareAbort",
			"transactional_id=\"" + openID + "\" state=Ongoing", "[__consumer_offsets-", "x-1] start_timestamp=",
		},
		"offsets": {
			"committed partition=__consumer_offsets-", "group=\"plain\" topic_partition=x-0 committed_offset=2",
			"staged partition=", "group=\"staged\" topic_partition=x-0 committed_offset=9", "marker partition=",
			"type=COMMIT producer_id=",
			"group=\"members\" generation=1 protocol_type=\"consumer\" protocol=\"range\"", "member partition=",
			"client_id=\"kafkatest\"",
		},
		"meta": {"cluster cluster_id=", " starts=1 next_producer_id=1000 ", "topic topic=x topic_id=",
			"config topic=x segment.ms=\"60000\"", "topic topic=__consumer_offsets "},
		"barrier": {"counts=true", "clean=true mode=page", "entry partition=x-0 recovery_point="},
	} {
		for _, want := range wants {
			if !strings.Contains(all[what], want) {
				t.Errorf("dump %s has no %q:\n%s", what, want, all[what])
			}
		}
	}
	if strings.Contains(all["range"], "base_offset=3 ") {
		t.Errorf("the dump of offsets 1 and 2 goes on:\n%s", all["range"])
	}
}

// A dump goes on behind damage and says where it is.
func TestDumpsNameDamage(t *testing.T) {
	dir := cleanDir(t)
	flip(t, 70, dir, x0)
	flip(t, 20, fileOf(t, dir, "x-0", "*.snapshot"))
	all := dumps(t, dir)
	for what, want := range map[string]string{"segments": "damaged file=00000000000000000000.log position=0 ",
		"snapshots": "damaged file="} {
		if !strings.Contains(all[what], want) {
			t.Errorf("no %q in\n%s", want, all[what])
		}
	}
	if !strings.Contains(all["segments"], "batch base_offset=2 ") {
		t.Errorf("the dump ends at the damage:\n%s", all["segments"])
	}
}

// putMeta writes a record into the metadata of a directory.
func putMeta(t *testing.T, dir string, b meta.Bucket, key, value string) {
	t.Helper()
	store, err := meta.Open(filepath.Join(dir, "meta.db"), meta.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	if err := store.Update(func(tx meta.Tx) error { return tx.Put(b, key, []byte(value)) }); err != nil {
		t.Fatal(err)
	}
}

func TestConfigurationsOfGroupsAreDumpedAndChecked(t *testing.T) {
	dir := cleanDir(t)
	putMeta(t, dir, meta.GroupConfigs, "g", `{"share.isolation.level":"read_committed"}`)
	inspecttest.RequireClean(t, dir)
	var b strings.Builder
	if err := inspect.DumpMeta(&b, vfs.OS, dir); err != nil {
		t.Fatal(err)
	}
	if want := `config group="g" share.isolation.level="read_committed"`; !strings.Contains(b.String(), want) {
		t.Errorf("no %s in\n%s", want, b.String())
	}
	putMeta(t, dir, meta.ClientMetricsConfigs, "m", "{")
	report, err := inspect.Check(vfs.OS, dir, inspect.Options{})
	if err != nil || report.Err() == nil {
		t.Errorf("a damaged record is not found: %+v, %v", report, err)
	}
}
