package main

import (
	"math/rand/v2"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// shareStates is the domain of the state of share partitions, as brokers ask each other for it, and of the start
// offsets that administrators ask for. What members fetch is left out: Kafka gives the records of a share partition to
// nobody for a moment after each fetch. Two differences of docs/gaps.md do not come up: no write has an epoch above
// the stored one, and no state that has a leader epoch is initialized again.
type shareStates struct {
	dice        *rand.Rand
	leaders     bool        // requests have leader epochs above 0
	stateEpochs map[int]int // by partition
}

func newShareStates(dice *rand.Rand) Domain {
	return &shareStates{dice: dice, leaders: chance(dice, 50), stateEpochs: map[int]int{}}
}

// Setup implements Domain. The member of another group has Kafka make the topic for the state.
func (d *shareStates) Setup() []Step {
	join := ask(kmsg.ShareGroupHeartbeat, 1, fields{
		"GroupID": "w~", "MemberID": "m", "MemberEpoch": 0, "SubscribedTopicNames": []any{"x~"},
	})
	join.Until, join.Hide, join.Keep = "Partitions=[0 1]", []string{"MemberEpoch"}, true
	return []Step{{Topic: "x", Partitions: 2}, join}
}

// Next implements Domain.
func (d *shareStates) Next(*rand.Rand) []Step {
	return oneOf(d.dice, []weighted{
		{15, d.initialize}, {25, d.read}, {40, d.write}, {15, d.summary}, {4, d.delete}, {8, d.describe}, {3, d.alter},
		{2, d.deleteOffsets}, {2, d.list},
	})
}

// Answered implements Domain.
func (d *shareStates) Answered(step Step, answer kmsg.Response, _ *names) {
	const firstGroupEpoch = 1
	switch r := answer.(type) {
	case *kmsg.InitializeShareGroupStateResponse:
		if len(r.Topics) > 0 && r.Topics[0].Partitions[0].ErrorCode == 0 {
			of := partitionIn(step)
			d.stateEpochs[of["Partition"].(int)] = of["StateEpoch"].(int)
		}
	case *kmsg.AlterShareGroupOffsetsResponse:
		if step.Fields["GroupID"] == "g~" && len(r.Topics) > 0 && r.Topics[0].Partitions[0].ErrorCode == 0 {
			d.stateEpochs[partitionIn(step)["Partition"].(int)] = firstGroupEpoch
		}
	}
}

// partitionIn is the partition that a step is about.
func partitionIn(step Step) fields {
	return step.Fields["Topics"].([]any)[0].(fields)["Partitions"].([]any)[0].(fields)
}

// partition is a number of a partition, most often of one that exists.
func (d *shareStates) partition() int { return sometimes(d.dice, 85, d.dice.IntN(2), 7, -1) }

// about asks about one share partition.
func (d *shareStates) about(api kmsg.Key, version int16, index int, partition fields) []Step {
	partition["Partition"] = index
	return []Step{ask(api, version, fields{
		"GroupID": sometimes(d.dice, 97, "g~", ""),
		"Topics":  []any{atID(sometimes(d.dice, 95, "x", "nosuch"), partition)},
	})}
}

func (d *shareStates) leaderEpoch() int {
	if d.leaders {
		return sometimes(d.dice, 75, 0, 1, -1)
	}
	return sometimes(d.dice, 95, 0, -1)
}

func (d *shareStates) start() int { return one(d.dice, 0, 5, 8, 10, -1, 20) }

func (d *shareStates) initialize() []Step {
	index := d.partition()
	if _, done := d.stateEpochs[index]; done && d.leaders {
		return d.summary()
	}
	return d.about(kmsg.InitializeShareGroupState, 0, index, fields{
		"StateEpoch": one(d.dice, 0, 1, 2, 3, 3, -1), "StartOffset": d.start(),
	})
}

func (d *shareStates) read() []Step {
	return d.about(kmsg.ReadShareGroupState, 0, d.partition(), fields{"LeaderEpoch": d.leaderEpoch()})
}

func (d *shareStates) summary() []Step {
	return d.about(kmsg.ReadShareGroupStateSummary, int16(d.dice.IntN(2)), d.partition(), fields{
		"LeaderEpoch": d.leaderEpoch(),
	})
}

func (d *shareStates) delete() []Step {
	return d.about(kmsg.DeleteShareGroupState, 0, d.partition(), fields{})
}

func (d *shareStates) write() []Step {
	const available, acknowledged, archiving, archived = 0, 2, 3, 4
	batches := []any{}
	for range d.dice.IntN(4) {
		first := one(d.dice, 0, 3, 5, 8, 10, 15)
		batches = append(batches, fields{
			"FirstOffset": first, "LastOffset": first + d.dice.IntN(8), "DeliveryCount": 1 + d.dice.IntN(3),
			"DeliveryState": one(d.dice, available, available, acknowledged, archiving, archived),
		})
	}
	index := d.partition()
	stored := d.stateEpochs[index]
	f := fields{
		"StateEpoch": sometimes(d.dice, 80, stored, stored-1, 0, -1), "LeaderEpoch": sometimes(d.dice, 95, 0, -1),
		"StartOffset": d.start(), "StateBatches": batches,
	}
	version := int16(d.dice.IntN(2))
	if version >= 1 {
		f["DeliveryCompleteCount"] = one(d.dice, -1, 0, 3, 4)
	}
	return d.about(kmsg.WriteShareGroupState, version, index, f)
}

func (d *shareStates) describe() []Step {
	return []Step{ask(kmsg.DescribeShareGroupOffsets, int16(d.dice.IntN(2)), fields{"Groups": []any{fields{
		"GroupID": "g~", "Topics": one[any](d.dice, nil, []any{at("x", 0, 1)}, []any{at("nosuch", 0)}),
	}}})}
}

func (d *shareStates) alter() []Step {
	index := one(d.dice, 0, 1, 7)
	if _, done := d.stateEpochs[index]; done && d.leaders {
		return d.summary()
	}
	partition := fields{"Partition": index, "StartOffset": d.start()}
	return []Step{ask(kmsg.AlterShareGroupOffsets, 0, fields{
		"GroupID": sometimes(d.dice, 90, "g~", "w~", ""),
		"Topics":  []any{at(sometimes(d.dice, 85, "x", "nosuch"), partition)},
	})}
}

func (d *shareStates) deleteOffsets() []Step {
	return []Step{ask(kmsg.DeleteShareGroupOffsets, 0, fields{
		"GroupID": sometimes(d.dice, 90, "g~", "w~", ""),
		"Topics":  []any{fields{"Topic": sometimes(d.dice, 85, "x~", "nosuch~")}},
	})}
}

func (d *shareStates) list() []Step { return []Step{listOf(d.dice, "g~")} }
