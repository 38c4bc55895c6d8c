// Package assignment has sets of partitions and the assignors of consumer groups. It is pure.
package assignment

import (
	"bytes"
	"maps"
	"slices"
)

// TopicID identifies a topic.
type TopicID = [16]byte

// Set is a set of partitions: by topic the partition indexes, sorted, never an empty list. A set is not changed once it
// has been made.
type Set map[TopicID][]int32

// Of returns a set of partitions of one topic, in any order.
func Of(topic TopicID, partitions ...int32) Set {
	s := Set{}
	s.add(topic, partitions)
	return s
}

// add is for sets that are being made. It keeps the slice.
func (s Set) add(topic TopicID, partitions []int32) {
	all := append(s[topic], partitions...)
	slices.Sort(all)
	if all = slices.Compact(all); len(all) > 0 {
		s[topic] = all
	}
}

// Add adds partitions, in any order and perhaps more than once, to a set that is being made.
func (s Set) Add(topic TopicID, partitions ...int32) { s.add(topic, partitions) }

// Has says whether the set has a partition.
func (s Set) Has(topic TopicID, partition int32) bool {
	_, found := slices.BinarySearch(s[topic], partition)
	return found
}

// Count returns the number of partitions.
func (s Set) Count() int {
	n := 0
	for _, partitions := range s {
		n += len(partitions)
	}
	return n
}

// Equal says whether two sets have the same partitions.
func (s Set) Equal(other Set) bool {
	return maps.EqualFunc(s, other, slices.Equal[[]int32])
}

// IsSubsetOf says whether other has all partitions of s.
func (s Set) IsSubsetOf(other Set) bool {
	for topic, partitions := range s {
		for _, p := range partitions {
			if !other.Has(topic, p) {
				return false
			}
		}
	}
	return true
}

// Intersects says whether the sets have a partition in common.
func (s Set) Intersects(other Set) bool {
	for topic, partitions := range s {
		if _, ok := other[topic]; !ok {
			continue
		}
		for _, p := range partitions {
			if other.Has(topic, p) {
				return true
			}
		}
	}
	return false
}

// Topics returns the IDs of the topics, sorted.
func (s Set) Topics() []TopicID { return sortedTopics(maps.Keys(s)) }

func sortedTopics(ids func(yield func(TopicID) bool)) []TopicID {
	return slices.SortedFunc(ids, func(a, b TopicID) int { return bytes.Compare(a[:], b[:]) })
}
