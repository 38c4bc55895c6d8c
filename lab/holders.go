package lab

import (
	"slices"
	"time"

	"once/cluster"
	"once/faults"
	"once/partition"
	"once/txncoordinator"
)

// Holder is a transaction that is open in a partition, and holds back its last stable offset if it is the first one.
type Holder struct {
	TransactionalID string           `json:"transactionalId,omitempty"`
	ProducerID      int64            `json:"producerId"`
	ProducerEpoch   int16            `json:"producerEpoch"`
	FirstOffset     int64            `json:"firstOffset"`
	State           string           `json:"state,omitempty"`
	Age             *faults.Duration `json:"age,omitempty"`
	TimeLeft        *faults.Duration `json:"timeLeft,omitempty"`
	// Hanging: no coordinator knows the transaction, so that nothing ends it.
	Hanging   bool       `json:"hanging,omitempty"`
	LastWrite *time.Time `json:"lastWrite,omitempty"` // of a hanging one: the time of its last batch
}

// openPartition is a partition with transactions that are open in it.
type openPartition struct {
	TopicPartition
	partition *partition.Partition
	open      []partition.OpenTransaction
}

// holdersOf says of each transaction of each place who has it open. A transaction that has ended meanwhile is left out.
//
// A partition is told of a transaction after its coordinator, and of its end before. So a transaction that was open
// before and after its coordinator did not know it hangs. The order of the three looks matters.
func holdersOf(c *cluster.Cluster, v cluster.View, places []openPartition, found func(at openPartition, h Holder)) {
	if len(places) == 0 {
		return
	}
	names := producersOf(v)
	now := c.Clock().Now()
	for _, at := range places {
		var still map[int64]int64 // first offsets by producer ID, as they are now
		for _, o := range at.open {
			h := Holder{ProducerID: o.ProducerID, ProducerEpoch: o.ProducerEpoch, FirstOffset: o.FirstOffset}
			if !h.describe(v, names[o.ProducerID], at.TopicPartition, now) {
				if still == nil {
					still = firstOffsets(at.partition)
				}
				if first, ok := still[o.ProducerID]; !ok || first != o.FirstOffset {
					continue
				}
				last := time.UnixMilli(o.LastTimestampMs).UTC()
				h.Hanging, h.LastWrite = true, &last
			}
			found(at, h)
		}
	}
}

func firstOffsets(p *partition.Partition) map[int64]int64 {
	first := map[int64]int64{}
	for _, o := range p.OldestTransactions(p.OpenTransactions()) {
		first[o.ProducerID] = o.FirstOffset
	}
	return first
}

// describe adds what the coordinator knows of the transaction; false if it does not know it.
func (h *Holder) describe(v cluster.View, transactionalID string, at TopicPartition, now time.Time) bool {
	if transactionalID == "" {
		return false
	}
	d, err := v.Txns.Describe(transactionalID)
	if err != nil || d.State.Idle() || d.ProducerID != h.ProducerID ||
		!slices.Contains(d.Partitions, txncoordinator.TopicPartition{Topic: at.Topic, Partition: at.Partition}) {
		return false
	}
	h.TransactionalID, h.State = transactionalID, d.State.String()
	if d.StartTimestampMs >= 0 {
		age := faults.Duration(now.Sub(time.UnixMilli(d.StartTimestampMs)).Round(time.Millisecond))
		left := faults.Duration(d.TimeoutMs)*faults.Duration(time.Millisecond) - age
		h.Age, h.TimeLeft = &age, &left
	}
	return true
}

// addHolders says of partitions of a topic which transaction holds back their last stable offset.
func addHolders(x *exchange, v cluster.View, topic string, partitions []Partition) {
	var places []openPartition
	byIndex := map[int32]*Partition{}
	for i := range partitions {
		p := &partitions[i]
		if at, ok := heldBack(v, TopicPartition{topic, p.Partition}); ok {
			places = append(places, at)
			byIndex[p.Partition] = p
		}
	}
	holdersOf(x.cluster, v, places, func(at openPartition, h Holder) { byIndex[at.Partition].HeldBy = &h })
}

// addOffsetHolders says the same of the partitions of a group.
func addOffsetHolders(x *exchange, v cluster.View, offsets []Offset) {
	var places []openPartition
	byPartition := map[TopicPartition]*Offset{}
	for i := range offsets {
		o := &offsets[i]
		if at, ok := heldBack(v, o.TopicPartition); ok {
			places = append(places, at)
			byPartition[o.TopicPartition] = o
		}
	}
	holdersOf(x.cluster, v, places, func(at openPartition, h Holder) { byPartition[at.TopicPartition].HeldBy = &h })
}

// heldBack returns a partition with its first open transaction; false when it has none.
func heldBack(v cluster.View, at TopicPartition) (openPartition, bool) {
	p, ok := v.Topics.Partition(at.Topic, at.Partition)
	if !ok {
		return openPartition{}, false
	}
	open := p.OldestTransactions(1)
	return openPartition{at, p, open}, len(open) > 0
}
