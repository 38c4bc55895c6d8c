package main

import (
	"math/rand/v2"

	"github.com/twmb/franz-go/pkg/kmsg"
)

// transactions is the domain of idempotence and transactions. All names are few, so that requests meet: two
// transactional IDs, two topics of two partitions, two groups, of which one has a member.
type transactions struct {
	dice      *rand.Rand
	producers map[string]producer // the newest one of each transactional ID; "" is one without an ID
	older     []producer          // what was answered before
	next      map[string]int32    // the next sequence, by producer, epoch and partition
	ends      map[place]int64     // the end of each log, as far as answers tell
	member    int32               // the generation of the member of h
	level     int                 // of transaction.version
}

// producer is a producer ID, by its letter, with an epoch.
type producer struct {
	letter string
	epoch  int16
}

// place is a partition.
type place struct {
	topic     string
	partition int32
}

func newTransactions(dice *rand.Rand) Domain {
	return &transactions{
		dice: dice, producers: map[string]producer{}, next: map[string]int32{}, ends: map[place]int64{},
	}
}

// Setup implements Domain.
func (d *transactions) Setup() []Step {
	d.level = one(d.dice, 2, 2, 2, 1, 0)
	join := ask(kmsg.JoinGroup, 3, fields{
		"Group": "h~", "SessionTimeoutMillis": 300_000, "RebalanceTimeoutMillis": 300_000, "ProtocolType": "consumer",
		"Protocols": []any{fields{"Name": "range", "Metadata": ""}},
	})
	join.Member = "m"
	sync := ask(kmsg.SyncGroup, 3, fields{
		"Group": "h~", "Generation": 1, "MemberID": "member m",
		"GroupAssignment": []any{fields{"MemberID": "member m", "MemberAssignment": ""}},
	})
	return append(setFeature("transaction.version", d.level),
		Step{Topic: "x", Partitions: 2}, Step{Topic: "y", Partitions: 2}, join, sync)
}

// setFeature returns the steps that finalize a level of a feature, be it a higher or a lower one than the present.
func setFeature(name string, level int) []Step {
	set := func(kind int) Step {
		step := ask(kmsg.UpdateFeatures, 2, fields{"TimeoutMillis": 10_000, "FeatureUpdates": []any{
			fields{"Feature": name, "MaxVersionLevel": level, "UpgradeType": kind},
		}})
		step.Metadata, step.Keep = true, true
		step.Hide = []string{"ErrorCode"} // one of them is refused
		return step
	}
	const upgrade, downgrade = 1, 2
	show := ask(kmsg.ApiVersions, 4, fields{"ClientSoftwareName": "differential", "ClientSoftwareVersion": "1"})
	show.Hide, show.Having, show.Keep = []string{"ApiKeys", "FinalizedFeaturesEpoch"}, name, true
	return []Step{set(upgrade), set(downgrade), show}
}

// Next implements Domain.
func (d *transactions) Next(*rand.Rand) []Step {
	return oneOf(d.dice, []weighted{
		{10, d.initProducerID}, {9, d.addPartitions}, {3, d.addPartitionsOfMany}, {6, d.addOffsets}, {9, d.txnOffsetCommit},
		{24, d.produce}, {14, d.endTxn}, {3, d.writeMarkers}, {2, d.deleteRecords}, {3, d.offsetCommit}, {2, d.offsetDelete},
		{1, d.deleteGroups}, {4, d.describe}, {4, d.list}, {7, d.describeProducers}, {12, d.fetch}, {6, d.listOffsets},
		{8, d.offsetFetch}, {1, d.findCoordinator}, {1, d.makeAgain}, {1, d.leave},
	})
}

// Answered implements Domain.
func (d *transactions) Answered(step Step, answer kmsg.Response, called *names) {
	switch answer := answer.(type) {
	case *kmsg.InitProducerIDResponse:
		if answer.ErrorCode == 0 {
			id, _ := step.Fields["TransactionalID"].(string)
			d.learn(id, producer{called.letter(answer.ProducerID), answer.ProducerEpoch})
		}
	case *kmsg.EndTxnResponse:
		if answer.ErrorCode == 0 && step.Version >= 5 {
			id := step.Fields["TransactionalID"].(string)
			d.learn(id, producer{called.letter(answer.ProducerID), answer.ProducerEpoch})
		}
	case *kmsg.DescribeTransactionsResponse:
		for _, s := range answer.TransactionStates {
			if s.ErrorCode == 0 && s.ProducerID >= 0 {
				d.learn(s.TransactionalID[:1]+"~", producer{called.letter(s.ProducerID), s.ProducerEpoch})
			}
		}
	case *kmsg.ProduceResponse:
		d.produced(step, answer)
	case *kmsg.JoinGroupResponse:
		d.member = answer.Generation
	case *kmsg.CreateTopicsResponse:
		for i := range int32(2) {
			delete(d.ends, place{step.Topic, i})
		}
	}
}

// learn remembers the producer of a transactional ID.
func (d *transactions) learn(id string, now producer) {
	if before, ok := d.producers[id]; ok && before != now {
		d.older = append(d.older, before)
	}
	d.producers[id] = now
}

// transactionalID is one of two.
func (d *transactions) transactionalID() string { return one(d.dice, "a~", "b~") }

// place is one of the partitions, seldom one that does not exist.
func (d *transactions) place() place {
	return place{sometimes(d.dice, 97, one(d.dice, "x", "y"), "nosuch"), sometimes(d.dice, 97, int32(d.dice.IntN(2)), 7)}
}

// group is one of two.
func (d *transactions) group() string { return one(d.dice, "g~", "h~") }

// producerOf is the producer of a transactional ID, most often the one that it has.
func (d *transactions) producerOf(id string) producer {
	p, ok := d.producers[id]
	if !ok {
		p = producer{"none", -1}
	}
	switch {
	case chance(d.dice, 82):
	case chance(d.dice, 30) && len(d.older) > 0:
		return one(d.dice, d.older...)
	case chance(d.dice, 20):
		return d.producers[one(d.dice, "a~", "b~", "")].orNone()
	case chance(d.dice, 10):
		p.letter = "123456"
	default:
		p.epoch += one(d.dice, int16(-1), -1, 1, 1, 2)
		p.epoch = max(p.epoch, -1)
		if chance(d.dice, 15) {
			p.epoch = -1
		}
	}
	return p
}

func (p producer) orNone() producer {
	if p.letter == "" {
		return producer{"none", -1}
	}
	return p
}

// of adds a transactional ID and its producer to a request.
func (d *transactions) of(id string, f fields) fields {
	p := d.producerOf(id)
	f["TransactionalID"], f["ProducerID"], f["ProducerEpoch"] = id, p.letter, p.epoch
	return f
}
