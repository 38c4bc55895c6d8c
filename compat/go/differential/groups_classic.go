package main

import (
	"math/rand/v2"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// classicGroups is the domain of classic groups and of committed offsets. Each of two groups has at most one member, so
// that no request waits for another one: one group has a dynamic member, the other one a static one.
type classicGroups struct {
	dice       *rand.Rand
	generation map[string]int32 // by group
	joined     map[string]bool  // groups whose member has got an ID
}

func newClassicGroups(dice *rand.Rand) Domain {
	return &classicGroups{dice: dice, generation: map[string]int32{}, joined: map[string]bool{}}
}

// Setup implements Domain.
func (d *classicGroups) Setup() []Step {
	return []Step{{Topic: "x", Partitions: 2}, {Topic: "y", Partitions: 1}}
}

// Next implements Domain.
func (d *classicGroups) Next(*rand.Rand) []Step {
	return oneOf(d.dice, []weighted{
		{18, d.join}, {16, d.sync}, {8, d.heartbeat}, {6, d.leave}, {12, d.commit}, {9, d.fetch}, {3, d.deleteOffsets},
		{8, d.describe}, {5, d.list}, {3, d.deleteGroups},
	})
}

// Answered implements Domain.
func (d *classicGroups) Answered(step Step, answer kmsg.Response, _ *names) {
	joined, ok := answer.(*kmsg.JoinGroupResponse)
	if !ok {
		return
	}
	group := step.Fields["Group"].(string)
	const memberIDRequired = 79
	d.joined[group] = d.joined[group] || joined.ErrorCode == 0 || joined.ErrorCode == memberIDRequired
	if joined.ErrorCode == 0 {
		d.generation[group] = joined.Generation
	}
}

func (d *classicGroups) group() string { return one(d.dice, "g~", "h~") }

// static is the group instance ID of a group's member; nil for a dynamic one, or in a version that has none.
func (d *classicGroups) static(group string, hasInstance bool) any {
	if group != "h~" || !hasInstance {
		return sometimes[any](d.dice, 97, nil, whenAny(hasInstance, "i2"))
	}
	return sometimes[any](d.dice, 92, "i1", "i2", nil)
}

// whenAny is a value, or nil.
func whenAny(holds bool, value any) any {
	if holds {
		return value
	}
	return nil
}

// member is the ID of a group's member, most often.
func (d *classicGroups) member(group string) string {
	if !d.joined[group] {
		return sometimes(d.dice, 80, "", "bogus")
	}
	return sometimes(d.dice, 92, "member "+group[:1], "", "bogus")
}

func (d *classicGroups) generationOf(group string) int32 {
	g := d.generation[group]
	return sometimes(d.dice, 88, g, g+1, g-1, -1)
}

func (d *classicGroups) join() []Step {
	group, version := d.group(), int16(d.dice.IntN(10))
	if group == "h~" && version < 5 && chance(d.dice, 90) {
		version = 5 + int16(d.dice.IntN(5))
	}
	member := ""
	if d.joined[group] {
		member = "member " + group[:1]
	}
	protocols := []any{fields{"Name": "range", "Metadata": "one"}}
	if chance(d.dice, 40) {
		protocols = append(protocols, fields{"Name": one(d.dice, "roundrobin", "sticky"), "Metadata": "other"})
	}
	step := ask(kmsg.JoinGroup, version, fields{
		"Group": group, "MemberID": member, "InstanceID": d.static(group, version >= 5),
		"SessionTimeoutMillis":   sometimes(d.dice, 96, 60_000, 5, -1, 1_800_001),
		"RebalanceTimeoutMillis": 500,
		"ProtocolType":           sometimes(d.dice, 95, "consumer", "connect", ""),
		"Protocols":              protocols,
	})
	step.Member = group[:1]
	return []Step{step}
}

func (d *classicGroups) sync() []Step {
	group, version := d.group(), int16(d.dice.IntN(6))
	f := fields{
		"Group": group, "Generation": d.generationOf(group), "MemberID": d.member(group),
		"InstanceID": d.static(group, version >= 3),
	}
	if version >= 5 {
		f["ProtocolType"] = sometimes[any](d.dice, 90, "consumer", "other", nil)
		f["Protocol"] = sometimes[any](d.dice, 90, "range", "sticky", nil)
	}
	if d.joined[group] && chance(d.dice, 90) {
		f["GroupAssignment"] = []any{fields{
			"MemberID": "member " + group[:1], "MemberAssignment": one(d.dice, "all", "some", ""),
		}}
	}
	return []Step{ask(kmsg.SyncGroup, version, f)}
}

func (d *classicGroups) heartbeat() []Step {
	group, version := d.group(), int16(d.dice.IntN(5))
	return []Step{ask(kmsg.Heartbeat, version, fields{
		"Group": group, "Generation": d.generationOf(group), "MemberID": d.member(group),
		"InstanceID": d.static(group, version >= 3),
	})}
}

func (d *classicGroups) leave() []Step {
	group, version := d.group(), int16(d.dice.IntN(6))
	if version < 3 {
		return []Step{ask(kmsg.LeaveGroup, version, fields{"Group": group, "MemberID": d.member(group)})}
	}
	members := []any{}
	for range one(d.dice, 1, 1, 1, 2, 0) {
		members = append(members, fields{"MemberID": d.member(group), "InstanceID": d.static(group, true)})
	}
	return []Step{ask(kmsg.LeaveGroup, version, fields{"Group": group, "Members": members})}
}

func (d *classicGroups) commit() []Step {
	group := d.group()
	if chance(d.dice, 25) {
		return []Step{commitOf(d.dice, group, "", -1, nil)}
	}
	return []Step{commitOf(d.dice, group, d.member(group), d.generationOf(group), d.static(group, true))}
}

func (d *classicGroups) fetch() []Step { return []Step{offsetsOf(d.dice, d.group(), nil, -1)} }

func (d *classicGroups) deleteOffsets() []Step { return []Step{deletionOf(d.dice, d.group())} }

func (d *classicGroups) describe() []Step {
	return []Step{ask(kmsg.DescribeGroups, int16(d.dice.IntN(7)), fields{"Groups": []any{"g~", "h~"}})}
}

func (d *classicGroups) list() []Step { return []Step{listOf(d.dice, d.group())} }

func (d *classicGroups) deleteGroups() []Step {
	return []Step{ask(kmsg.DeleteGroups, int16(d.dice.IntN(4)), fields{"Groups": []any{d.group()}})}
}
