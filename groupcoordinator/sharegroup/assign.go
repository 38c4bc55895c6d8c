package sharegroup

import (
	"bytes"
	"cmp"
	"maps"
	"slices"
)

// Assignment is the partitions of a member, by topic ID; the lists are sorted. It is not changed once it is in use.
type Assignment map[[16]byte][]int32

func compareIDs(a, b [16]byte) int { return bytes.Compare(a[:], b[:]) }

func (a Assignment) topics() [][16]byte { return slices.SortedFunc(maps.Keys(a), compareIDs) }

func (a Assignment) equal(b Assignment) bool { return maps.EqualFunc(a, b, slices.Equal[[]int32]) }

// only returns the assignment without the topics that keep does not want.
func (a Assignment) only(keep func(topicID [16]byte) bool) Assignment {
	kept := Assignment{}
	for id, partitions := range a {
		if keep(id) {
			kept[id] = partitions
		}
	}
	return kept
}

// slot is a partition that the assignor hands out.
type slot struct {
	topic     [16]byte
	partition int32
}

func compareSlots(a, b slot) int {
	return cmp.Or(compareIDs(a.topic, b.topic), cmp.Compare(a.partition, b.partition))
}

func (a Assignment) slots() (all []slot) {
	for id, partitions := range a {
		for _, p := range partitions {
			all = append(all, slot{id, p})
		}
	}
	return all
}

// assign is Kafka's assignor "simple" (spec: share-groups 4). members gives the topics of each member; partitions are
// those that may be assigned; previous is the last target, of which as much is kept as the sizes allow.
func assign(members map[string][][16]byte, partitions map[[16]byte][]int32,
	previous map[string]Assignment) map[string]Assignment {
	target := make(map[string]Assignment, len(members))
	groups := map[string][]string{} // members by topic, or by all topics if they have the same
	topics := map[string][]slot{}
	for id, subscribed := range members {
		target[id] = Assignment{}
		for _, key := range subscriptionKeys(members, subscribed) {
			groups[key.name] = append(groups[key.name], id)
			if topics[key.name] == nil {
				for _, t := range key.topics {
					for _, p := range partitions[t] {
						topics[key.name] = append(topics[key.name], slot{t, p})
					}
				}
			}
		}
	}
	for name, ids := range groups {
		slices.Sort(ids)
		slices.SortFunc(topics[name], compareSlots)
		for id, slots := range spread(ids, slices.Compact(topics[name]), previous) {
			for _, s := range slots {
				target[id][s.topic] = append(target[id][s.topic], s.partition)
			}
		}
	}
	for _, a := range target {
		for id := range a {
			slices.Sort(a[id])
		}
	}
	return target
}

// subscriptionKey is a set of topics whose partitions are spread together.
type subscriptionKey struct {
	name   string
	topics [][16]byte
}

// subscriptionKeys returns one key for all topics of a member when all members have the same, else one for each topic.
func subscriptionKeys(members map[string][][16]byte, subscribed [][16]byte) []subscriptionKey {
	for _, other := range members {
		if !slices.Equal(other, subscribed) {
			keys := make([]subscriptionKey, len(subscribed))
			for i, t := range subscribed {
				keys[i] = subscriptionKey{string(t[:]), [][16]byte{t}}
			}
			return keys
		}
	}
	return []subscriptionKey{{"", subscribed}}
}

// spread gives each slot to the same number of members, and each member almost the same number of slots.
func spread(members []string, slots []slot, previous map[string]Assignment) map[string][]slot {
	if len(members) == 0 || len(slots) == 0 {
		return nil
	}
	share := (len(members) + len(slots) - 1) / len(slots)
	total := share * len(slots)
	kept := retained(members, slots, previous)
	// Those who have most keep most.
	order := slices.Clone(members)
	slices.SortStableFunc(order, func(a, b string) int { return cmp.Compare(len(kept[b]), len(kept[a])) })
	quota := make(map[string]int, len(members))
	for i, size := range quotas(len(members), total) {
		quota[order[i]] = size
	}
	owners := make(map[slot]int, len(slots))
	result := make(map[string][]slot, len(members))
	for _, id := range order {
		for _, s := range kept[id] {
			if len(result[id]) < quota[id] && owners[s] < share {
				result[id] = append(result[id], s)
				owners[s]++
			}
		}
	}
	for _, id := range order {
		kept := result[id] // in order; what is given out here comes once
		for _, s := range slots {
			if len(result[id]) == quota[id] {
				break
			}
			if owners[s] == share {
				continue
			}
			if _, has := slices.BinarySearchFunc(kept, s, compareSlots); !has {
				result[id] = append(result[id], s)
				owners[s]++
			}
		}
		if len(result[id]) < quota[id] {
			return inTurn(members, slots, total) // what is left is the member's own already
		}
	}
	return result
}

// quotas returns how many of so many places each member gets, the largest first.
func quotas(members, places int) []int {
	sizes := make([]int, members)
	for i := range sizes {
		sizes[i] = (places*(i+1)+members-1)/members - (places*i+members-1)/members
	}
	slices.SortFunc(sizes, func(a, b int) int { return cmp.Compare(b, a) })
	return sizes
}

// inTurn gives out the slots in turn, without regard to what members had.
func inTurn(members []string, slots []slot, places int) map[string][]slot {
	result := make(map[string][]slot, len(members))
	next := 0
	for i, size := range quotas(len(members), places) {
		for range size {
			result[members[i]] = append(result[members[i]], slots[next%len(slots)])
			next++
		}
	}
	return result
}

// retained returns what each member had of the slots, in order.
func retained(members []string, slots []slot, previous map[string]Assignment) map[string][]slot {
	kept := make(map[string][]slot, len(members))
	for _, id := range members {
		for _, s := range previous[id].slots() {
			if _, ok := slices.BinarySearchFunc(slots, s, compareSlots); ok {
				kept[id] = append(kept[id], s)
			}
		}
		slices.SortFunc(kept[id], compareSlots)
	}
	return kept
}

// TopicPartitions is a topic with partitions of it.
type TopicPartitions struct {
	ID         [16]byte
	Partitions []int32
}

// InOrder returns the assignment in the order of topic IDs.
func (a Assignment) InOrder() []TopicPartitions {
	list := make([]TopicPartitions, 0, len(a))
	for _, id := range a.topics() {
		list = append(list, TopicPartitions{id, a[id]})
	}
	return list
}
