package broker_test

import (
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/broker"
	"once/broker/brokertest"
	"once/internal/kafkatest"
	"once/log/batch"
)

// linesWith returns the lines of a log in which all words stand.
func linesWith(text string, words ...string) (found []string) {
next:
	for line := range strings.Lines(text) {
		for _, w := range words {
			if !strings.Contains(line, w) {
				continue next
			}
		}
		found = append(found, line)
	}
	return found
}

// P8: a byte that is not what was written is named once, with partition, file and position; the partition goes
// offline for readers and writers, and every other one works.
func TestDamagedByteTakesItsPartitionOfflineAndNoOther(t *testing.T) {
	dir := t.TempDir()
	serve := func(t *testing.T, out *kafkatest.Log) *hostile {
		b := brokertest.Start(t, brokertest.WithDataDir(dir),
			func(c *broker.Config) { c.Logger = slog.New(slog.NewTextHandler(out, nil)) })
		h := &hostile{peer: &peer{t: t, addr: b.Addr(), own: b}}
		h.forget()
		t.Cleanup(h.hangUp)
		return h
	}
	size := 0
	t.Run("written", func(t *testing.T) {
		h := serve(t, &kafkatest.Log{})
		h.topic("x", "partitions", "2")
		for i := range 10 {
			for _, partition := range []int32{0, 1} {
				raw := plainBatch(fmt.Sprint("value ", i))
				size = len(raw)
				if got := h.produceTo(9, -1, nil, part{"x", partition, raw}); got != fmt.Sprintf("x-%d NONE", partition) {
					t.Fatal(got)
				}
			}
		}
	})
	name := filepath.Join(dir, "x-0", "00000000000000000000.log")
	edit(t, name, func(b []byte) []byte { b[6*size+batch.HeaderSizeBytes+3] ^= 1; return b })
	t.Run("read", func(t *testing.T) {
		out := &kafkatest.Log{}
		h := serve(t, out)
		fetch := func(partition int32, offset int64) kmsg.FetchResponseTopicPartition {
			r := h.fetchRequest(12, func(r *kmsg.FetchRequest, p *kmsg.FetchRequestTopicPartition) {
				p.Partition, p.FetchOffset, p.PartitionMaxBytes = partition, offset, 1
			})
			return h.request(r).(*kmsg.FetchResponse).Topics[0].Partitions[0]
		}
		for offset := range int64(6) {
			if p := fetch(0, offset); p.ErrorCode != 0 || len(p.RecordBatches) == 0 {
				t.Errorf("offset %d before the damage: code %d, %d bytes", offset, p.ErrorCode, len(p.RecordBatches))
			}
		}
		for range 2 {
			for _, offset := range []int64{6, 0, 9} {
				if p := fetch(0, offset); code(p.ErrorCode) != "KAFKA_STORAGE_ERROR" || len(p.RecordBatches) > 0 {
					t.Errorf("offset %d: %s, %d bytes", offset, code(p.ErrorCode), len(p.RecordBatches))
				}
			}
		}
		if got := h.produceTo(9, -1, nil, part{"x", 0, plainBatch("v")},
			part{"x", 1, plainBatch("v")}); got != "x-0 KAFKA_STORAGE_ERROR, x-1 NONE" {
			t.Error("produce:", got)
		}
		for offset := range int64(11) {
			if p := fetch(1, offset); p.ErrorCode != 0 || len(p.RecordBatches) == 0 {
				t.Errorf("offset %d of the other partition: code %d, %d bytes", offset, p.ErrorCode, len(p.RecordBatches))
			}
		}
		named := linesWith(out.String(), "level=ERROR", "partition=x-0", name, fmt.Sprintf("byte %d", 6*size))
		if len(named) != 1 || len(linesWith(out.String(), "level=ERROR")) != 1 {
			t.Errorf("the log names it %d times:\n%s", len(named), out.String())
		}
	})
}
