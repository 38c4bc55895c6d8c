package repair_test

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"math/rand"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"once/broker"
	"once/broker/brokertest"
	"once/internal/files"
	"once/internal/kafkatest"
	"once/internal/vfs"
	"once/log"
	"once/log/batch"
	"once/meta"
)

func dial(t *testing.T, b *brokertest.Broker) *kafkatest.Client {
	t.Helper()
	return kafkatest.Connect(t, b.Addr())
}

// transaction has one with a record, and ends it if that is asked for.
func transaction(c *kafkatest.Client, topic, value string, end bool) {
	p, err := c.InitProducer("payer")
	if err != nil {
		return
	}
	c.Produce(p, topic, 0, kafkatest.KeyValue("key", value))
	if end {
		c.End(p, true)
	}
}

// values reads a topic to its end and returns its records by offset, and the error code that came instead of more.
func values(t *testing.T, c *kafkatest.Client, topic string) (found map[int64]string, code int16) {
	t.Helper()
	records, _, err := c.Quiet().Read(topic, 0, 0, false)
	found = map[int64]string{}
	for _, r := range records {
		found[r.Offset] = r.Value
	}
	return found, kafkatest.Code(t, err)
}

// unsynced leaves the metadata unsynced. It is on the machine's disk, whose power no test cuts: power cuts are those of
// a file system in memory, which has the logs.
func unsynced(c *broker.Config) {
	c.Metadata = func(name string, o meta.Options) (meta.Store, error) {
		o.NoSync = true
		f, err := meta.Open(name, o)
		if err != nil {
			return nil, err
		}
		return f, nil
	}
}

// start runs a broker that compacts at once what it can.
func start(t *testing.T, dir string, options ...brokertest.Option) *brokertest.Broker {
	t.Helper()
	settings := brokertest.WithSettings(t, map[string]string{
		"log.cleaner.backoff.ms": "20", "flush.interval.ms": "20", "log.cleaner.min.cleanable.ratio": "0.01",
		"offsets.topic.num.partitions": "1", "offsets.topic.segment.bytes": "2800000",
		"transaction.state.log.num.partitions": "1",
	})
	return brokertest.Start(t, append([]brokertest.Option{brokertest.WithDataDir(dir), settings, unsynced}, options...)...)
}

func stop(t *testing.T, b *brokertest.Broker) {
	t.Helper()
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
}

// segments returns the .log files of a partition.
func segments(t *testing.T, dir, partition string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, partition, "*"+log.LogSuffix))
	if err != nil || len(names) == 0 {
		t.Fatalf("no segments of %s: %v", partition, err)
	}
	slices.Sort(names)
	return names
}

func read(t *testing.T, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func write(t *testing.T, name string, b []byte) {
	t.Helper()
	if err := os.WriteFile(name, b, 0o644); err != nil {
		t.Fatal(err)
	}
}

// eachBatch calls f with each batch of a segment.
func eachBatch(t *testing.T, segment []byte, f func(h batch.Header, raw []byte)) {
	t.Helper()
	for len(segment) > 0 {
		h, err := batch.ParseHeader(segment)
		if err != nil {
			t.Fatal(err)
		}
		f(h, segment[:h.SizeBytes()])
		segment = segment[h.SizeBytes():]
	}
}

// noise is text of a length that differs from call to call and that nothing compresses.
func noise(dice *rand.Rand, least, most int) string {
	b := make([]byte, least+dice.Intn(most-least))
	for i := range b {
		b[i] = byte('a' + dice.Intn(26))
	}
	return string(b)
}

// inMemory copies the logs of a directory, under the same names; the metadata stays where it is.
func inMemory(t *testing.T, to *vfs.Mem, dir string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		if err := to.MkdirAll(filepath.Dir(name)); err != nil {
			return err
		}
		f, err := to.Create(name)
		if err != nil {
			return err
		}
		_, err = f.WriteAt(read(t, name), 0)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	to.SyncAll()
}

// filesIn returns the content of all files of a partition that make up its log, and of those that were moved aside.
func filesIn(t *testing.T, under vfs.FS, dir, partition string) (logs map[string][]byte, aside [][]byte) {
	t.Helper()
	names, err := under.List(filepath.Join(dir, partition))
	if err != nil {
		t.Fatal(err)
	}
	logs = map[string][]byte{}
	for _, name := range names {
		b, err := files.ReadSmall(under, filepath.Join(dir, partition, name))
		if err != nil {
			t.Fatal(err)
		}
		_, suffix, _ := log.ParseFileName(name)
		if suffix == log.LogSuffix {
			logs[name] = b
		}
		if strings.HasPrefix(suffix, log.DamagedInfix) {
			aside = append(aside, b)
		}
	}
	return logs, aside
}

func mustEqualFiles(t *testing.T, got, want map[string][]byte) {
	t.Helper()
	for name, b := range want {
		if !bytes.Equal(got[name], b) {
			t.Fatalf("%s has %d bytes, want %d", name, len(got[name]), len(b))
		}
	}
	if len(got) != len(want) {
		t.Fatalf("%d segments, want %d", len(got), len(want))
	}
}

func mustContainBytes(t *testing.T, files [][]byte, b []byte) {
	t.Helper()
	if !slices.ContainsFunc(files, func(f []byte) bool { return bytes.Equal(f, b) }) {
		t.Fatal("the damaged file is nowhere")
	}
}

// fingerprint is every name with the hash of its content.
func fingerprint(t *testing.T, dir string) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(dir, func(name string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		fmt.Fprint(&b, name)
		if !d.IsDir() {
			fmt.Fprintf(&b, " %x", sha256.Sum256(read(t, name)))
		}
		b.WriteByte('\n')
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// containsLine says whether a line begins so.
func containsLine(text, begins string) bool { return strings.Contains("\n"+text, "\n"+begins) }
