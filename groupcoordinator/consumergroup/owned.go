package consumergroup

import (
	"maps"

	"once/groupcoordinator/assignment"
)

// Owned is a set of partitions that a member has, each with the epoch at which it was assigned (KIP-1251). It is not
// changed once it has been made.
type Owned struct {
	assignment.Set
	epochs map[partition]int32
}

type partition struct {
	topic assignment.TopicID
	index int32
}

// Epoch returns the epoch at which the partition was assigned, 0 for one that is not in the set.
func (o Owned) Epoch(topic assignment.TopicID, index int32) int32 {
	return o.epochs[partition{topic, index}]
}

// add is for sets that are being made; sorted ends it.
func (o *Owned) add(topic assignment.TopicID, index, epoch int32) {
	if o.Set == nil {
		o.Set, o.epochs = assignment.Set{}, map[partition]int32{}
	}
	at := partition{topic, index}
	if _, again := o.epochs[at]; !again {
		o.Set[topic] = append(o.Set[topic], index)
	}
	o.epochs[at] = epoch
}

func (o Owned) sorted() Owned {
	for topic := range o.Set {
		o.Set.Add(topic)
	}
	return o
}

// equal compares partitions and epochs.
func (o Owned) equal(other Owned) bool {
	return o.Set.Equal(other.Set) && maps.Equal(o.epochs, other.epochs)
}

// union returns the partitions of both.
func (o Owned) union(other Owned) Owned {
	var all Owned
	for _, from := range []Owned{o, other} {
		for at, epoch := range from.epochs {
			all.add(at.topic, at.index, epoch)
		}
	}
	return all.sorted()
}

// split returns the partitions for which in is true, and the others.
func (o Owned) split(in func(topic assignment.TopicID, index int32) bool) (those, others Owned) {
	for at, epoch := range o.epochs {
		if in(at.topic, at.index) {
			those.add(at.topic, at.index, epoch)
		} else {
			others.add(at.topic, at.index, epoch)
		}
	}
	return those.sorted(), others.sorted()
}

// withEpoch returns the set with one epoch for all partitions.
func withEpoch(s assignment.Set, epoch int32) Owned {
	var o Owned
	for topic, partitions := range s {
		for _, p := range partitions {
			o.add(topic, p, epoch)
		}
	}
	return o.sorted()
}
