package main

import "github.com/twmb/franz-go/pkg/kmsg"

func (d *transactions) deleteRecords() []Step {
	p := d.place()
	offset := sometimes(d.dice, 85, d.dice.Int64N(d.ends[p]+2), -1, 1000)
	return []Step{ask(kmsg.DeleteRecords, d.version(0, 2), fields{"TimeoutMillis": 10_000, "Topics": []any{
		at(p.topic, fields{"Partition": p.partition, "Offset": offset}),
	}})}
}

func (d *transactions) offsetDelete() []Step {
	p := d.place()
	return []Step{ask(kmsg.OffsetDelete, 0, fields{"Group": d.group(), "Topics": []any{
		at(p.topic, fields{"Partition": p.partition}),
	}})}
}

func (d *transactions) deleteGroups() []Step {
	return []Step{ask(kmsg.DeleteGroups, d.version(0, 2), fields{"Groups": []any{d.group()}})}
}

func (d *transactions) describe() []Step {
	ids := one(d.dice, []any{"a~"}, []any{"b~"}, []any{"a~", "b~"}, []any{"a~", "nosuch~"}, []any{""})
	return []Step{ask(kmsg.DescribeTransactions, 0, fields{"TransactionalIDs": ids})}
}

func (d *transactions) list() []Step {
	states := one(d.dice, []any{}, []any{"Ongoing"}, []any{"CompleteCommit", "CompleteAbort"}, []any{"Odd"})
	f := fields{"StateFilters": states}
	version := d.version(0, 2)
	p, known := d.producers[one(d.dice, "a~", "b~")]
	switch {
	case version >= 2:
		f["TransactionalIDPattern"] = ".*~" // those of this sequence
	case known:
		f["ProducerIDFilters"] = []any{p.letter}
	default:
		return nil
	}
	if version >= 1 {
		f["DurationFilterMillis"] = sometimes(d.dice, 80, -1, 3_600_000)
	}
	return []Step{ask(kmsg.ListTransactions, version, f)}
}

func (d *transactions) describeProducers() []Step {
	p := d.place()
	return []Step{ask(kmsg.DescribeProducers, 0, fields{"Topics": []any{at(p.topic, p.partition)}})}
}

func (d *transactions) fetch() []Step {
	p := d.place()
	version := one[int16](d.dice, 4, 5, 7, 10, 11, 12, 13, 15, 16, 17, 18)
	topic := at
	if version >= 13 {
		topic = atID
	}
	from := sometimes(d.dice, 60, int64(0), d.dice.Int64N(d.ends[p]+2), -1, 1000)
	return []Step{ask(kmsg.Fetch, version, fields{
		"MaxWaitMillis": 0, "MinBytes": 0, "MaxBytes": 1 << 20, "IsolationLevel": d.dice.IntN(2), "SessionEpoch": -1,
		"Topics": []any{topic(p.topic, fields{"Partition": p.partition, "FetchOffset": from, "PartitionMaxBytes": 1 << 20})},
	})}
}

func (d *transactions) listOffsets() []Step {
	p := d.place()
	version := d.version(1, 11)
	f := fields{"Partition": p.partition, "Timestamp": one(d.dice, -1, -1, -1, -2, -3, 0)}
	all := fields{"Topics": []any{at(p.topic, f)}}
	if version >= 2 {
		all["IsolationLevel"] = d.dice.IntN(2)
	}
	return []Step{ask(kmsg.ListOffsets, version, all)}
}

func (d *transactions) offsetFetch() []Step {
	p := d.place()
	version := d.version(1, 10)
	if version < 8 {
		f := fields{"Group": d.group(), "Topics": []any{at(p.topic, 0, 1)}}
		if version >= 2 && chance(d.dice, 30) {
			f["Topics"] = nil
		}
		if version >= 7 {
			f["RequireStable"] = chance(d.dice, 50)
		}
		return []Step{ask(kmsg.OffsetFetch, version, f)}
	}
	topics := any([]any{at(p.topic, 0, 1)})
	if version >= 10 {
		topics = []any{atID(p.topic, 0, 1)}
	}
	if chance(d.dice, 30) {
		topics = nil
	}
	group := fields{"Group": d.group(), "Topics": topics}
	if version >= 9 && group["Group"] == "h~" && chance(d.dice, 40) {
		group["MemberID"], group["MemberEpoch"] = "member m", d.member
	}
	return []Step{ask(kmsg.OffsetFetch, version, fields{"Groups": []any{group}, "RequireStable": chance(d.dice, 50)})}
}

func (d *transactions) findCoordinator() []Step {
	key, version := one(d.dice, "a~", "g~", ""), d.version(0, 6)
	f := fields{"CoordinatorKeys": []any{key}}
	if version < 4 {
		f = fields{"CoordinatorKey": key}
	}
	if version >= 1 {
		f["CoordinatorType"] = one(d.dice, 0, 1, 2)
	}
	step := ask(kmsg.FindCoordinator, version, f)
	step.Hide = []string{"Host", "Port"}
	return []Step{step}
}
