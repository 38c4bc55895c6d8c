package seed

import (
	"encoding/binary"

	"once/log/batch"
)

// A batch holds at most so many records and bytes, as one that a producer has sent.
const (
	maxBatchRecords = 1000
	maxBatchBytes   = 128 << 10
)

// recordOverhead is what a record takes besides its bytes, at most: five lengths and numbers of up to 10 bytes; a
// header has two of them.
const recordOverhead, headerOverhead = 50, 20

func (r *Record) sizeBytes() int64 {
	size := int64(batch.HeaderSizeBytes + recordOverhead + len(r.Key) + len(r.Value))
	for _, h := range r.Headers {
		size += int64(headerOverhead + len(h.Name) + len(h.Value))
	}
	return size
}

// isAbove says whether a batch with this record alone is larger than a limit.
func (r *Record) isAbove(limitBytes int64) bool {
	return r.sizeBytes() > limitBytes && int64(len(build([]*Record{r}, 0))) > limitBytes
}

// Batch is a batch for one partition, without producer.
type Batch struct {
	Partition int32
	Raw       []byte
}

// Batches puts the records of a checked topic into batches, in order within each partition. Records without timestamp
// get nowMs.
func (t *Topic) Batches(nowMs int64) []Batch {
	var (
		all   []Batch
		parts = make([][]*Record, t.Partitions)
		sizes = make([]int64, t.Partitions)
		turn  int32
	)
	flush := func(p int32) {
		if len(parts[p]) > 0 {
			all = append(all, Batch{p, build(parts[p], nowMs)})
		}
		parts[p], sizes[p] = nil, 0
	}
	for i := range t.Records {
		r := &t.Records[i]
		p := r.Partition
		switch {
		case p >= 0:
		case r.Key != nil:
			p = partitionOf(r.Key, t.Partitions)
		default:
			p, turn = turn, (turn+1)%t.Partitions
		}
		if len(parts[p]) == maxBatchRecords || sizes[p]+r.sizeBytes() > t.batchBytes {
			flush(p)
		}
		parts[p], sizes[p] = append(parts[p], r), sizes[p]+r.sizeBytes()
	}
	for p := range t.Partitions {
		flush(p)
	}
	return all
}

func build(of []*Record, nowMs int64) []byte {
	time := func(r *Record) int64 {
		if r.TimestampMs < 0 {
			return nowMs
		}
		return r.TimestampMs
	}
	base := time(of[0])
	records := make([]batch.Record, len(of))
	for i, r := range of {
		records[i] = batch.Record{TimestampDeltaMs: time(r) - base, Key: r.Key, Value: r.Value}
		for _, h := range r.Headers {
			records[i].Headers = append(records[i].Headers, batch.RecordHeader{Key: h.Name, Value: h.Value})
		}
	}
	return batch.Build(batch.BuildOptions{ProducerID: -1, ProducerEpoch: -1, BaseSequence: batch.NoSequence,
		TimestampMs: base, LeaderEpoch: -1}, records...)
}

// partitionOf is the partition that Java's producer chooses for a key.
func partitionOf(key []byte, partitions int32) int32 {
	return int32(murmur2(key)&0x7fffffff) % partitions
}

// murmur2 is MurmurHash2 of 32 bits with the seed of Kafka's clients. Partitioning by key relies on it.
func murmur2(data []byte) uint32 {
	const (
		start      = 0x9747b28c
		multiplier = 0x5bd1e995
		shift      = 24
	)
	hash := uint32(start) ^ uint32(len(data))
	for ; len(data) >= 4; data = data[4:] {
		word := binary.LittleEndian.Uint32(data) * multiplier
		word = (word ^ word>>shift) * multiplier
		hash = hash*multiplier ^ word
	}
	if len(data) > 0 {
		var rest [4]byte
		copy(rest[:], data)
		hash = (hash ^ binary.LittleEndian.Uint32(rest[:])) * multiplier
	}
	hash = (hash ^ hash>>13) * multiplier
	return hash ^ hash>>15
}
