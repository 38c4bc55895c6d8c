package lab

import (
	"cmp"
	"fmt"
	"maps"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/cluster"
	"once/groupcoordinator"
	"once/groupcoordinator/consumergroup"
	"once/groupcoordinator/group"
	"once/groupcoordinator/sharegroup"
	"once/groupcoordinator/streamsgroup"
)

// addMembers adds the members of a group of any type, and its protocol or assignor. A group without members, or one
// that has gone meanwhile, has none.
func (g *Group) addMembers(v cluster.View) {
	switch group.Type(g.Type) {
	case group.Classic:
		if d, err := v.Groups.Describe(g.ID); err == nil {
			g.Protocol, g.Members = d.Protocol, eachMember(d.Members, classicMember)
		}
	case group.Consumer:
		if d, err := v.Groups.DescribeConsumer(g.ID); err == nil {
			g.Protocol = d.Assignor
			g.Members = eachMember(d.Members, func(m consumergroup.MemberDescription) Member { return consumerMember(v, m) })
		}
	case group.Share:
		if d, err := v.Groups.DescribeShare(g.ID); err == nil {
			g.Members = eachMember(d.Members, func(m sharegroup.MemberDescription) Member {
				return Member{MemberID: m.MemberID, ClientID: m.ClientID, Host: m.ClientHost,
					Assignment: assignmentOf(v, m.Assignment)}
			})
		}
	case group.Streams:
		if d, err := v.Groups.DescribeStreams(g.ID); err == nil {
			g.Members = eachMember(d.Members, func(m streamsgroup.MemberDescription) Member {
				return streamsMember(v, d.Topology, m)
			})
		}
	}
}

func eachMember[T any](all []T, of func(T) Member) []Member {
	members := make([]Member, 0, len(all))
	for _, m := range all {
		members = append(members, of(m))
	}
	return members
}

func classicMember(m groupcoordinator.MemberDescription) Member {
	member := Member{MemberID: m.MemberID, GroupInstanceID: deref(m.InstanceID), ClientID: m.ClientID,
		Host: m.ClientHost, Assignment: []TopicPartition{}}
	var a kmsg.ConsumerMemberAssignment
	if a.ReadFrom(m.Assignment) == nil { // other protocols than the consumers' have their own
		for _, t := range a.Topics {
			for _, p := range t.Partitions {
				member.Assignment = append(member.Assignment, TopicPartition{t.Topic, p})
			}
		}
	}
	slices.SortFunc(member.Assignment, TopicPartition.compare)
	return member
}

func consumerMember(v cluster.View, m consumergroup.MemberDescription) Member {
	return Member{MemberID: m.ID, GroupInstanceID: deref(m.Meta.InstanceID), ClientID: m.Meta.ClientID,
		Host: m.Meta.ClientHost, Assignment: assignmentOf(v, m.Current)}
}

// streamsMember has the partitions of the source topics of its active tasks.
func streamsMember(v cluster.View, topology *streamsgroup.Topology, m streamsgroup.MemberDescription) Member {
	member := Member{MemberID: m.ID, GroupInstanceID: deref(m.InstanceID), ClientID: m.ClientID, Host: m.ClientHost,
		Assignment: []TopicPartition{}}
	for _, task := range sortedTasks(m.Assigned.Active) {
		member.Tasks = append(member.Tasks, taskName(task))
		for i := range topology.Subtopologies {
			if s := &topology.Subtopologies[i]; s.ID == task.Subtopology {
				member.Assignment = append(member.Assignment, sourcesOf(v, s, task.Partition)...)
			}
		}
	}
	for _, task := range sortedTasks(m.Assigned.Standby) {
		member.Tasks = append(member.Tasks, taskName(task)+" standby")
	}
	for _, task := range sortedTasks(m.Assigned.Warmup) {
		member.Tasks = append(member.Tasks, taskName(task)+" warm-up")
	}
	return member
}

func sourcesOf(v cluster.View, s *streamsgroup.Subtopology, index int32) (sources []TopicPartition) {
	names := slices.Clone(s.SourceTopics)
	for _, t := range s.RepartitionSourceTopics {
		names = append(names, t.Name)
	}
	for _, name := range names {
		if _, ok := v.Topics.Partition(name, index); ok {
			sources = append(sources, TopicPartition{name, index})
		}
	}
	return sources
}

func taskName(t streamsgroup.TaskID) string { return fmt.Sprintf("%s_%d", t.Subtopology, t.Partition) }

func sortedTasks[V any](tasks map[streamsgroup.TaskID]V) []streamsgroup.TaskID {
	return slices.SortedFunc(maps.Keys(tasks), func(a, b streamsgroup.TaskID) int {
		return cmp.Or(cmp.Compare(a.Subtopology, b.Subtopology), cmp.Compare(a.Partition, b.Partition))
	})
}

// assignmentOf names the partitions of an assignment by topic ID, sorted. A topic that has been deleted has none.
func assignmentOf(v cluster.View, assigned map[[16]byte][]int32) []TopicPartition {
	all := []TopicPartition{}
	for id, partitions := range assigned {
		if t, ok := v.Topics.LookupID(id); ok {
			for _, p := range partitions {
				all = append(all, TopicPartition{t.Name, p})
			}
		}
	}
	slices.SortFunc(all, TopicPartition.compare)
	return all
}

func (p TopicPartition) compare(q TopicPartition) int {
	return cmp.Or(cmp.Compare(p.Topic, q.Topic), cmp.Compare(p.Partition, q.Partition))
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
