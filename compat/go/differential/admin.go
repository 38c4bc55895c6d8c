package main

import (
	"math/rand/v2"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// admin is the domain of topics and their configurations: made, changed, deleted and described, with odd values.
// Kafka's controller decides, and its broker learns it a moment later: each change waits for that.
type admin struct {
	dice *rand.Rand
}

func newAdmin(dice *rand.Rand) Domain { return &admin{dice: dice} }

// Setup implements Domain.
func (d *admin) Setup() []Step {
	return []Step{{Topic: "x", Partitions: 2}, {Topic: "y", Partitions: 1}}
}

// Next implements Domain.
func (d *admin) Next(*rand.Rand) []Step {
	return oneOf(d.dice, []weighted{
		{15, d.createTopics}, {8, d.createPartitions}, {5, d.deleteTopics}, {20, d.alter}, {6, d.alterAll},
		{20, d.describeConfigs}, {12, d.metadata}, {10, d.describeTopics},
	})
}

// Answered implements Domain.
func (d *admin) Answered(Step, kmsg.Response, *names) {}

func (d *admin) version(lowest, highest int16) int16 {
	return lowest + int16(d.dice.IntN(int(highest-lowest)+1))
}

// topic is one that exists, seldom one that does not or cannot.
func (d *admin) topic() string {
	return sometimes(d.dice, 85, one(d.dice, "x~", "x~", "y~", "n1~", "n2~", "n3~"), "", "nosuch~", "a b", "..", "ü")
}

// changes is a step that changes metadata.
func changes(step Step) Step {
	step.Metadata = true
	return step
}

// config is a configuration of a topic with a value, right or wrong. Values are in the form that DescribeConfigs shows:
// this broker stores no other one.
func (d *admin) config() (name string, value any) {
	all := [][]any{
		{"cleanup.policy", "compact", "delete", "compact,delete", "odd", "COMPACT"},
		{"retention.ms", "1000", "-1", "-2", "1e3", "", "9223372036854775808"},
		{"segment.bytes", "1048576", "1048575", "14", "2147483648", "1.5"},
		{"min.cleanable.dirty.ratio", "0.5", "1.0", "0.0", "1.1", "-0.1"},
		{"max.message.bytes", "0", "1", "-1", "2147483647"},
		{"compression.type", "gzip", "producer", "none", "uncompressed", "lz5", "GZIP"},
		{"compression.gzip.level", "1", "9", "0", "-1", "10"},
		{"message.timestamp.type", "LogAppendTime", "CreateTime", "Odd"},
		{"message.timestamp.before.max.ms", "0", "-1", "9223372036854775807"},
		{"preallocate", "true", "yes", ""},
		{"min.insync.replicas", "1", "0", "2", "-1"},
		{"unclean.leader.election.enable", "true", "false", "1"},
		{"local.retention.ms", "-2", "-1", "5", "-3"},
		{"remote.storage.enable", "true", "false"},
		{"leader.replication.throttled.replicas", "*", "none", "0:1,1:1", "0:1,odd", ""},
		{"flush.messages", "1", "0", "-1"},
		{"delete.retention.ms", "0", "-1"},
		{"index.interval.bytes", "0", "-1", "4096"},
		{"segment.index.bytes", "4", "3", "10485760"},
		{"nosuch.config", "1", ""},
		{"", "1"},
	}
	chosen := one(d.dice, all...)
	return chosen[0].(string), sometimes(d.dice, 97, one(d.dice, chosen[1:]...), nil)
}

func (d *admin) createTopics() []Step {
	version := d.version(2, 7)
	var topics []any
	for range 1 + d.dice.IntN(2) {
		t := fields{
			"Topic":             sometimes(d.dice, 75, one(d.dice, "n1~", "n2~", "n3~"), d.topic()),
			"NumPartitions":     sometimes(d.dice, 70, 1+d.dice.IntN(3), -1, 0, -2),
			"ReplicationFactor": sometimes(d.dice, 80, 1, -1, 0, 2, -2),
		}
		if chance(d.dice, 10) {
			t["NumPartitions"], t["ReplicationFactor"] = -1, -1
			t["ReplicaAssignment"] = one(d.dice,
				[]any{fields{"Partition": 0, "Replicas": []any{1}}},
				[]any{fields{"Partition": 1, "Replicas": []any{1}}},
				[]any{fields{"Partition": 0, "Replicas": []any{1, 1}}},
				[]any{fields{"Partition": 0, "Replicas": []any{7}}},
				[]any{fields{"Partition": 0, "Replicas": []any{}}})
		}
		if chance(d.dice, 40) {
			name, value := d.config()
			t["Configs"] = []any{fields{"Name": name, "Value": value}}
		}
		topics = append(topics, t)
	}
	f := fields{"Topics": topics, "TimeoutMillis": 10_000, "ValidateOnly": chance(d.dice, 20)}
	step := changes(ask(kmsg.CreateTopics, version, f))
	step.Hide = []string{"TopicID"} // of topics that the sequence does not know
	return []Step{step}
}

func (d *admin) createPartitions() []Step {
	t := fields{"Topic": d.topic(), "Count": one(d.dice, 1, 2, 3, 4, 0, -1)}
	if chance(d.dice, 20) {
		t["Assignment"] = []any{fields{"Replicas": one(d.dice, []any{1}, []any{7}, []any{1, 1}, []any{})}}
	}
	return []Step{changes(ask(kmsg.CreatePartitions, d.version(0, 3), fields{
		"Topics": []any{t}, "TimeoutMillis": 10_000, "ValidateOnly": chance(d.dice, 20),
	}))}
}

func (d *admin) deleteTopics() []Step {
	name, version := d.topic(), d.version(1, 6)
	f := fields{"TimeoutMillis": 10_000}
	switch {
	case version < 6:
		f["TopicNames"] = []any{name}
	default:
		f["Topics"] = []any{fields{"Topic": name}}
	}
	step := changes(ask(kmsg.DeleteTopics, version, f))
	step.Hide = []string{"TopicID"}
	return []Step{step}
}

func (d *admin) alter() []Step {
	var configs []any
	for range 1 + d.dice.IntN(2) {
		name, value := d.config()
		configs = append(configs, fields{"Name": name, "Value": value, "Op": sometimes(d.dice, 60, 0, 1, 2, 3)})
	}
	return []Step{changes(ask(kmsg.IncrementalAlterConfigs, d.version(0, 1), fields{
		"ValidateOnly": chance(d.dice, 15),
		"Resources": []any{fields{
			"ResourceType": sometimes(d.dice, 96, 2, 0, 4), "ResourceName": d.topic(), "Configs": configs,
		}},
	}))}
}

func (d *admin) alterAll() []Step {
	name, value := d.config()
	return []Step{changes(ask(kmsg.AlterConfigs, d.version(0, 2), fields{
		"ValidateOnly": chance(d.dice, 15),
		"Resources": []any{fields{
			"ResourceType": 2, "ResourceName": d.topic(), "Configs": []any{fields{"Name": name, "Value": value}},
		}},
	}))}
}
