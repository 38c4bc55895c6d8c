package main

import (
	"math/rand/v2"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// streamsGroups is the domain of streams groups (KIP-1071): one group of up to three members in two processes. Its
// topologies have no internal topics, which Kafka creates in the background, and its members no endpoints.
type streamsGroups struct {
	dice      *rand.Rand
	members   map[string]*groupMember
	owned     map[string][]any // the active tasks of each member
	processes map[string]string
	topology  []any // the subtopologies of a joining member, most often
}

func newStreamsGroups(dice *rand.Rand) Domain {
	d := &streamsGroups{
		dice: dice, members: newMembers(dice), owned: map[string][]any{}, processes: map[string]string{},
	}
	for id := range 3 {
		d.processes["m"+string(rune('1'+id))] = one(dice, "p1", "p2")
	}
	d.topology = d.anyTopology()
	return d
}

// Setup implements Domain.
func (d *streamsGroups) Setup() []Step {
	return []Step{
		groupSetting("streams.assignment.interval.ms", "0"), groupSetting("streams.initial.rebalance.delay.ms", "0"),
		{Topic: "x", Partitions: 2}, {Topic: "y", Partitions: 4}, awaitTopic("y", "[0 1 2 3]"),
	}
}

// Next implements Domain.
func (d *streamsGroups) Next(*rand.Rand) []Step {
	return oneOf(d.dice, []weighted{
		{60, d.heartbeat}, {12, d.describe}, {8, d.commit}, {6, d.fetch}, {2, d.deleteOffsets}, {4, d.list}, {2, d.delete},
	})
}

// Answered implements Domain.
func (d *streamsGroups) Answered(step Step, answer kmsg.Response, _ *names) {
	r, ok := answer.(*kmsg.StreamsGroupHeartbeatResponse)
	if !ok {
		return
	}
	id := step.Fields["MemberID"].(string)
	d.members[id].answered(r.ErrorCode, r.MemberEpoch)
	if r.ErrorCode != 0 || r.ActiveTasks == nil {
		return
	}
	d.owned[id] = []any{}
	for _, t := range r.ActiveTasks {
		d.owned[id] = append(d.owned[id], fields{"SubtopologyID": t.SubtopologyID, "Partitions": t.Partitions})
	}
}

// anyTopology returns subtopologies: most of them right, one of a topic that does not exist, one of topics that cannot
// be read together, one of an internal topic.
func (d *streamsGroups) anyTopology() []any {
	of := func(id string, topics ...any) fields { return fields{"SubtopologyID": id, "SourceTopics": topics} }
	together := of("0", "x~", "y~")
	together["CopartitionGroups"] = []any{fields{"SourceTopics": []any{0, 1}}}
	return one(d.dice, []any{of("0", "x~")}, []any{of("0", "y~")}, []any{of("0", "x~"), of("1", "y~")},
		[]any{of("0", "x~"), of("1", "y~")}, []any{of("0", "x~", "y~")}, []any{of("0", "nosuch~")}, []any{together},
		[]any{of("0", "__consumer_offsets")})
}

func (d *streamsGroups) member() *groupMember { return d.members[one(d.dice, "m1", "m2", "m3")] }

func (d *streamsGroups) heartbeat() []Step {
	m := d.member()
	epoch := m.sentEpoch(d.dice)
	f := fields{
		"Group": "g~", "MemberID": m.id, "MemberEpoch": epoch, "EndpointInformationEpoch": -1,
		"RebalanceTimeoutMillis": -1, "InstanceID": sometimes[any](d.dice, 98, m.instance, nil),
	}
	tasks := func(active []any) {
		f["ActiveTasks"], f["StandbyTasks"], f["WarmupTasks"] = active, []any{}, []any{}
	}
	switch {
	case epoch == 0:
		tasks([]any{})
		f["RebalanceTimeoutMillis"], f["ProcessID"] = sometimes(d.dice, 97, 60_000, -1), d.processes[m.id]
		topology := d.topology
		if chance(d.dice, 6) {
			topology = d.anyTopology()
		}
		f["Topology"] = fields{"Epoch": sometimes(d.dice, 96, 0, 1), "Subtopologies": topology}
	case epoch > 0 && chance(d.dice, 60):
		tasks(append([]any{}, d.owned[m.id]...))
	case epoch > 0 && chance(d.dice, 40):
		wrong := fields{"SubtopologyID": one(d.dice, "0", "7"), "Partitions": []any{0, 9}}
		tasks(sometimes(d.dice, 60, []any{}, []any{wrong}))
	}
	if epoch >= 0 && chance(d.dice, 3) {
		f["RackID"] = one(d.dice, "r1", "r2")
	}
	step := ask(kmsg.StreamsGroupHeartbeat, int16(d.dice.IntN(2)), f)
	step.Hide = []string{"StatusDetail"} // its words are free
	return []Step{step}
}

func (d *streamsGroups) describe() []Step {
	return []Step{ask(kmsg.StreamsGroupDescribe, int16(d.dice.IntN(2)), fields{"Groups": []any{"g~"}})}
}

func (d *streamsGroups) commit() []Step {
	m := d.member()
	return []Step{commitOf(d.dice, "g~", sometimes(d.dice, 95, m.id, ""), m.usedEpoch(d.dice), m.instance)}
}

func (d *streamsGroups) fetch() []Step {
	m := d.member()
	if chance(d.dice, 20) {
		return []Step{offsetsOf(d.dice, "g~", nil, -1)}
	}
	return []Step{offsetsOf(d.dice, "g~", m.id, m.usedEpoch(d.dice))}
}

func (d *streamsGroups) deleteOffsets() []Step { return []Step{deletionOf(d.dice, "g~")} }

func (d *streamsGroups) list() []Step { return []Step{listOf(d.dice, "g~")} }

func (d *streamsGroups) delete() []Step {
	return []Step{ask(kmsg.DeleteGroups, int16(d.dice.IntN(4)), fields{"Groups": []any{"g~"}})}
}
