package broker_test

import (
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/broker/brokertest"
	"once/internal/kafkatest"
	"once/log/batch"
)

// cleanerWatch is a client that also reads what the broker says about its cleaner.
type cleanerWatch struct {
	*peer
	*kafkatest.Client
	metrics *hostile
}

func newCleanerWatch(t *testing.T) *cleanerWatch {
	t.Helper()
	c := &cleanerWatch{peer: &peer{t: t, dir: t.TempDir()}}
	c.forget()
	c.own = brokertest.Start(t, withAdmin, brokertest.WithDataDir(c.dir), brokertest.WithSettings(t, map[string]string{
		"log.cleaner.backoff.ms": "20", "flush.interval.ms": "20", "log.cleaner.min.cleanable.ratio": "0.1",
	}))
	c.addr = c.own.Addr()
	c.Client = kafkatest.Connect(t, c.addr)
	c.metrics = &hostile{peer: c.peer, admin: c.own.AdminAddr()}
	t.Cleanup(c.hangUp)
	return c
}

// cleanerSays returns the cleaner's metrics by name, labels included.
func (c *cleanerWatch) cleanerSays() map[string]float64 {
	c.t.Helper()
	found := map[string]float64{}
	for _, line := range c.metrics.scrape("once_log_cleaner_") {
		name, value, _ := strings.Cut(line, " ")
		v, err := strconv.ParseFloat(value, 64)
		if err != nil {
			c.t.Fatal(line)
		}
		found[name] = v
	}
	return found
}

// fill writes three segments of which only the newest record is needed.
func (c *cleanerWatch) fill(topic string) {
	for range 30 {
		c.Produce(nil, topic, 0, batch.Record{Key: []byte("k"), Value: make([]byte, 100<<10)})
	}
}

func (c *cleanerWatch) awaitMetric(name string, want float64) {
	c.t.Helper()
	await(c.t, name, func() bool { return c.cleanerSays()[name] == want })
}

// The metrics tell that the cleaner works, how much it reads and writes, and that it has given up on a
// partition, until that one is gone.
func TestCleanerMetrics(t *testing.T) {
	c := newCleanerWatch(t)
	m := c.cleanerSays()
	for _, name := range []string{
		`passes_total{outcome="done"}`, `passes_total{outcome="stopped"}`, `passes_total{outcome="failed"}`,
		`last_pass_timestamp_seconds{outcome="done"}`, `last_pass_timestamp_seconds{outcome="failed"}`,
		"read_bytes_total", "written_bytes_total", "pass_duration_seconds_count", "uncleanable_partitions",
	} {
		if v, ok := m[name]; !ok || v != 0 {
			t.Errorf("%s is %v, %v before the first pass", name, v, ok)
		}
	}

	begun := time.Now()
	c.CreateTopic(compactedName, 1, map[string]string{"cleanup.policy": "compact", "segment.bytes": "1048576"})
	c.fill(compactedName)
	await(c.t, "the topic to be compacted", func() bool { size, _ := sizeOf(c.own, compactedName); return size < 3<<19 })
	await(c.t, "a pass to be counted", func() bool {
		// There may be one for each segment, and the last one not at its end; nor is a scrape of one instant.
		m = c.cleanerSays()
		done, last := m[`passes_total{outcome="done"}`], m[`last_pass_timestamp_seconds{outcome="done"}`]
		return m["read_bytes_total"] >= 1<<20 && m["written_bytes_total"] > 0 && last > 0 && done > 0 &&
			done == m["pass_duration_seconds_count"]
	})
	if read, written := m["read_bytes_total"], m["written_bytes_total"]; written < 100<<10 || written >= read {
		t.Errorf("%v bytes were read, %v written", read, written)
	}
	passes := m[`passes_total{outcome="done"}`]
	if sum := m["pass_duration_seconds_sum"]; passes < 1 || sum <= 0 || sum > time.Since(begun).Seconds() {
		t.Errorf("%v passes took %v s", passes, sum)
	}
	if last := m[`last_pass_timestamp_seconds{outcome="done"}`]; math.Abs(last-float64(time.Now().UnixMilli())/1000) > 60 {
		t.Errorf("the last pass was at %v", last)
	}

	c.CreateTopic("damaged", 1, map[string]string{"segment.bytes": "1048576"})
	c.fill("damaged")
	spoilRecord(t, filepath.Join(c.dir, "damaged-0", "00000000000000000000.log"))
	c.compactFromNowOn("damaged")
	c.awaitMetric("uncleanable_partitions", 1)
	m = c.cleanerSays()
	if m[`passes_total{outcome="failed"}`] != 1 ||
		m[`last_pass_timestamp_seconds{outcome="failed"}`] < float64(begun.Unix()) {
		t.Errorf("after a failed pass: %v", m)
	}
	r := kmsg.NewPtrDeleteTopicsRequest()
	r.Version, r.TopicNames = 5, []string{"damaged"}
	if got := c.Answer(r).(*kmsg.DeleteTopicsResponse).Topics[0].ErrorCode; got != 0 {
		t.Fatal(code(got))
	}
	c.awaitMetric("uncleanable_partitions", 0)
}

// spoilRecord changes a byte of a record.
func spoilRecord(t *testing.T, name string) {
	t.Helper()
	f, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt([]byte{1}, 1000); err != nil {
		t.Fatal(err)
	}
}

func (c *cleanerWatch) compactFromNowOn(topic string) {
	c.t.Helper()
	alterConfig(c.t, c.Client, topic, "cleanup.policy", "compact")
}
