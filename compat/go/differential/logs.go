package main

import (
	"fmt"
	"math/rand/v2"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// logs is the domain of reading logs: fetches by offset, size and session, offsets by time and special values, leader
// epochs, and what moves the start of a log. Batches have old times, which need not rise.
type logs struct {
	dice     *rand.Rand
	ends     map[place]int64
	sessions []session
}

// session is a fetch session: its name, and the epoch that comes next.
type session struct {
	name  string
	epoch int32
}

func newLogs(dice *rand.Rand) Domain { return &logs{dice: dice, ends: map[place]int64{}} }

// Setup implements Domain.
func (d *logs) Setup() []Step {
	topics := []Step{{Topic: "x", Partitions: 2}, {Topic: "y", Partitions: 2}}
	if chance(d.dice, 25) {
		topics = append(topics, setConfig("x~", "message.timestamp.type", "LogAppendTime"))
	}
	return topics
}

// setConfig sets a configuration of a topic.
func setConfig(topic, name, value string) Step {
	step := ask(kmsg.IncrementalAlterConfigs, 1, fields{"Resources": []any{fields{
		"ResourceType": 2, "ResourceName": topic, "Configs": []any{fields{"Name": name, "Op": 0, "Value": value}},
	}}})
	step.Metadata = true
	return step
}

// Next implements Domain.
func (d *logs) Next(*rand.Rand) []Step {
	return oneOf(d.dice, []weighted{
		{20, d.produce}, {20, d.fetch}, {25, d.fetchInSession}, {15, d.listOffsets}, {8, d.epochEnd}, {4, d.deleteRecords},
	})
}

// Answered implements Domain.
func (d *logs) Answered(step Step, answer kmsg.Response, called *names) {
	switch answer := answer.(type) {
	case *kmsg.ProduceResponse:
		if got := answer.Topics[0].Partitions[0]; got.ErrorCode == 0 {
			_, to, records := recordsIn(step)
			d.ends[to] = max(d.ends[to], got.BaseOffset+records)
		}
	case *kmsg.FetchResponse:
		if answer.SessionID != 0 && answer.ErrorCode == 0 {
			name := called.number("session", int64(answer.SessionID))
			for i := range d.sessions {
				if d.sessions[i].name == name {
					d.sessions[i].epoch++
					return
				}
			}
			d.sessions = append(d.sessions, session{name, 1})
		}
	}
}

func (d *logs) version(lowest, highest int16) int16 {
	return lowest + int16(d.dice.IntN(int(highest-lowest)+1))
}

func (d *logs) place() place {
	return place{sometimes(d.dice, 97, one(d.dice, "x", "y"), "nosuch"), sometimes(d.dice, 97, int32(d.dice.IntN(2)), 7)}
}

// offset is one in or around what a log has.
func (d *logs) offset(p place) int64 {
	return sometimes(d.dice, 50, d.dice.Int64N(d.ends[p]+1), 0, d.ends[p], d.ends[p]+1, -1)
}

func (d *logs) produce() []Step {
	to, version := d.place(), d.version(3, 13)
	text := fmt.Sprintf("plain sequence=-1 records=%d time=%d step=%d", 1+d.dice.IntN(4),
		one(d.dice, 0, 1000, 1000, 5000, 5010, 90_000_000), one(d.dice, 0, 0, 10, -10))
	topic := at
	if version >= 13 {
		topic = atID
	}
	return []Step{ask(kmsg.Produce, version, fields{"Acks": one(d.dice, -1, 1), "TimeoutMillis": 10_000, "Topics": []any{
		topic(to.topic, fields{"Partition": to.partition, "Records": text}),
	}})}
}

// recordsIn reads where a Produce writes to, and how many records.
func recordsIn(step Step) (text string, to place, records int64) {
	topic := step.Fields["Topics"].([]any)[0].(fields)
	name, ok := topic["Topic"].(string)
	if !ok {
		name = topic["TopicID"].(string)
	}
	partition := topic["Partitions"].([]any)[0].(fields)
	text = partition["Records"].(string)
	if _, err := fmt.Sscanf(text, "plain sequence=-1 records=%d", &records); err != nil {
		panic(err) // the domain makes no other text
	}
	return text, place{strings.TrimSuffix(name, "~"), partition["Partition"].(int32)}, records
}

// partitionOf is what a Fetch asks of a partition.
func (d *logs) partitionOf(p place, version int16) fields {
	f := fields{
		"Partition": p.partition, "FetchOffset": d.offset(p),
		"PartitionMaxBytes": sometimes(d.dice, 60, 1<<20, 0, 1, 75, 80, 200),
	}
	if version >= 9 {
		f["CurrentLeaderEpoch"] = sometimes(d.dice, 85, -1, 0, 1)
	}
	if version >= 12 {
		f["LastFetchedEpoch"] = sometimes(d.dice, 85, -1, 0, 1)
	}
	return f
}

// asked is a Fetch of some partitions. A limit for all of them goes with one partition only: Kafka counts the part of a
// batch at the end of a partition, which this broker does not send.
func (d *logs) asked(version int16, partitions int) fields {
	topic := at
	if version >= 13 {
		topic = atID
	}
	topics := []any{}
	for range partitions {
		p := d.place()
		topics = append(topics, topic(p.topic, d.partitionOf(p, version)))
	}
	f := fields{
		"MaxWaitMillis": 0, "MinBytes": one(d.dice, 0, 1), "MaxBytes": 1 << 20, "Topics": topics, "SessionEpoch": -1,
		"IsolationLevel": d.dice.IntN(2),
	}
	if partitions == 1 {
		f["MaxBytes"] = sometimes(d.dice, 60, 1<<20, 0, 1, 75, 200)
	}
	return f
}

func (d *logs) fetch() []Step {
	version := d.version(4, 18)
	return []Step{inOrder(ask(kmsg.Fetch, version, d.asked(version, 1+d.dice.IntN(2))))}
}

// inOrder compares lists in the order of the answer.
func inOrder(step Step) Step {
	step.InOrder = true
	return step
}

func (d *logs) fetchInSession() []Step {
	version := d.version(7, 18)
	f := d.asked(version, d.dice.IntN(3))
	f["SessionEpoch"], f["MaxBytes"] = 0, 1<<20
	if len(d.sessions) > 0 && chance(d.dice, 85) {
		s := d.sessions[len(d.sessions)-1]
		if chance(d.dice, 15) {
			s = one(d.dice, d.sessions...)
		}
		f["SessionID"], f["SessionEpoch"] = s.name, sometimes(d.dice, 88, s.epoch, s.epoch-1, s.epoch+1, -1, 0)
		if chance(d.dice, 15) {
			p := d.place()
			name := "Topic"
			if version >= 13 {
				name = "TopicID"
			}
			f["ForgottenTopics"] = []any{fields{name: p.topic + "~", "Partitions": []any{p.partition}}}
		}
	}
	return []Step{inOrder(ask(kmsg.Fetch, version, f))}
}

func (d *logs) listOffsets() []Step {
	p, version := d.place(), d.version(1, 11)
	timestamp := one(d.dice, 0, 1, 999, 1000, 1001, 1010, 4999, 5000, 5020, 90_000_000, 1<<50)
	if chance(d.dice, 50) {
		timestamp = one(d.dice, -1, -2, -3, -4, -5, -6, -7)
	}
	f := fields{"Partition": p.partition, "Timestamp": timestamp}
	if version >= 4 {
		f["CurrentLeaderEpoch"] = sometimes(d.dice, 85, -1, 0, 1)
	}
	all := fields{"Topics": []any{at(p.topic, f)}, "ReplicaID": sometimes(d.dice, 95, -1, -2)}
	if version >= 2 {
		all["IsolationLevel"] = d.dice.IntN(2)
	}
	return []Step{ask(kmsg.ListOffsets, version, all)}
}

func (d *logs) epochEnd() []Step {
	p, version := d.place(), d.version(2, 4)
	f := fields{
		"Partition": p.partition, "LeaderEpoch": one(d.dice, -1, 0, 1, 5),
		"CurrentLeaderEpoch": sometimes(d.dice, 70, -1, 0, 1),
	}
	all := fields{"Topics": []any{at(p.topic, f)}}
	if version >= 3 {
		all["ReplicaID"] = one(d.dice, -1, -2)
	}
	return []Step{ask(kmsg.OffsetForLeaderEpoch, version, all)}
}

func (d *logs) deleteRecords() []Step {
	p := d.place()
	return []Step{ask(kmsg.DeleteRecords, d.version(0, 2), fields{"TimeoutMillis": 10_000, "Topics": []any{
		at(p.topic, fields{"Partition": p.partition, "Offset": d.offset(p)}),
	}})}
}

var expectedOfLogs = expectations{
	{
		row: "Fetch",
		why: "whole batches only",
		matches: func(_ []exchange, last exchange) bool {
			const part = "part of a batch"
			whole := strings.ReplaceAll(strings.ReplaceAll(last.kafka, ", "+part, ""), part, "")
			return last.API == kmsg.Fetch && strings.Contains(last.kafka, part) && whole == last.once
		},
		goesOn: true,
	},
}
