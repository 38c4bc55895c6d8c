package main

import (
	"math/rand/v2"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// What all domains of groups ask: offsets of the topics x and y, and lists of groups.

// partsOf are partitions of a topic, which versions from 10 on name by its ID.
func partsOf(version int16, topic string, partitions ...any) fields {
	if version >= 10 {
		return atID(topic, partitions...)
	}
	return at(topic, partitions...)
}

// commitOf commits offsets as a member of a group.
func commitOf(dice *rand.Rand, group, member string, generation int32, instance any) Step {
	version := int16(2 + dice.IntN(9))
	part := func(partition int) fields {
		f := fields{
			"Partition": partition, "Offset": one(dice, 0, 1, 1000, -1, -5),
			"Metadata": one[any](dice, "", "m", nil, strings.Repeat("x", 4096), strings.Repeat("x", 4097)),
		}
		if version >= 6 {
			f["LeaderEpoch"] = one(dice, -1, 0, 5)
		}
		return f
	}
	f := fields{
		"Group": group, "Generation": generation, "MemberID": member,
		"Topics": []any{
			partsOf(version, "x", part(0), part(one(dice, 1, 1, 7))),
			partsOf(version, sometimes(dice, 80, "y", "nosuch"), part(0)),
		},
	}
	if version <= 4 {
		f["RetentionTimeMillis"] = one(dice, -1, -1, 100_000_000)
	}
	if version >= 7 {
		f["InstanceID"] = instance
	}
	return ask(kmsg.OffsetCommit, version, f)
}

// offsetsOf asks for the offsets of a group.
func offsetsOf(dice *rand.Rand, group string, member any, epoch int32) Step {
	version := int16(1 + dice.IntN(10))
	var topics any = []any{
		partsOf(version, "x", 0, 1), partsOf(version, sometimes(dice, 80, "y", "nosuch"), 0),
	}
	if version >= 2 && chance(dice, 30) {
		topics = nil
	}
	f := fields{"Group": group, "Topics": topics}
	if version >= 8 {
		of := f
		if version >= 9 {
			of["MemberID"], of["MemberEpoch"] = member, epoch
		}
		f = fields{"Groups": []any{of}}
	}
	if version >= 7 {
		f["RequireStable"] = chance(dice, 50)
	}
	return ask(kmsg.OffsetFetch, version, f)
}

// deletionOf deletes offsets of a group.
func deletionOf(dice *rand.Rand, group string) Step {
	return ask(kmsg.OffsetDelete, 0, fields{"Group": group, "Topics": []any{
		at("x", fields{"Partition": 0}, fields{"Partition": one(dice, 1, 7)}),
		at(sometimes(dice, 80, "y", "nosuch"), fields{"Partition": 0}),
	}})
}

// listOf lists a group, if it is listed.
func listOf(dice *rand.Rand, group string) Step {
	version := int16(dice.IntN(6))
	f := fields{}
	if version >= 4 && chance(dice, 50) {
		f["StatesFilter"] = []any{one(dice, "Stable", "stable", "Empty", "PreparingRebalance", "completingRebalance", "Dead",
			"assigning", " Reconciling", "not_ready", "nosuch")}
	}
	if version >= 5 && chance(dice, 50) {
		f["TypesFilter"] = []any{one(dice, "classic", "Classic", "consumer", "share", "streams", "nosuch")}
	}
	step := ask(kmsg.ListGroups, version, f)
	step.Having = "Group=" + group[:1] + " "
	return step
}
