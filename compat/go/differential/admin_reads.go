package main

import "github.com/twmb/franz-go/pkg/kmsg"

func (d *admin) describeConfigs() []Step {
	var keys any
	if chance(d.dice, 60) {
		name, _ := d.config()
		keys = []any{name}
		if chance(d.dice, 10) {
			keys = []any{}
		}
	}
	version := d.version(1, 4)
	return []Step{ask(kmsg.DescribeConfigs, version, fields{
		"Resources":       []any{fields{"ResourceType": 2, "ResourceName": d.topic(), "ConfigNames": keys}},
		"IncludeSynonyms": chance(d.dice, 40),
	})}
}

func (d *admin) metadata() []Step {
	version := d.version(0, 13)
	name := d.topic()
	if name == "" || version < 4 && name == "nosuch~" { // which is made
		name = "x~"
	}
	topic := fields{"Topic": name}
	if version >= 10 && chance(d.dice, 30) {
		topic = fields{"Topic": nil, "TopicID": one(d.dice, "x~", "y~", "nosuch~")}
	}
	f := fields{"Topics": []any{topic}}
	if version < 4 {
		f["Topics"] = []any{fields{"Topic": one(d.dice, "x~", "a b", "..")}}
	} else {
		f["AllowAutoTopicCreation"] = false
	}
	if version >= 8 {
		f["IncludeTopicAuthorizedOperations"] = chance(d.dice, 30)
	}
	step := ask(kmsg.Metadata, version, f)
	step.Hide = []string{"Brokers", "ClusterID"}
	return []Step{step}
}

func (d *admin) describeTopics() []Step {
	topics := []any{}
	for range d.dice.IntN(4) {
		topics = append(topics, fields{"Topic": one(d.dice, "x~", "y~", "n1~", "n2~", "nosuch~", "a b")})
	}
	if len(topics) == 0 { // all topics
		topics = []any{fields{"Topic": "x~"}}
	}
	f := fields{"Topics": topics, "ResponsePartitionLimit": sometimes(d.dice, 60, 2000, 1, 2, 0, -1)}
	if chance(d.dice, 50) {
		f["Cursor"] = fields{"Topic": one(d.dice, "x~", "y~", "n1~", "nosuch~"), "Partition": one(d.dice, 0, 1, 5, -1)}
	}
	return []Step{inOrder(ask(kmsg.DescribeTopicPartitions, 0, f))}
}

var expectedOfAdmin = expectations{}
