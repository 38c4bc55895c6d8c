package kafkatest

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"once/log/batch"
)

// Requests about one topic and one partition. Each has the newest version without topic IDs; a test that needs another
// version sets it.

// CreateTopicsRequest creates a topic.
func CreateTopicsRequest(topic string, partitions int32, configs map[string]string) *kmsg.CreateTopicsRequest {
	r := kmsg.NewPtrCreateTopicsRequest()
	r.Version, r.TimeoutMillis = 7, 10_000
	t := kmsg.NewCreateTopicsRequestTopic()
	t.Topic, t.NumPartitions, t.ReplicationFactor = topic, partitions, 1
	for name, value := range configs {
		t.Configs = append(t.Configs, kmsg.CreateTopicsRequestTopicConfig{Name: name, Value: &value})
	}
	r.Topics = append(r.Topics, t)
	return r
}

// InitProducerIDRequest asks for a producer ID; transactionalID may be "". Its transactions have as long as Kafka lets
// them.
func InitProducerIDRequest(transactionalID string) *kmsg.InitProducerIDRequest {
	r := kmsg.NewPtrInitProducerIDRequest()
	r.Version, r.TransactionTimeoutMillis, r.ProducerID, r.ProducerEpoch = 5, 900_000, -1, -1
	if transactionalID != "" {
		r.TransactionalID = &transactionalID
	}
	return r
}

// ProduceRequest appends a batch; transactionalID may be "".
func ProduceRequest(transactionalID, topic string, partition int32, raw []byte) *kmsg.ProduceRequest {
	r := kmsg.NewPtrProduceRequest()
	r.Version, r.Acks, r.TimeoutMillis = 12, -1, 10_000
	if transactionalID != "" {
		r.TransactionID = &transactionalID
	}
	p := kmsg.NewProduceRequestTopicPartition()
	p.Partition, p.Records = partition, raw
	r.Topics = []kmsg.ProduceRequestTopic{{Topic: topic, Partitions: []kmsg.ProduceRequestTopicPartition{p}}}
	return r
}

// FetchRequest reads from an offset on, without a session and without waiting.
func FetchRequest(topic string, partition int32, offset int64, committed bool) *kmsg.FetchRequest {
	r := kmsg.NewPtrFetchRequest()
	r.Version, r.ReplicaID, r.MaxBytes, r.SessionEpoch = 12, -1, 50<<20, -1
	if committed {
		r.IsolationLevel = 1
	}
	p := kmsg.NewFetchRequestTopicPartition()
	p.Partition, p.FetchOffset, p.PartitionMaxBytes = partition, offset, 50<<20
	r.Topics = []kmsg.FetchRequestTopic{{Topic: topic, Partitions: []kmsg.FetchRequestTopicPartition{p}}}
	return r
}

// OffsetCommitRequest commits an offset of a group that may have no members.
func OffsetCommitRequest(group, topic string, partition int32, offset int64) *kmsg.OffsetCommitRequest {
	r := kmsg.NewPtrOffsetCommitRequest()
	r.Version, r.Group, r.Generation = 8, group, -1
	p := kmsg.NewOffsetCommitRequestTopicPartition()
	p.Partition, p.Offset, p.Metadata = partition, offset, kmsg.StringPtr("")
	r.Topics = []kmsg.OffsetCommitRequestTopic{{Topic: topic, Partitions: []kmsg.OffsetCommitRequestTopicPartition{p}}}
	return r
}

// OffsetFetchRequest asks for a group's offset, which stable makes wait for open transactions.
func OffsetFetchRequest(group, topic string, partition int32, stable bool) *kmsg.OffsetFetchRequest {
	r := kmsg.NewPtrOffsetFetchRequest()
	r.Version, r.RequireStable = 8, stable
	g := kmsg.NewOffsetFetchRequestGroup()
	g.Group = group
	g.Topics = []kmsg.OffsetFetchRequestGroupTopic{{Topic: topic, Partitions: []int32{partition}}}
	r.Groups = append(r.Groups, g)
	return r
}

// AddPartitionsToTxnRequest is what a producer of transactions V1 sends before its first batch to a partition.
func (p *Producer) AddPartitionsToTxnRequest(topic string, partition int32) *kmsg.AddPartitionsToTxnRequest {
	r := kmsg.NewPtrAddPartitionsToTxnRequest()
	r.Version, r.TransactionalID, r.ProducerID, r.ProducerEpoch = 3, p.TransactionalID, p.ProducerID, p.ProducerEpoch
	r.Topics = []kmsg.AddPartitionsToTxnRequestTopic{{Topic: topic, Partitions: []int32{partition}}}
	return r
}

// AddOffsetsToTxnRequest is what a producer of transactions V1 sends before its first offset of a group.
func (p *Producer) AddOffsetsToTxnRequest(group string) *kmsg.AddOffsetsToTxnRequest {
	r := kmsg.NewPtrAddOffsetsToTxnRequest()
	r.Version, r.TransactionalID, r.ProducerID, r.ProducerEpoch, r.Group = 3, p.TransactionalID, p.ProducerID,
		p.ProducerEpoch, group
	return r
}

// TxnOffsetCommitRequest stages an offset in the producer's transaction.
func (p *Producer) TxnOffsetCommitRequest(group, topic string, partition int32,
	offset int64) *kmsg.TxnOffsetCommitRequest {
	r := kmsg.NewPtrTxnOffsetCommitRequest()
	r.Version, r.Generation = 5, -1
	if p.V1 {
		r.Version = 3
	}
	r.TransactionalID, r.Group, r.ProducerID, r.ProducerEpoch = p.TransactionalID, group, p.ProducerID, p.ProducerEpoch
	rp := kmsg.NewTxnOffsetCommitRequestTopicPartition()
	rp.Partition, rp.Offset, rp.Metadata = partition, offset, kmsg.StringPtr("")
	r.Topics = []kmsg.TxnOffsetCommitRequestTopic{{Topic: topic,
		Partitions: []kmsg.TxnOffsetCommitRequestTopicPartition{rp}}}
	return r
}

// EndTxnRequest commits or aborts the producer's transaction.
func (p *Producer) EndTxnRequest(commit bool) *kmsg.EndTxnRequest {
	r := kmsg.NewPtrEndTxnRequest()
	r.Version, r.TransactionalID, r.ProducerID, r.ProducerEpoch, r.Commit = 5, p.TransactionalID, p.ProducerID,
		p.ProducerEpoch, commit
	if p.V1 {
		r.Version = 4
	}
	return r
}

// ProduceRequest appends a batch that Batch has made.
func (p *Producer) ProduceRequest(topic string, partition int32, raw []byte) *kmsg.ProduceRequest {
	r := ProduceRequest(p.TransactionalID, topic, partition, raw)
	if p.V1 {
		r.Version = 11
	}
	return r
}

// Batch builds the producer's batch with a base sequence; p may be nil for a batch of no producer.
func (p *Producer) Batch(sequence int32, timestampMs int64, records ...batch.Record) []byte {
	o := batch.BuildOptions{ProducerID: -1, ProducerEpoch: -1, BaseSequence: -1, TimestampMs: timestampMs, LeaderEpoch: -1}
	if p != nil {
		o.ProducerID, o.ProducerEpoch, o.BaseSequence = p.ProducerID, p.ProducerEpoch, sequence
		o.Transactional = p.TransactionalID != ""
	}
	for i := range records {
		records[i].OffsetDelta = int32(i)
	}
	return batch.Build(o, records...)
}
