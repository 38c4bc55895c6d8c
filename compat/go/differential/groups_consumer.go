package main

import (
	"math/rand/v2"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// consumerGroups is the domain of consumer groups (KIP-848): one group of up to three members, which subscribe to one
// topic of six partitions. Who gets which of them depends on the order of Kafka's maps, so that only their numbers are
// compared, which are the same with one, two or three members.
type consumerGroups struct {
	dice    *rand.Rand
	members map[string]*groupMember
}

// groupMember is a member that chooses its own ID.
type groupMember struct {
	id       string
	joined   bool
	epoch    int32
	instance any
}

// newMembers makes members m1 to m3, of which some are static.
func newMembers(dice *rand.Rand) map[string]*groupMember {
	all := map[string]*groupMember{}
	for _, id := range []string{"m1", "m2", "m3"} {
		all[id] = &groupMember{id: id, instance: whenAny(chance(dice, 25), "i"+id[1:])}
	}
	return all
}

func newConsumerGroups(dice *rand.Rand) Domain {
	return &consumerGroups{dice: dice, members: newMembers(dice)}
}

// Setup implements Domain. Without the interval each heartbeat may compute a new assignment.
func (d *consumerGroups) Setup() []Step {
	return []Step{
		groupSetting("consumer.assignment.interval.ms", "0"), {Topic: "x", Partitions: 6}, {Topic: "y", Partitions: 1},
		awaitTopic("x", "[0 1 2 3 4 5]"),
	}
}

// groupSetting sets a setting of the group g.
func groupSetting(name, value string) Step {
	const groups, set = 32, 0
	step := ask(kmsg.IncrementalAlterConfigs, 1, fields{"Resources": []any{fields{
		"ResourceType": groups, "ResourceName": "g~", "Configs": []any{fields{"Name": name, "Op": set, "Value": value}},
	}}})
	step.Metadata, step.Keep = true, true
	return step
}

// awaitTopic is a heartbeat of another group that is repeated until its member has all partitions of a topic: Kafka's
// group coordinator learns of topics later than its broker.
func awaitTopic(topic, partitions string) Step {
	step := ask(kmsg.ConsumerGroupHeartbeat, 1, fields{
		"Group": "w~", "MemberID": topic, "MemberEpoch": 0, "RebalanceTimeoutMillis": 60_000, "Topics": []any{},
		"SubscribedTopicNames": []any{topic + "~"},
	})
	step.Until, step.Hide, step.Keep = "Partitions="+partitions, []string{"MemberEpoch"}, true
	return step
}

// Next implements Domain.
func (d *consumerGroups) Next(*rand.Rand) []Step {
	return oneOf(d.dice, []weighted{
		{60, d.heartbeat}, {12, d.describe}, {8, d.commit}, {6, d.fetch}, {2, d.deleteOffsets}, {4, d.list}, {2, d.delete},
	})
}

// Answered implements Domain.
func (d *consumerGroups) Answered(step Step, answer kmsg.Response, _ *names) {
	if r, ok := answer.(*kmsg.ConsumerGroupHeartbeatResponse); ok {
		d.members[step.Fields["MemberID"].(string)].answered(r.ErrorCode, r.MemberEpoch)
	}
}

// answered notes the answer to a heartbeat.
func (m *groupMember) answered(code int16, epoch int32) {
	const unknownMemberID, fencedMemberEpoch = 25, 110
	switch code {
	case 0:
		m.joined, m.epoch = epoch > 0, epoch
	case unknownMemberID, fencedMemberEpoch:
		m.joined = false
	}
}

// sentEpoch is the epoch of the next heartbeat, most often the right one.
func (m *groupMember) sentEpoch(dice *rand.Rand) int32 {
	leave := int32(-1)
	if m.instance != nil {
		leave = one(dice, int32(-1), -2)
	}
	if !m.joined {
		return sometimes(dice, 94, int32(0), -1, 1, 2)
	}
	return sometimes(dice, 84, m.epoch, m.epoch-1, m.epoch+1, 0, 0, leave, leave, -3)
}

// usedEpoch is the epoch in a request about offsets.
func (m *groupMember) usedEpoch(dice *rand.Rand) int32 {
	return sometimes(dice, 70, m.epoch, m.epoch-1, m.epoch+1, -1)
}

func (d *consumerGroups) member() *groupMember { return d.members[one(d.dice, "m1", "m2", "m3")] }

func (d *consumerGroups) heartbeat() []Step {
	m := d.member()
	epoch := m.sentEpoch(d.dice)
	f := fields{
		"Group": "g~", "MemberID": m.id, "MemberEpoch": epoch, "RebalanceTimeoutMillis": -1,
		"InstanceID": sometimes[any](d.dice, 98, m.instance, nil),
	}
	if epoch == 0 {
		f["RebalanceTimeoutMillis"], f["Topics"] = sometimes(d.dice, 97, 60_000, -1), []any{}
	}
	if epoch == 0 || epoch > 0 && chance(d.dice, 15) {
		f["SubscribedTopicNames"] = sometimes(d.dice, 80, []any{"x~"}, []any{}, []any{"nosuch~"}, []any{"x~", "nosuch~"})
	}
	if epoch > 0 {
		f["Topics"] = one[any](d.dice, nil, []any{}, []any{}, []any{atID("x", 0, 1, 2, 3, 4, 5)})
	}
	if chance(d.dice, 5) {
		f["ServerAssignor"] = sometimes(d.dice, 80, "range", "nosuch")
	}
	step := ask(kmsg.ConsumerGroupHeartbeat, int16(d.dice.IntN(2)), f)
	step.Sizes = true
	return []Step{step}
}

func (d *consumerGroups) describe() []Step {
	step := ask(kmsg.ConsumerGroupDescribe, int16(d.dice.IntN(2)), fields{"Groups": []any{"g~"}})
	step.Sizes = true
	return []Step{step}
}

func (d *consumerGroups) commit() []Step {
	m := d.member()
	return []Step{commitOf(d.dice, "g~", sometimes(d.dice, 95, m.id, ""), m.usedEpoch(d.dice), m.instance)}
}

func (d *consumerGroups) fetch() []Step {
	m := d.member()
	if chance(d.dice, 20) {
		return []Step{offsetsOf(d.dice, "g~", nil, -1)}
	}
	return []Step{offsetsOf(d.dice, "g~", m.id, m.usedEpoch(d.dice))}
}

func (d *consumerGroups) deleteOffsets() []Step { return []Step{deletionOf(d.dice, "g~")} }

func (d *consumerGroups) list() []Step { return []Step{listOf(d.dice, "g~")} }

func (d *consumerGroups) delete() []Step {
	return []Step{ask(kmsg.DeleteGroups, int16(d.dice.IntN(4)), fields{"Groups": []any{"g~"}})}
}
