package repair_test

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"once/broker"
	"once/cluster"
	"once/groupcoordinator"
	"once/inspect"
	"once/inspect/inspecttest"
	"once/internal/kafkatest"
	"once/internal/vfs"
	"once/log"
	"once/log/batch"
	"once/repair"
)

// fixture is a data directory whose topics __consumer_offsets and "keyed" have been compacted, each to a first segment
// of more than twice the cleaner's buffer.
type fixture struct {
	once sync.Once
	dir  string
}

var made fixture

func TestMain(m *testing.M) {
	code := m.Run()
	if made.dir != "" {
		_ = os.RemoveAll(made.dir)
	}
	os.Exit(code)
}

// groups is how many groups have committed offsets in the fixture.
const groups = 900

func (f *fixture) build(t *testing.T) {
	t.Helper()
	var err error
	if f.dir, err = os.MkdirTemp("", "once-repair-"); err != nil {
		t.Fatal(err)
	}
	b := start(t, f.dir)
	c := dial(t, b)
	c.CreateTopic("keyed", 1, map[string]string{
		"cleanup.policy": "compact", "segment.bytes": "2800000", "min.cleanable.dirty.ratio": "0.01",
	})
	c.CreateTopic("other", 1, nil)
	c.Produce(nil, "other", 0, kafkatest.KeyValue("key", "value"))
	dice := rand.New(rand.NewSource(1))
	round := func(n, keys int) {
		for i := range keys {
			c.Commit(fmt.Sprint("group", i), "keyed", 0, int64(n*10_000+i), noise(dice, 2000, 4000))
			c.Produce(nil, "keyed", 0, kafkatest.KeyValue(fmt.Sprint("key", i), noise(dice, 2000, 4000)))
		}
	}
	round(0, groups)
	transaction(c, "keyed", "paid", true)
	round(1, 150)
	for _, partition := range []string{"keyed-0", "__consumer_offsets-0"} {
		for began := time.Now(); ; <-time.Tick(10 * time.Millisecond) {
			if _, err := os.Stat(filepath.Join(f.dir, partition, log.CleanCheckpointFile)); err == nil {
				break
			} else if time.Since(began) > time.Minute {
				t.Fatalf("%s is not compacted", partition)
			}
		}
	}
	stop(t, b)
	inspecttest.RequireClean(t, f.dir)
}

// compacted returns a copy of the fixture.
func compacted(t *testing.T) (dir string) {
	t.Helper()
	made.once.Do(func() { made.build(t) })
	dir = filepath.Join(t.TempDir(), "data")
	if err := os.CopyFS(dir, os.DirFS(made.dir)); err != nil {
		t.Fatal(err)
	}
	return dir
}

// destroy does to the first segment of a partition what the old cleaner did, and returns the offsets of its batches
// that are not in the file as they were.
func destroy(t *testing.T, dir, partition string, unchangedBatches int) (lost map[int64]bool) {
	t.Helper()
	name := segments(t, dir, partition)[0]
	good := read(t, name)
	unchanged, n := 0, 0
	eachBatch(t, good, func(_ batch.Header, raw []byte) {
		if n++; n <= unchangedBatches {
			unchanged += len(raw)
		}
	})
	bad := destroyedByCleaner(t, good, unchanged)
	if len(bad) != len(good) || len(good) < 5<<19 || bytes.Equal(bad, good) {
		t.Fatalf("%d bytes, were %d", len(bad), len(good))
	}
	write(t, name, bad)
	lost = map[int64]bool{}
	rest := bad
	eachBatch(t, good, func(h batch.Header, raw []byte) {
		if at := bytes.Index(rest, raw); at >= 0 {
			rest = rest[at+len(raw):]
			return
		}
		for offset := h.BaseOffset; offset < h.NextOffset(); offset++ {
			lost[offset] = true
		}
	})
	if len(lost) == 0 {
		t.Fatal("nothing is lost")
	}
	return lost
}

// run repairs a directory and returns what it said.
func run(t *testing.T, under vfs.FS, dir string, o repair.Options) (string, error) {
	t.Helper()
	var out strings.Builder
	err := repair.Run(&out, under, dir, o)
	return out.String(), err
}

// startFails starts a broker that must refuse its directory, and returns why.
func startFails(t *testing.T, dir string) string {
	t.Helper()
	b, err := broker.Start(t.Context(), broker.Config{DataDir: dir})
	if err == nil {
		t.Cleanup(func() { _ = b.Close() })
		t.Fatal("the broker starts")
	}
	if !errors.Is(err, cluster.ErrStorage) {
		t.Fatal(err)
	}
	return err.Error()
}

// committedIn returns the offsets that the records of a partition of __consumer_offsets say, without those at offsets
// that are lost.
func committedIn(t *testing.T, segments []string, lost map[int64]bool) map[string]int64 {
	t.Helper()
	found := map[string]int64{}
	for _, name := range segments {
		eachBatch(t, read(t, name), func(h batch.Header, raw []byte) {
			for rec, err := range batch.Records(raw, 1<<20) {
				if err != nil {
					t.Fatal(err)
				}
				s, err := groupcoordinator.DecodeRecord(rec.Key, rec.Value)
				if err != nil {
					t.Fatal(err)
				}
				if s.Kind == groupcoordinator.StoredOffset && !lost[h.BaseOffset] {
					found[s.Group] = s.Offset
				}
			}
		})
	}
	return found
}

// The way of somebody whose __consumer_offsets an earlier version's cleaner has destroyed: the start fails and names
// the command, which says what it would do, does it, and the broker starts with what was whole.
func TestRepairOfConsumerOffsetsThatTheCleanerDestroyed(t *testing.T) {
	for _, unchanged := range []int{0, 300} {
		t.Run(fmt.Sprint("unchanged ", unchanged), func(t *testing.T) {
			dir := compacted(t)
			lost := destroy(t, dir, "__consumer_offsets-0", unchanged)
			good := segments(t, made.dir, "__consumer_offsets-0")
			want := committedIn(t, good, lost)
			bad := read(t, segments(t, dir, "__consumer_offsets-0")[0])

			reason := startFails(t, dir)
			mustSay(t, reason, segments(t, dir, "__consumer_offsets-0")[0], " at byte ", `"broker repair `+dir+`"`)
			report, err := inspect.Check(vfs.OS, dir, inspect.Options{})
			if err != nil || report.Counters.Damage != 1 {
				t.Fatal(report, err)
			}
			whole := 0
			eachBatch(t, read(t, good[0]), func(h batch.Header, _ []byte) {
				if !lost[h.BaseOffset] {
					whole++
				}
			})
			mustSay(t, report.Findings[0].String(), "file=__consumer_offsets-0/00000000000000000000.log ",
				"destroyed this segment", fmt.Sprintf(" %d batches ", whole), `"broker repair `+dir+`"`)

			plan, err := run(t, vfs.OS, dir, repair.Options{})
			if !errors.Is(err, inspect.ErrDamaged) || !bytes.Equal(read(t, segments(t, dir, "__consumer_offsets-0")[0]), bad) {
				t.Fatalf("what it would do: %v\n%s", err, plan)
			}
			done, err := run(t, vfs.OS, dir, repair.Options{Yes: true})
			if err != nil {
				t.Fatal(err, done)
			}
			planned, _, _ := strings.Cut(plan, "would repair")
			if !strings.HasPrefix(done, planned) || len(planned) < 100 {
				t.Errorf("it said\n%s\nand then\n%s", plan, done)
			}
			for group := range want {
				if !strings.Contains(plan, fmt.Sprintf("group=%q committed_offsets=1\n", group)) {
					t.Fatalf("the plan does not name group %s, which is left:\n%.3000s", group, plan)
				}
			}
			_, aside := filesIn(t, vfs.OS, dir, "__consumer_offsets-0")
			mustContainBytes(t, aside, bad)
			inspecttest.RequireClean(t, dir)

			b := start(t, dir)
			c := dial(t, b)
			missing := 0
			for i := range groups {
				group := fmt.Sprint("group", i)
				offset, ok := want[group]
				if !ok {
					offset = -1
					missing++
				}
				if got, _ := c.Committed(group, "keyed", 0); got != offset {
					t.Fatalf("%s has offset %d, want %d", group, got, offset)
				}
			}
			if missing == 0 || missing > 20 {
				t.Errorf("%d groups are lost", missing)
			}
			c.Commit("group1", "keyed", 0, 77, "")
			if got, _ := c.Committed("group1", "keyed", 0); got != 77 {
				t.Errorf("committed 77, fetched %d", got)
			}
			transaction(c, "keyed", "paid again", true)
			stop(t, b)
			inspecttest.RequireClean(t, dir)
		})
	}
}

// A topic of a user: its partition is offline as soon as somebody reads where it is damaged, all others work. After the
// repair it serves every batch that was whole, and takes new ones.
func TestRepairOfATopicThatTheCleanerDestroyed(t *testing.T) {
	dir := compacted(t)
	lost := destroy(t, dir, "keyed-0", 0)
	want := map[int64]string{}
	end := int64(0)
	for _, name := range segments(t, made.dir, "keyed-0") {
		eachBatch(t, read(t, name), func(h batch.Header, raw []byte) {
			for rec, err := range batch.Records(raw, 1<<20) {
				if err != nil {
					t.Fatal(err)
				}
				if offset := h.BaseOffset + int64(rec.OffsetDelta); !h.IsControl() && !lost[offset] {
					want[offset] = string(rec.Value)
				}
			}
			end = h.NextOffset()
		})
	}
	b := start(t, dir)
	c := dial(t, b)
	if _, code := values(t, c, "keyed"); code != kafkaStorageError {
		t.Errorf("a destroyed partition is read: code %d", code)
	}
	if got, code := values(t, c, "other"); code != 0 || len(got) != 1 {
		t.Errorf("the other topic has %d records, code %d", len(got), code)
	}
	stop(t, b)
	if out, err := run(t, vfs.OS, dir, repair.Options{Yes: true, Partitions: []string{"keyed-0"}}); err != nil {
		t.Fatal(err, out)
	}
	inspecttest.RequireClean(t, dir)
	b = start(t, dir)
	c = dial(t, b)
	c.Produce(nil, "keyed", 0, kafkatest.KeyValue("key", "after the repair"))
	want[end] = "after the repair"
	got, code := values(t, c, "keyed")
	if code != 0 || !maps.Equal(got, want) {
		t.Errorf("%d records, want %d; code %d", len(got), len(want), code)
	}
	transaction(c, "keyed", "paid again", true)
	stop(t, b)
	inspecttest.RequireClean(t, dir)
}

const kafkaStorageError = 56
