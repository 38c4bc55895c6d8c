package broker_test

import (
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/broker"
	"once/broker/brokertest"
	"once/internal/vfs"
	"once/settings"
)

// coldFS is a file system whose files are never in memory.
type coldFS struct{ vfs.FS }

type coldFile struct{ vfs.File }

func (coldFile) InMemory(int64, int64) bool { return false }

func (c coldFS) Create(name string) (vfs.File, error) {
	f, err := c.FS.Create(name)
	return coldFile{f}, err
}

// serveCold starts a broker with a topic whose records are never in memory.
func serveCold(t *testing.T, values settings.Values) *hostile {
	set, unknown, err := settings.Resolve(values)
	if err != nil || len(unknown) > 0 {
		t.Fatal(unknown, err)
	}
	b := brokertest.Start(t, func(c *broker.Config) { c.Settings, c.FS = set, coldFS{vfs.OS} })
	h := &hostile{peer: &peer{t: t, addr: b.Addr(), own: b}}
	h.forget()
	t.Cleanup(h.hangUp)
	h.topic("x")
	return h
}

// Fetches of what comes from the disk keep to their rate while somebody produces; what they answer is the same.
func TestFetchOfColdRecordsLeavesTimeToProducers(t *testing.T) {
	h := serveCold(t, settings.Values{"fetch.cold.max.bytes.per.second": "100000"})
	value := string(make([]byte, 10_000))
	const fetches = 4
	for range fetches {
		if got := h.produceTo(9, -1, nil, part{"x", 0, plainBatch(value)}); got != "x-0 NONE" {
			t.Fatal(got)
		}
	}
	began, bytes := time.Now(), 0
	for offset := range int64(fetches) {
		r := h.fetchRequest(12, func(_ *kmsg.FetchRequest, p *kmsg.FetchRequestTopicPartition) {
			p.Partition, p.FetchOffset, p.PartitionMaxBytes = 0, offset, 1
		})
		p := h.request(r).(*kmsg.FetchResponse).Topics[0].Partitions[0]
		if p.ErrorCode != 0 || len(p.RecordBatches) < len(value) {
			t.Fatalf("offset %d: %s, %d bytes", offset, code(p.ErrorCode), len(p.RecordBatches))
		}
		if offset < fetches-1 { // the last one makes nobody wait
			bytes += len(p.RecordBatches)
		}
	}
	if took, least := time.Since(began), time.Duration(bytes)*time.Second/100_000; took < least {
		t.Errorf("%d bytes and one fetch more took %v, less than %v", bytes, took, least)
	}
}

// A consumer that wants more bytes at least than an answer with cold records holds gets those at once, and does not
// wait for more until its time is over.
func TestFetchOfColdRecordsThatIsCutShortDoesNotWait(t *testing.T) {
	h := serveCold(t, nil)
	const batches, sizeBytes = 4, 100_000
	for range batches {
		if got := h.produceTo(9, -1, nil, part{"x", 0, plainBatch(string(make([]byte, sizeBytes)))}); got != "x-0 NONE" {
			t.Fatal(got)
		}
	}
	began := time.Now()
	p := h.request(h.fetchRequest(12, func(r *kmsg.FetchRequest, p *kmsg.FetchRequestTopicPartition) {
		r.MinBytes, r.MaxWaitMillis, p.Partition = (batches-1)*sizeBytes, 5_000, 0
	})).(*kmsg.FetchResponse).Topics[0].Partitions[0]
	took := time.Since(began)
	if n := len(p.RecordBatches); p.ErrorCode != 0 || n < sizeBytes || n >= (batches-1)*sizeBytes {
		t.Errorf("%s, %d bytes", code(p.ErrorCode), n)
	}
	if took >= 5*time.Second {
		t.Errorf("the answer came after %v", took)
	}
}
