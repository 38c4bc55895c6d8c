package inspect_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"once/broker/brokertest"
	"once/inspect"
	"once/inspect/inspecttest"
	"once/internal/kafkatest"
	"once/internal/vfs"
	"once/log/batch"
)

// openID is the transactional ID that the fixture leaves with a transaction open.
const openID = "left-open"

// fixture is a directory of everything, as a running broker has it and as a clean stop leaves it. The
// log x-0 has four segments, which timestamps far apart made: those of markers lie before all others.
type fixture struct {
	once           sync.Once
	running, clean string
	root           string
}

var made fixture

func TestMain(m *testing.M) {
	code := m.Run()
	if made.root != "" {
		_ = os.RemoveAll(made.root)
	}
	os.Exit(code)
}

// build runs a broker and takes both directories.
func (f *fixture) build(t *testing.T) {
	var err error
	if f.root, err = os.MkdirTemp("", "once-inspect-"); err != nil {
		t.Fatal(err)
	}
	f.clean, f.running = filepath.Join(f.root, "clean"), filepath.Join(f.root, "running")
	// No barrier but those that are asked for: what stands above the last one is known.
	// Each transactional ID and each group has a partition of its own.
	b := brokertest.Start(t, brokertest.WithDataDir(f.clean), brokertest.WithSettings(t, map[string]string{
		"flush.interval.ms": "3600000", "transaction.state.log.num.partitions": "17", "offsets.topic.num.partitions": "8",
	}))
	c := kafkatest.Connect(t, b.Addr())
	c.TimestampMs = time.Now().Add(30 * time.Minute).UnixMilli()
	tell(c)
	copyTree(t, f.clean, f.running)
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
}

// tell is what happens in the fixture. Initializing a producer is a barrier.
func tell(c *kafkatest.Client) {
	c.CreateTopic("x", 2, map[string]string{"segment.ms": "60000", "index.interval.bytes": "64"})
	c.CreateTopic("zipped", 1, map[string]string{"compression.type": "gzip"})
	idle, one, two, old, open := newProducer(c, "", false), newProducer(c, "one", false), newProducer(c, "two", false),
		newProducer(c, "old", true), newProducer(c, openID, false)
	for i := range 3 {
		c.Produce(nil, "x", 0, keyed(fmt.Sprint("plain", i), "more")...)
		c.Produce(idle, "x", 0, keyed(fmt.Sprint("idem", i))...)
		c.Produce(one, "x", 0, keyed(fmt.Sprint("one", i))...)
		c.Produce(two, "x", 0, keyed(fmt.Sprint("two", i), "too")...)
		c.Produce(one, "x", 1, keyed(fmt.Sprint("one", i))...)
		c.Stage(one, "staged", "x", 0, int64(i+1))
		c.Produce(old, "x", 1, keyed(fmt.Sprint("old", i))...)
		c.End(one, true)
		c.End(two, i == 1)
		c.End(old, i != 1)
		c.TimestampMs += 100_000 // a new segment
	}
	c.Produce(nil, "zipped", 0, keyed(strings.Repeat("z", 500), "y")...)
	c.Commit("plain", "x", 0, 2, "")
	c.Join("members")
	newProducer(c, "barrier", false)
	c.Produce(open, "x", 1, keyed("never", "ended")...)
	c.Stage(open, "staged", "x", 0, 9)
	c.Produce(idle, "x", 0, keyed("above", "the", "barrier")...)
	c.Produce(idle, "x", 0, keyed("and", "another", "batch")...)
}

// newProducer initializes a producer, which speaks as before transactions V2 if v1 is set.
func newProducer(c *kafkatest.Client, id string, v1 bool) *kafkatest.Producer {
	p, err := c.InitProducer(id)
	if err == nil {
		p.V1 = v1
	}
	return p
}

// keyed returns a record for each value, whose key is made from it.
func keyed(values ...string) []batch.Record {
	records := kafkatest.Values(values...)
	for i := range records {
		records[i].Key = []byte("key-" + values[i])
	}
	return records
}

// get returns the fixture, which no test may change.
func (f *fixture) get(t *testing.T) *fixture {
	t.Helper()
	f.once.Do(func() { f.build(t) })
	return f
}

// cleanDir and runningDir return a copy of a directory of the fixture that a test may spoil.
func cleanDir(t *testing.T) string {
	t.Helper()
	return inspecttest.NewCopy(t, made.get(t).clean).Restore()
}

func runningDir(t *testing.T) string {
	t.Helper()
	return inspecttest.NewCopy(t, made.get(t).running).Restore()
}

func copyTree(t *testing.T, from, to string) {
	t.Helper()
	err := filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		if d.IsDir() {
			return os.MkdirAll(filepath.Join(to, rel), 0o755)
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, rel), b, 0o644)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Editing of files.

func read(t *testing.T, elements ...string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(elements...))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func write(t *testing.T, b []byte, elements ...string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(elements...), b, 0o644); err != nil {
		t.Fatal(err)
	}
}

func flip(t *testing.T, at int, elements ...string) {
	t.Helper()
	b := read(t, elements...)
	if at < 0 {
		at += len(b)
	}
	b[at] ^= 1
	write(t, b, elements...)
}

// segments returns the .log files of a partition.
func segments(t *testing.T, dir, partition string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, partition, "*.log"))
	if err != nil || len(names) == 0 {
		t.Fatalf("no segments of %s: %v", partition, err)
	}
	slices.Sort(names)
	return names
}

// placed is a batch in a file.
type placed struct {
	batch.Header
	raw []byte
	at  int
}

func batches(t *testing.T, file string) (all []placed) {
	t.Helper()
	b := read(t, file)
	for at := 0; at < len(b); {
		h, err := batch.ParseHeader(b[at:])
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, placed{h, b[at : at+h.SizeBytes()], at})
		at += h.SizeBytes()
	}
	return all
}

// rewrite stores batches one behind the other, each sealed anew.
func rewrite(t *testing.T, file string, all []placed) {
	t.Helper()
	var b []byte
	for _, p := range all {
		seal(p.raw)
		b = append(b, p.raw...)
	}
	write(t, b, file)
}

func seal(raw []byte) {
	binary.BigEndian.PutUint32(raw[17:], crc32.Checksum(raw[21:], crc32.MakeTable(crc32.Castagnoli)))
}

// pick returns the first batch that f takes.
func pick(t *testing.T, all []placed, f func(placed) bool) *placed {
	t.Helper()
	i := slices.IndexFunc(all, f)
	if i < 0 {
		t.Fatal("no such batch")
	}
	return &all[i]
}

func isMarker(kind batch.MarkerType) func(placed) bool {
	return func(p placed) bool {
		m, ok, err := batch.ParseMarker(p.raw)
		return ok && err == nil && m.Type == kind
	}
}

// internalOf returns the file of the partition of an internal topic that holds a text.
func internalOf(t *testing.T, dir, topic, text string) string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, topic+"-*", "*.log"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		if strings.Contains(string(read(t, name)), text) {
			return name
		}
	}
	t.Fatalf("%s has no %q", topic, text)
	return ""
}

// check inspects a directory and returns the findings from a severity on.
func check(t *testing.T, dir string, from inspect.Severity, o inspect.Options) []string {
	t.Helper()
	report, err := inspect.Check(vfs.OS, dir, o)
	if err != nil {
		t.Fatal(err)
	}
	if damaged := errors.Is(report.Err(), inspect.ErrDamaged); damaged != (report.Counters.Damage > 0) {
		t.Errorf("%d findings of damage, error %v", report.Counters.Damage, report.Err())
	}
	if err := report.Write(io.Discard); err != nil {
		t.Error(err)
	}
	var lines []string
	for _, f := range report.Findings {
		if f.Severity >= from {
			lines = append(lines, f.String())
		}
	}
	return lines
}
