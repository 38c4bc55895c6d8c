package main

import (
	"fmt"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"
)

func (d *transactions) version(lowest, highest int16) int16 {
	return lowest + int16(d.dice.IntN(int(highest-lowest)+1))
}

// below is the highest version in a request: at level 0 of transaction.version Kafka fails inside when a request is one
// of transactions V2, because it cannot store the state.
func (d *transactions) below(highest, v1 int16) int16 {
	if d.level == 0 {
		return v1
	}
	return highest
}

func (d *transactions) initProducerID() []Step {
	f := fields{"TransactionTimeoutMillis": sometimes(d.dice, 95, 300_000, 0, -1, 900_001)}
	version := d.version(0, 5)
	id := d.transactionalID()
	if chance(d.dice, 12) {
		f["TransactionalID"], id = sometimes(d.dice, 90, any(nil), ""), ""
	} else {
		f["TransactionalID"] = id
	}
	if version >= 3 && chance(d.dice, 50) {
		p := d.producerOf(id)
		f["ProducerID"], f["ProducerEpoch"] = p.letter, p.epoch
	}
	return d.settled(ask(kmsg.InitProducerID, version, f), id)
}

// settled is a step that may leave a transaction to be completed: Kafka answers before its markers are written.
func (d *transactions) settled(step Step, id string) []Step {
	if id == "" {
		return []Step{step}
	}
	wait := ask(kmsg.DescribeTransactions, 0, fields{"TransactionalIDs": []any{id}})
	wait.While = "Prepare"
	return []Step{step, wait}
}

func (d *transactions) addPartitions() []Step {
	p := d.place()
	topics := []any{at(p.topic, p.partition)}
	if chance(d.dice, 20) {
		topics = append(topics, at(one(d.dice, "x", "y"), 0, 1))
	}
	return []Step{ask(kmsg.AddPartitionsToTxn, d.version(0, 3), d.of(d.transactionalID(), fields{"Topics": topics}))}
}

// addPartitionsOfMany is the form that brokers send to the coordinator.
func (d *transactions) addPartitionsOfMany() []Step {
	ids := one(d.dice, []string{"a~"}, []string{"b~"}, []string{"a~", "b~"})
	var all []any
	for _, id := range ids {
		p := d.place()
		f := d.of(id, fields{"VerifyOnly": d.level == 0 || chance(d.dice, 60), "Topics": []any{at(p.topic, p.partition)}})
		all = append(all, f)
	}
	return []Step{ask(kmsg.AddPartitionsToTxn, d.version(4, 5), fields{"Transactions": all})}
}

func (d *transactions) addOffsets() []Step {
	f := d.of(d.transactionalID(), fields{"Group": sometimes(d.dice, 97, d.group(), "")})
	return []Step{ask(kmsg.AddOffsetsToTxn, d.version(0, 4), f)}
}

// offsets are those of one partition in a commit of a version.
func (d *transactions) offsets(byID bool) []any {
	p := d.place()
	offset := fields{
		"Partition": p.partition, "Offset": d.dice.IntN(20), "LeaderEpoch": sometimes(d.dice, 70, -1, 0, 3),
		"Metadata": one(d.dice, any(nil), "", "text"),
	}
	if byID {
		return []any{atID(p.topic, offset)}
	}
	return []any{at(p.topic, offset)}
}

// membership adds the member that commits.
func (d *transactions) membership(f fields, version, from int16) fields {
	if version < from || f["Group"] == "g~" && chance(d.dice, 85) {
		return f
	}
	f["MemberID"] = sometimes(d.dice, 75, "member m", "", "stranger")
	f["Generation"] = sometimes(d.dice, 75, d.member, d.member-1, d.member+1, -1)
	return f
}

func (d *transactions) txnOffsetCommit() []Step {
	version := d.version(0, d.below(6, 4))
	f := d.of(d.transactionalID(), fields{"Group": d.group(), "Topics": d.offsets(version >= 6)})
	return []Step{ask(kmsg.TxnOffsetCommit, version, d.membership(f, version, 3))}
}

func (d *transactions) offsetCommit() []Step {
	version := d.version(2, 10)
	f := fields{"Group": d.group(), "Topics": d.offsets(version >= 10)}
	return []Step{ask(kmsg.OffsetCommit, version, d.membership(f, version, 1))}
}

func (d *transactions) endTxn() []Step {
	id := d.transactionalID()
	return d.settled(ask(kmsg.EndTxn, d.version(0, d.below(5, 4)), d.of(id, fields{"Commit": chance(d.dice, 60)})), id)
}

// writeMarkers makes no marker with a newer epoch than the producer's: the coordinator could not write its own one any
// more, and its transaction would not end.
func (d *transactions) writeMarkers() []Step {
	id := d.transactionalID()
	p, at0 := d.producerOf(id), d.place()
	marker := fields{
		"ProducerID": p.letter, "ProducerEpoch": p.epoch, "Committed": chance(d.dice, 50),
		"CoordinatorEpoch": sometimes(d.dice, 80, 0, -1), "Topics": []any{at(at0.topic, at0.partition)},
	}
	version := d.version(1, 2)
	if version >= 2 {
		marker["TransactionVersion"] = one(d.dice, 0, 1, 2)
	}
	if p.letter == "none" || p.epoch < 0 || p.letter == d.producers[id].letter && p.epoch > d.producers[id].epoch {
		return nil // with negative ones Kafka fails inside
	}
	return []Step{ask(kmsg.WriteTxnMarkers, version, fields{"Markers": []any{marker}})}
}

// makeAgain deletes a topic that may be in a transaction, and makes one with its name.
func (d *transactions) makeAgain() []Step {
	name := one(d.dice, "x", "y")
	remove := ask(kmsg.DeleteTopics, 5, fields{"TopicNames": []any{name + "~"}, "TimeoutMillis": 10_000})
	remove.Metadata = true
	return []Step{remove, {Topic: name, Partitions: 2}}
}

// leave lets the member of h leave.
func (d *transactions) leave() []Step {
	return []Step{ask(kmsg.LeaveGroup, d.version(0, 2), fields{"Group": "h~", "MemberID": "member m"})}
}

func (d *transactions) produce() []Step {
	id := sometimes(d.dice, 80, d.transactionalID(), "")
	p, to := d.producerOf(id), d.place()
	key := sequenceKey(p, to)
	next, records := d.next[key], 1+d.dice.IntN(3)
	sequence := sometimes(d.dice, 80, next, next-1, next+1, 0, next-int32(records), 1<<31-1)
	text := fmt.Sprintf("producer=%s epoch=%d sequence=%d records=%d", p.letter, p.epoch, max(sequence, -1), records)
	switch {
	case p.letter == "none" || chance(d.dice, 4):
		text = fmt.Sprintf("plain producer=none epoch=-1 sequence=-1 records=%d", records)
	case id == "" || chance(d.dice, 3):
		text = "plain " + text
	}
	version := sometimes(d.dice, 60, one[int16](d.dice, 9, 11, 12, 13), 3, 7, 8, 10)
	version = min(version, d.below(13, 11))
	topic := at
	if version >= 13 {
		topic = atID
	}
	f := fields{"Acks": -1, "TimeoutMillis": 10_000, "Topics": []any{
		topic(to.topic, fields{"Partition": to.partition, "Records": text}),
	}}
	if id != "" && chance(d.dice, 97) {
		f["TransactionID"] = id
	}
	return []Step{ask(kmsg.Produce, version, f)}
}

// sequenceKey is what sequences are counted by.
func sequenceKey(p producer, to place) string {
	return fmt.Sprintf("%s %d %s-%d", p.letter, p.epoch, to.topic, to.partition)
}

// produced notes what a Produce of one batch has written.
func (d *transactions) produced(step Step, answer *kmsg.ProduceResponse) {
	topic := step.Fields["Topics"].([]any)[0].(fields)
	name, ok := topic["Topic"].(string)
	if !ok {
		name = topic["TopicID"].(string)
	}
	partition := topic["Partitions"].([]any)[0].(fields)["Partition"].(int32)
	to := place{strings.TrimSuffix(name, "~"), partition}
	got := answer.Topics[0].Partitions[0]
	if got.ErrorCode != 0 || got.BaseOffset < 0 {
		return
	}
	p, sequence, records := batchIn(step)
	d.ends[to] = max(d.ends[to], got.BaseOffset+int64(records))
	if sequence >= 0 {
		key := sequenceKey(p, to)
		d.next[key] = max(d.next[key], sequence+records)
	}
}

// batchIn reads the text of the batch in a Produce again.
func batchIn(step Step) (p producer, sequence, records int32) {
	topic := step.Fields["Topics"].([]any)[0].(fields)
	text := topic["Partitions"].([]any)[0].(fields)["Records"].(string)
	_, err := fmt.Sscanf(strings.TrimPrefix(text, "plain "), "producer=%s epoch=%d sequence=%d records=%d",
		&p.letter, &p.epoch, &sequence, &records)
	if err != nil {
		panic(err) // the domain makes no other text
	}
	return p, sequence, records
}
