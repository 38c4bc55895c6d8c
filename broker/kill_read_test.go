package broker_test

import (
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/log/batch"
)

// readRecord is a record of a log, and whether a reader of committed records sees it.
type readRecord struct {
	offset  int64
	value   string
	visible bool
}

// fetch reads a partition from an offset to its end.
func (c *killClient) fetch(topic string, index int32, from int64, committed bool) (p kmsg.FetchResponseTopicPartition, highWatermark, lastStable int64) {
	c.t.Helper()
	r := kmsg.NewPtrFetchRequest()
	r.Version, r.ReplicaID, r.MaxBytes, r.SessionEpoch = 12, -1, 50<<20, -1
	if committed {
		r.IsolationLevel = 1
	}
	rp := kmsg.NewFetchRequestTopicPartition()
	rp.Partition, rp.FetchOffset, rp.PartitionMaxBytes = index, from, 50<<20
	r.Topics = []kmsg.FetchRequestTopic{{Topic: topic, Partitions: []kmsg.FetchRequestTopicPartition{rp}}}
	resp := c.must(r, func(r kmsg.Response) int16 { return r.(*kmsg.FetchResponse).Topics[0].Partitions[0].ErrorCode })
	p = resp.(*kmsg.FetchResponse).Topics[0].Partitions[0]
	return p, p.HighWatermark, p.LastStableOffset
}

// read reads a whole log with both isolation levels. Aborted records are told as clients do it: by the
// list of aborted transactions, each of which ends at its producer's next marker.
func (c *killClient) read(topic string, index int32) []readRecord {
	c.t.Helper()
	var all []readRecord
	c.walk(topic, index, false, func(r readRecord, _ bool) { all = append(all, r) })
	c.walk(topic, index, true, func(r readRecord, aborted bool) {
		i := slices.IndexFunc(all, func(other readRecord) bool { return other.offset == r.offset })
		if i < 0 || all[i].value != r.value {
			c.t.Fatalf("%s-%d at %d: %q is committed and not there", topic, index, r.offset, r.value)
		}
		all[i].visible = !aborted
	})
	return all
}

func (c *killClient) walk(topic string, index int32, committed bool, visit func(r readRecord, aborted bool)) {
	c.t.Helper()
	next := int64(0)
	for {
		p, end, _ := c.fetch(topic, index, next, committed)
		if len(p.RecordBatches) == 0 {
			if !committed && next != end {
				c.t.Fatalf("%s-%d: nothing at %d, the high watermark is %d", topic, index, next, end)
			}
			return
		}
		aborted := map[int64]bool{}
		for raw := p.RecordBatches; len(raw) > 0; {
			h, err := batch.ParseHeader(raw)
			if err != nil || h.SizeBytes() > len(raw) {
				c.t.Fatalf("%s-%d behind %d: %v", topic, index, next, err)
			}
			b := raw[:h.SizeBytes()]
			raw = raw[h.SizeBytes():]
			if _, err := batch.Verify(b); err != nil || h.BaseOffset != next {
				c.t.Fatalf("%s-%d: batch at %d where %d should be: %v", topic, index, h.BaseOffset, next, err)
			}
			next = h.NextOffset()
			for _, a := range p.AbortedTransactions {
				if a.FirstOffset == h.BaseOffset {
					aborted[a.ProducerID] = true
				}
			}
			if h.IsControl() {
				delete(aborted, h.ProducerID)
				continue
			}
			for r, err := range batch.Records(b, 1<<20) {
				if err != nil {
					c.t.Fatal(err)
				}
				visit(readRecord{h.BaseOffset + int64(r.OffsetDelta), string(r.Value), false}, h.IsTransactional() && aborted[h.ProducerID])
			}
		}
	}
}
