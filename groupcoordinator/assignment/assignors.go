package assignment

import (
	"bytes"
	"cmp"
	"container/heap"
	"slices"
	"strings"
)

// Member is a member of a group as an assignor sees it.
type Member struct {
	ID         string
	InstanceID *string // of a static member
	Topics     map[TopicID]bool
	Current    Set // its last target assignment
}

// Assignor gives every partition of the topics that members subscribe to, to one of its subscribers. Topics without a
// number of partitions do not exist and are left out. The result has each member.
type Assignor func(members []Member, partitions map[TopicID]int32) map[string]Set

// ByName are Kafka's two assignors (spec: groups 18).
var ByName = map[string]Assignor{"uniform": Uniform, "range": Range}

// Range gives each member a contiguous range of each topic. Members with the same subscription get the same partitions
// of topics of the same size. Static members come first, by instance ID, then dynamic ones, by member ID; so a static
// member that comes back with another member ID gets the same partitions.
func Range(members []Member, partitions map[TopicID]int32) map[string]Set {
	ordered := slices.Clone(members)
	slices.SortFunc(ordered, func(a, b Member) int {
		switch {
		case a.InstanceID != nil && b.InstanceID != nil:
			return strings.Compare(*a.InstanceID, *b.InstanceID)
		case a.InstanceID != nil:
			return -1
		case b.InstanceID != nil:
			return 1
		}
		return strings.Compare(a.ID, b.ID)
	})
	result := make(map[string]Set, len(members))
	for i := range ordered {
		result[ordered[i].ID] = Set{}
	}
	for topic, subscribers := range subscribersOf(ordered, partitions) {
		count, members := partitions[topic], int32(len(subscribers))
		quota, extra := count/members, count%members
		next := int32(0)
		for k, i := range subscribers {
			n := quota
			if int32(k) < extra {
				n++
			}
			if n > 0 {
				result[ordered[i].ID][topic] = indexes(next, next+n)
			}
			next += n
		}
	}
	return result
}

// indexes returns from, from+1, … to-1.
func indexes(from, to int32) []int32 {
	list := make([]int32, 0, to-from)
	for ; from < to; from++ {
		list = append(list, from)
	}
	return list
}

// subscribersOf returns for each topic with partitions the members that subscribe to it, in their order.
func subscribersOf(members []Member, partitions map[TopicID]int32) map[TopicID][]int {
	subscribers := map[TopicID][]int{}
	for i := range members {
		for topic := range members[i].Topics {
			if partitions[topic] > 0 {
				subscribers[topic] = append(subscribers[topic], i)
			}
		}
	}
	return subscribers
}

// mostRounds bounds the rounds over all topics in which Uniform moves partitions to balance a group whose members
// subscribe to different topics.
const mostRounds = 16

// Uniform balances the number of partitions of members, and keeps as many of their current ones as that allows. When
// all subscribe to the same topics, their numbers differ by at most one.
func Uniform(members []Member, partitions map[TopicID]int32) map[string]Set {
	u := &uniform{partitions: partitions, members: slices.Clone(members), owners: map[TopicID][]int{}}
	slices.SortFunc(u.members, func(a, b Member) int { return strings.Compare(a.ID, b.ID) })
	u.load = make([]int, len(members))
	u.subscribers = subscribersOf(u.members, partitions)
	u.keepCurrent()
	topics := u.topicsInOrder()
	for _, topic := range topics {
		u.assignFree(topic)
	}
	for range mostRounds {
		moved := 0
		for _, topic := range topics {
			moved += u.balance(topic)
		}
		if moved == 0 {
			break
		}
	}
	return u.result()
}

// uniform is a run of Uniform. Members are named by their index.
type uniform struct {
	members     []Member
	partitions  map[TopicID]int32
	subscribers map[TopicID][]int
	owners      map[TopicID][]int // by partition; nobody: -1
	load        []int             // the number of partitions of each member
}

const nobody = -1

func (u *uniform) keepCurrent() {
	for topic := range u.subscribers {
		owners := make([]int, u.partitions[topic])
		for p := range owners {
			owners[p] = nobody
		}
		u.owners[topic] = owners
	}
	for i := range u.members {
		for topic, current := range u.members[i].Current {
			if !u.members[i].Topics[topic] {
				continue
			}
			owners := u.owners[topic]
			for _, p := range current {
				if int(p) < len(owners) && owners[p] == nobody {
					owners[p] = i
					u.load[i]++
				}
			}
		}
	}
}

// topicsInOrder returns the topics with the fewest choices first: many partitions a subscriber, then few subscribers.
func (u *uniform) topicsInOrder() []TopicID {
	topics := make([]TopicID, 0, len(u.subscribers))
	for topic := range u.subscribers {
		topics = append(topics, topic)
	}
	slices.SortFunc(topics, func(a, b TopicID) int {
		inA, inB := len(u.subscribers[a]), len(u.subscribers[b])
		// a's partitions a subscriber against b's, without a division
		perA, perB := int64(u.partitions[a])*int64(inB), int64(u.partitions[b])*int64(inA)
		return cmp.Or(cmp.Compare(perB, perA), cmp.Compare(inA, inB), bytes.Compare(a[:], b[:]))
	})
	return topics
}

// assignFree gives the partitions of a topic that nobody has to its least loaded subscribers.
func (u *uniform) assignFree(topic TopicID) {
	var least leastLoaded
	for p, owner := range u.owners[topic] {
		if owner != nobody {
			continue
		}
		if least.members == nil {
			least = leastLoaded{slices.Clone(u.subscribers[topic]), u.load}
			heap.Init(&least)
		}
		i := least.members[0]
		u.owners[topic][p] = i
		u.load[i]++
		heap.Fix(&least, 0)
	}
}

// balance moves partitions of a topic from its most loaded subscribers to its least loaded ones, and returns how many.
func (u *uniform) balance(topic TopicID) (moved int) {
	subscribers := u.subscribers[topic]
	if len(subscribers) < 2 {
		return 0
	}
	owned := make(map[int][]int, len(subscribers)) // the member's partitions of the topic
	for p, owner := range u.owners[topic] {
		owned[owner] = append(owned[owner], p)
	}
	least := leastLoaded{slices.Clone(subscribers), u.load}
	heap.Init(&least)
	for {
		from := nobody
		for _, i := range subscribers {
			if len(owned[i]) > 0 && (from == nobody || u.load[i] > u.load[from]) {
				from = i
			}
		}
		to := least.members[0]
		if from == nobody || u.load[from]-u.load[to] <= 1 {
			return moved
		}
		last := len(owned[from]) - 1
		p := owned[from][last]
		owned[from] = owned[from][:last]
		u.owners[topic][p] = to
		u.load[to]++
		heap.Fix(&least, 0)
		u.load[from]--
		heap.Fix(&least, slices.Index(least.members, from))
		moved++
	}
}

func (u *uniform) result() map[string]Set {
	result := make(map[string]Set, len(u.members))
	sets := make([]Set, len(u.members))
	for i := range u.members {
		sets[i] = Set{}
		result[u.members[i].ID] = sets[i]
	}
	for topic, owners := range u.owners {
		for p, i := range owners {
			sets[i][topic] = append(sets[i][topic], int32(p))
		}
	}
	return result
}

// leastLoaded is a heap of members with the least loaded on top; of two with the same load, the first.
type leastLoaded struct {
	members []int
	load    []int
}

func (l leastLoaded) Len() int      { return len(l.members) }
func (l leastLoaded) Swap(i, j int) { l.members[i], l.members[j] = l.members[j], l.members[i] }
func (l leastLoaded) Less(i, j int) bool {
	a, b := l.members[i], l.members[j]
	return cmp.Or(cmp.Compare(l.load[a], l.load[b]), cmp.Compare(a, b)) < 0
}

// Push implements heap.Interface; nothing is pushed.
func (l *leastLoaded) Push(any) {}

// Pop implements heap.Interface; nothing is popped.
func (l *leastLoaded) Pop() any { return nil }
