package groupcoordinator

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/internal/script"
)

// Offsets and transactions of a conversation with a broker that runs.

func (p *peer) doOffsets(c script.Command) string {
	switch c.Name {
	case "offset-commit":
		return p.offsetCommit(c)
	case "txn-commit":
		return p.txnCommit(c)
	case "offset-fetch":
		return p.offsetFetch(c)
	case "offset-delete":
		return p.offsetDelete(c)
	case "delete-group":
		r := kmsg.NewPtrDeleteGroupsRequest()
		r.Version, r.Groups = 2, []string{p.group(c)}
		return codeName(p.ask(r).(*kmsg.DeleteGroupsResponse).Groups[0].ErrorCode)
	case "markers":
		return p.markers(c)
	}
	p.t.Fatalf("%s: unknown command %s", c.Pos, c.Name)
	return ""
}

// result has the answers for partitions, one line where all are the same and the expected output has one.
type result struct {
	names []string
	codes []int16
}

func (r *result) add(topic string, partition int32, code int16) {
	r.names, r.codes = append(r.names, fmt.Sprintf("%s-%d", topic, partition)), append(r.codes, code)
}

// each has a line for each partition. Kafka answers refused ones first; scripts have them sorted.
func (r *result) each() string {
	var lines []string
	for i, name := range r.names {
		lines = append(lines, name+" "+codeName(r.codes[i]))
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n")
}

// all is one code for all, or each.
func (r *result) all(expected string) string {
	if len(slices.Compact(slices.Clone(r.codes))) == 1 && !strings.Contains(expected, r.names[0]+" ") {
		return codeName(r.codes[0])
	}
	return r.each()
}

func (p *peer) offsetCommit(c script.Command) string {
	r := kmsg.NewPtrOffsetCommitRequest()
	r.Version, r.Group, r.Generation = 9, p.group(c), int32(c.Int(p.t, "generation", -1))
	r.MemberID, r.InstanceID = p.id(c.String("member", "")), instance(c)
	if c.Has("retention") {
		r.Version, r.RetentionTimeMillis = 4, c.Duration(p.t, "retention", 0).Milliseconds()
	}
	for _, o := range offsets(p.t, c) {
		partition := kmsg.NewOffsetCommitRequestTopicPartition()
		partition.Partition, partition.Offset, partition.Metadata = o.Partition, o.Offset, &o.Metadata
		topic := kmsg.NewOffsetCommitRequestTopic()
		topic.Topic, topic.Partitions = o.Topic, append(topic.Partitions, partition)
		r.Topics = append(r.Topics, topic)
	}
	var all result
	for _, topic := range p.ask(r).(*kmsg.OffsetCommitResponse).Topics {
		for _, partition := range topic.Partitions {
			all.add(topic.Topic, partition.Partition, partition.ErrorCode)
		}
	}
	return all.all(c.Expected)
}

// producer is the one that a script gives a number; it gets an identity when it is first needed.
func (p *peer) producer(c script.Command) *brokerProducer {
	number := c.Int(p.t, "producer", -1)
	c.Int(p.t, "epoch", 0) // the broker has its own
	if known := p.producers[number]; known != nil {
		return known
	}
	r := kmsg.NewPtrInitProducerIDRequest()
	id := "p" + strconv.FormatInt(number, 10) + p.suffix
	r.Version, r.TransactionalID, r.TransactionTimeoutMillis = 4, &id, 600_000
	r.ProducerID, r.ProducerEpoch = -1, -1
	resp := p.ask(r).(*kmsg.InitProducerIDResponse)
	for resp.ErrorCode != 0 { // Kafka's coordinator takes a while to load when it is first asked
		resp = p.ask(r).(*kmsg.InitProducerIDResponse)
	}
	p.producers[number] = &brokerProducer{id, resp.ProducerID, resp.ProducerEpoch}
	return p.producers[number]
}

func (p *peer) txnCommit(c script.Command) string {
	producer := p.producer(c)
	r := kmsg.NewPtrTxnOffsetCommitRequest()
	r.Version, r.Group, r.Generation = 6, p.group(c), int32(c.Int(p.t, "generation", -1))
	r.MemberID, r.InstanceID = p.id(c.String("member", "")), instance(c)
	r.TransactionalID, r.ProducerID, r.ProducerEpoch = producer.transactionalID, producer.id, producer.epoch
	for _, o := range offsets(p.t, c) {
		partition := kmsg.NewTxnOffsetCommitRequestTopicPartition()
		partition.Partition, partition.Offset, partition.Metadata = o.Partition, o.Offset, &o.Metadata
		topic := kmsg.NewTxnOffsetCommitRequestTopic()
		topic.TopicID, topic.Partitions = p.topicIDs[o.Topic], append(topic.Partitions, partition)
		r.Topics = append(r.Topics, topic)
	}
	for {
		var all result
		for _, topic := range p.ask(r).(*kmsg.TxnOffsetCommitResponse).Topics {
			for _, partition := range topic.Partitions {
				all.add(p.topicName(topic.TopicID), partition.Partition, partition.ErrorCode)
			}
		}
		if answer := all.all(c.Expected); answer != "CONCURRENT_TRANSACTIONS" {
			return answer
		}
	}
}

func (p *peer) topicName(id [16]byte) string {
	for name, known := range p.topicIDs {
		if known == id {
			return name
		}
	}
	return "other"
}

// markers ends the producer's transaction, and waits until all is written.
func (p *peer) markers(c script.Command) string {
	producer := p.producer(c)
	r := kmsg.NewPtrEndTxnRequest()
	r.Version, r.Commit = 5, c.Has("commit")
	r.TransactionalID, r.ProducerID, r.ProducerEpoch = producer.transactionalID, producer.id, producer.epoch
	c.Has("abort")
	c.Has("group") // the broker knows which it is
	resp := p.ask(r).(*kmsg.EndTxnResponse)
	for resp.ErrorCode == 51 {
		resp = p.ask(r).(*kmsg.EndTxnResponse)
	}
	if resp.ErrorCode != 0 {
		return codeName(resp.ErrorCode)
	}
	producer.id, producer.epoch = resp.ProducerID, resp.ProducerEpoch
	describe := kmsg.NewPtrDescribeTransactionsRequest()
	describe.TransactionalIDs = []string{producer.transactionalID}
	for strings.HasPrefix(p.ask(describe).(*kmsg.DescribeTransactionsResponse).TransactionStates[0].State, "Prepare") {
	}
	return "ok"
}

func (p *peer) offsetFetch(c script.Command) string {
	r := kmsg.NewPtrOffsetFetchRequest()
	r.Version, r.RequireStable = 8, c.Has("stable")
	g := kmsg.NewOffsetFetchRequestGroup()
	g.Group = p.group(c)
	for _, each := range c.Partitions(p.t, "of") {
		g.Topics = append(g.Topics, kmsg.OffsetFetchRequestGroupTopic{Topic: each.Topic, Partitions: []int32{each.Index}})
	}
	r.Groups = append(r.Groups, g)
	answer := p.ask(r).(*kmsg.OffsetFetchResponse).Groups[0]
	if answer.ErrorCode != 0 {
		return codeName(answer.ErrorCode)
	}
	var lines []string
	for _, topic := range answer.Topics {
		for _, partition := range topic.Partitions {
			line := fmt.Sprintf("%s-%d %d", topic.Topic, partition.Partition, partition.Offset)
			if partition.ErrorCode != 0 {
				line = fmt.Sprintf("%s-%d %s", topic.Topic, partition.Partition, codeName(partition.ErrorCode))
			}
			lines = append(lines, line)
		}
	}
	if lines == nil {
		return "none"
	}
	slices.Sort(lines) // Kafka's have no order
	return strings.Join(lines, "\n")
}

func (p *peer) offsetDelete(c script.Command) string {
	r := kmsg.NewPtrOffsetDeleteRequest()
	r.Group = p.group(c)
	for _, each := range c.Partitions(p.t, "of") {
		topic := kmsg.NewOffsetDeleteRequestTopic()
		topic.Topic, topic.Partitions = each.Topic, []kmsg.OffsetDeleteRequestTopicPartition{{Partition: each.Index}}
		r.Topics = append(r.Topics, topic)
	}
	answer := p.ask(r).(*kmsg.OffsetDeleteResponse)
	if answer.ErrorCode != 0 {
		return codeName(answer.ErrorCode)
	}
	var all result
	for _, topic := range answer.Topics {
		for _, partition := range topic.Partitions {
			all.add(topic.Topic, partition.Partition, partition.ErrorCode)
		}
	}
	return all.each()
}
