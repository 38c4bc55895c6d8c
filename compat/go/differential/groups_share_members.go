package main

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// shareMembers is the domain of what members of a share group do: heartbeats, share sessions, fetches and
// acknowledgements, of two members and three partitions. Answers to heartbeats are compared without epochs and
// assignments, which Kafka changes a moment later. Other rows of docs/gaps.md are left out, too: records are not
// deleted, no ShareFetch releases records, sessions forget no partition that they fetch from, and limits reach for all
// partitions where there are several.
type shareMembers struct {
	dice    *rand.Rand
	members map[string]*shareMember
	ends    map[place]int64 // log end offsets
	places  []place
}

// shareMember is a member as its client sees it.
type shareMember struct {
	id    string
	epoch int32 // of the next request of the share session; 0 without one
	owned map[place][][2]int64
}

// unlock is longer than Kafka keeps a share partition from other fetches once a fetch is answered.
const unlock = 30 * time.Millisecond

func newShareMembers(dice *rand.Rand) Domain {
	d := &shareMembers{dice: dice, members: map[string]*shareMember{}, ends: map[place]int64{}}
	for _, id := range []string{"m1", "m2"} {
		d.members[id] = &shareMember{id: id, owned: map[place][][2]int64{}}
	}
	d.places = []place{{"x", 0}, {"y", 0}, {"y", 1}}
	if chance(dice, 40) { // the window of one partition is seen more often then
		d.places = d.places[:1]
	}
	return d
}

// Setup implements Domain. The fetches of another member have the share partitions loaded.
func (d *shareMembers) Setup() []Step {
	join := ask(kmsg.ShareGroupHeartbeat, 1, fields{
		"GroupID": "g~", "MemberID": "m1", "MemberEpoch": 0, "SubscribedTopicNames": []any{"x~", "y~"},
	})
	join.Until, join.Hide, join.Keep = "Partitions=[0 1]", []string{"MemberEpoch"}, true
	steps := []Step{
		groupSetting("share.auto.offset.reset", "earliest"), groupSetting("share.assignment.interval.ms", "0"),
		{Topic: "x", Partitions: 1, Keep: true}, {Topic: "y", Partitions: 2, Keep: true}, join,
	}
	for _, p := range d.places {
		load := ask(kmsg.ShareFetch, 2, fields{
			"GroupID": "g~", "MemberID": "w", "ShareSessionEpoch": 0, "MaxWaitMillis": 50, "MinBytes": 1,
			"MaxBytes": 1 << 20, "MaxRecords": 500, "BatchSize": 500,
			"Topics": []any{atID(p.topic, fields{"Partition": p.partition})},
		})
		load.Until, load.Keep, load.Rest = "Records=[]", true, unlock
		steps = append(steps, load)
	}
	end := fields{"GroupID": "g~", "MemberID": "w", "ShareSessionEpoch": -1}
	steps = append(steps, ask(kmsg.ShareAcknowledge, 2, end))
	for range 3 {
		steps = append(steps, d.produceTo(d.places[0], 1+d.dice.IntN(5)))
	}
	for _, p := range d.places[1:] {
		steps = append(steps, d.produceTo(p, 1+d.dice.IntN(5)))
	}
	return steps
}

// Next implements Domain.
func (d *shareMembers) Next(*rand.Rand) []Step {
	return oneOf(d.dice, []weighted{
		{45, d.fetch}, {30, d.acknowledge}, {12, d.produce}, {4, d.heartbeat}, {4, d.describe}, {3, d.describeOffsets},
	})
}

// Answered implements Domain.
func (d *shareMembers) Answered(step Step, answer kmsg.Response, called *names) {
	switch answer := answer.(type) {
	case *kmsg.ProduceResponse:
		t := answer.Topics[0]
		p := t.Partitions[0]
		_, to, records := recordsIn(step)
		if p.ErrorCode == 0 {
			d.ends[to] = p.BaseOffset + records
		}
	case *kmsg.ShareAcknowledgeResponse:
		d.answered(step, answer.ErrorCode)
	case *kmsg.ShareFetchResponse:
		m := d.answered(step, answer.ErrorCode)
		for _, t := range answer.Topics {
			for _, p := range t.Partitions {
				at := place{called.topicName(t.TopicID), p.Partition}
				for _, r := range p.AcquiredRecords {
					m.owned[at] = append(m.owned[at], [2]int64{r.FirstOffset, r.LastOffset})
				}
				m.owned[at] = m.owned[at][max(0, len(m.owned[at])-6):]
			}
		}
	}
}

// answered moves the session of the member of a request.
func (d *shareMembers) answered(step Step, code int16) *shareMember {
	const noSession = 122
	m, ok := d.members[step.Fields["MemberID"].(string)]
	if !ok {
		return &shareMember{owned: map[place][][2]int64{}}
	}
	sent, _ := step.Fields["ShareSessionEpoch"].(int32)
	switch {
	case code == 0 && sent >= 0:
		m.epoch = sent + 1
	case code == 0:
		m.epoch, m.owned = 0, map[place][][2]int64{}
	case code == noSession:
		m.epoch = 0
	}
	return m
}

func (d *shareMembers) member() *shareMember { return d.members[one(d.dice, "m1", "m1", "m2")] }

func (d *shareMembers) place() place { return one(d.dice, d.places...) }

// sent is the epoch of the next request of a session, most often the right one.
func (d *shareMembers) sent(m *shareMember) int32 {
	return sometimes(d.dice, 88, m.epoch, 0, -1, -1, m.epoch+1, m.epoch-1)
}

func (d *shareMembers) produce() []Step { return []Step{d.produceTo(d.place(), 1+d.dice.IntN(6))} }

func (d *shareMembers) produceTo(p place, records int) Step {
	text := fmt.Sprintf("plain sequence=-1 records=%d", records)
	return ask(kmsg.Produce, 9, fields{"Acks": -1, "TimeoutMillis": 10_000, "Topics": []any{
		at(p.topic, fields{"Partition": p.partition, "Records": text}),
	}})
}

// types are of acknowledgements: gap, accept, release, reject, renew.
func (d *shareMembers) types(offsets int64, renew, release bool) []any {
	kinds := []int{1, 1, 1, 3, 0}
	if renew {
		kinds = []int{4, 4, 4, 1, 3}
	}
	if release {
		kinds = append(kinds, 2, 2, 2, 2)
	}
	if chance(d.dice, 3) {
		kinds = []int{4, 5, -1}
	}
	types := []any{one(d.dice, kinds...)}
	if chance(d.dice, 35) {
		for int64(len(types)) < offsets+int64(sometimes(d.dice, 95, 0, 1)) {
			types = append(types, one(d.dice, kinds...))
		}
	}
	return sometimes(d.dice, 98, types, []any{})
}

// acknowledged is one range of a partition, most often one that the member owns.
func (d *shareMembers) acknowledged(m *shareMember, p place, renew, release bool) fields {
	first := d.dice.Int64N(d.ends[p] + 1)
	last := first + d.dice.Int64N(5)
	if owned := m.owned[p]; len(owned) > 0 && chance(d.dice, 85) {
		r := one(d.dice, owned...)
		first, last = r[0], r[1]
		switch d.dice.IntN(5) {
		case 0:
			first += d.dice.Int64N(r[1] - r[0] + 1)
			last = first
		case 1:
			first += d.dice.Int64N(r[1] - r[0] + 1)
			last = first + d.dice.Int64N(r[1]-first+1)
		case 2:
			last += d.dice.Int64N(3)
		}
	}
	if chance(d.dice, 2) {
		first, last = last, first
	}
	return fields{"FirstOffset": first, "LastOffset": last, "AcknowledgeTypes": d.types(last-first+1, renew, release)}
}

// topics are the partitions of a request: some with acknowledgements, some to be fetched.
func (d *shareMembers) topics(m *shareMember, acknowledgements int, renew, release bool, fetched ...place) []any {
	batches := map[place][]any{}
	for range acknowledgements {
		p := d.place()
		batches[p] = append(batches[p], d.acknowledged(m, p, renew, release))
	}
	all := []any{}
	for _, p := range append([]place{{"x", 0}, {"y", 0}, {"y", 1}}, place{"x", 7}, place{"nosuch", 0}) {
		of := fields{"Partition": p.partition}
		if len(batches[p]) > 0 {
			of["AcknowledgementBatches"] = batches[p]
		} else if !slices.Contains(fetched, p) {
			continue
		}
		all = append(all, atID(p.topic, of))
	}
	return all
}

// alsoListed is a partition that a request may have without acknowledgements.
func (d *shareMembers) alsoListed() []place {
	if chance(d.dice, 6) {
		return []place{one(d.dice, append([]place{{"x", 7}, {"nosuch", 0}}, d.places...)...)}
	}
	return nil
}

func (d *shareMembers) fetch() []Step {
	m := d.member()
	epoch, version := d.sent(m), int16(sometimes(d.dice, 75, 2, 1))
	f := fields{
		"GroupID": "g~", "MemberID": sometimes(d.dice, 99, m.id, ""), "ShareSessionEpoch": epoch, "MaxWaitMillis": 60,
		"MinBytes": sometimes(d.dice, 95, 1, 0), "MaxBytes": 1 << 20,
		"MaxRecords": sometimes(d.dice, 97, 500, 0), "BatchSize": one(d.dice, 500, 500, 7, 3, 1),
	}
	if len(d.places) == 1 { // of several partitions Kafka serves first whose next offset it has looked up before
		f["MaxBytes"], f["MaxRecords"] = sometimes(d.dice, 85, 1<<20, 1, 0), one(d.dice, 500, 7, 3, 2, 1, 1)
	}
	acknowledgements, renew := 0, false
	var fetched []place
	switch {
	case epoch == 0:
		fetched = d.places
		if chance(d.dice, 5) {
			acknowledgements = 1
		}
	default:
		acknowledgements = one(d.dice, 0, 0, 0, 1, 2)
		renew = version == 2 && chance(d.dice, 8)
		fetched = d.alsoListed()
		if chance(d.dice, 6) {
			p := one(d.dice, place{"x", 7}, place{"nosuch", 0})
			f["ForgottenTopicsData"] = []any{fields{"TopicID": p.topic + "~", "Partitions": []any{p.partition}}}
		}
	}
	if renew && chance(d.dice, 85) {
		f["MaxWaitMillis"], f["MinBytes"], f["MaxBytes"], f["MaxRecords"] = 0, 0, 0, 0
	}
	if version == 2 {
		f["ShareAcquireMode"], f["IsRenewAck"] = sometimes(d.dice, 60, 0, 1), renew
	}
	f["Topics"] = d.topics(m, acknowledgements, renew, false, fetched...)
	return []Step{d.share(kmsg.ShareFetch, version, f)}
}

// share is a request of a share session. Kafka gets it when it holds no share partition any more.
func (d *shareMembers) share(api kmsg.Key, version int16, f fields) Step {
	step := ask(api, version, f)
	step.Hide, step.Rest = []string{"ErrorMessage", "AcknowledgeErrorMessage", "NodeEndpoints"}, unlock
	return step
}

func (d *shareMembers) acknowledge() []Step {
	m := d.member()
	version := int16(sometimes(d.dice, 75, 2, 1))
	renew := version == 2 && chance(d.dice, 15)
	f := fields{
		"GroupID": "g~", "MemberID": m.id, "ShareSessionEpoch": d.sent(m),
		"Topics": d.topics(m, one(d.dice, 1, 1, 1, 2, 3, 0), renew, true, d.alsoListed()...),
	}
	if version == 2 {
		f["IsRenewAck"] = renew
	}
	return []Step{d.share(kmsg.ShareAcknowledge, version, f)}
}

func (d *shareMembers) heartbeat() []Step {
	const farAhead = 1000
	f := fields{
		"GroupID": sometimes(d.dice, 95, "g~", "nosuch~", ""), "MemberID": sometimes(d.dice, 97, "m2", "m3", ""),
		"MemberEpoch": sometimes(d.dice, 70, 0, -1, -2, farAhead),
	}
	if f["MemberEpoch"] == 0 {
		f["SubscribedTopicNames"] = sometimes[any](d.dice, 90, []any{"x~", "y~"}, []any{"x~"}, []any{}, nil)
	}
	if f["GroupID"] == "nosuch~" {
		f["MemberEpoch"] = farAhead
	}
	step := ask(kmsg.ShareGroupHeartbeat, 1, f)
	step.Hide = []string{"MemberEpoch", "Assignment"}
	return []Step{step}
}

func (d *shareMembers) describe() []Step {
	step := ask(kmsg.ShareGroupDescribe, 1, fields{"GroupIDs": []any{sometimes(d.dice, 95, "g~", "nosuch~")}})
	step.Hide = []string{"Assignment", "GroupEpoch", "AssignmentEpoch", "MemberEpoch", "ClientHost", "ClientID"}
	return []Step{step}
}

// describeOffsets asks for the lag. Kafka's start offset is that before the last write (docs/gaps.md).
func (d *shareMembers) describeOffsets() []Step {
	step := ask(kmsg.DescribeShareGroupOffsets, 1, fields{"Groups": []any{fields{
		"GroupID": "g~", "Topics": one[any](d.dice, nil, []any{at("x", 0)}),
	}}})
	step.Hide, step.Rest = []string{"StartOffset"}, unlock
	return []Step{step}
}
