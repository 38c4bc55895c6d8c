package streamsgroup

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

func setOf(ids ...TaskID) TaskSet {
	s := make(TaskSet, len(ids))
	for _, id := range ids {
		s[id] = struct{}{}
	}
	return s
}

func show(ids TaskSet) string {
	var b strings.Builder
	groupedTasks(sorted(ids), func(subtopology string, ids []TaskID) {
		if b.Len() > 0 {
			b.WriteByte(' ')
		}
		partitions := make([]string, len(ids))
		for i, id := range ids {
			partitions[i] = fmt.Sprint(id.Partition)
		}
		fmt.Fprintf(&b, "%s:[%s]", subtopology, strings.Join(partitions, ","))
	})
	if b.Len() == 0 {
		return "[]"
	}
	return b.String()
}

// Two new members share the tasks of each subtopology: the first of them in Java's order has one more of the first.
func TestTwoNewMembersShareTasks(t *testing.T) {
	tasks := map[string]int32{"0": 7, "1": 4, "2": 5}
	got := assign([]assignorMember{{id: "m1", process: "a"}, {id: "m2", process: "b"}}, tasks, nil, 0)
	lists := []string{show(got["m1"].Active), show(got["m2"].Active)}
	slices.Sort(lists)
	want := []string{"0:[0,2,4,6] 1:[1,3] 2:[1,3]", "0:[1,3,5] 1:[0,2] 2:[0,2,4]"}
	if !slices.Equal(lists, want) {
		t.Errorf("%q, want %q", lists, want)
	}
}

// Whatever the members have now: each task is active once, has its standbys in other processes, the load is even where
// there is one member a process, and what a member may keep it keeps.
func TestAssignmentIsCompleteAndEven(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	dice := rand.New(rand.NewPCG(seed, 1))
	for range 2000 {
		processes, replicas := 1+dice.IntN(5), dice.IntN(3)
		tasks := map[string]int32{"0": int32(dice.IntN(9)), "1": int32(dice.IntN(9))}
		stateful := map[string]bool{"1": true}
		var members []assignorMember
		for p := range processes {
			for n := range 1 + dice.IntN(2) {
				members = append(members, assignorMember{id: fmt.Sprintf("m%d-%d-%d", p, n, dice.IntN(99)),
					process: fmt.Sprint("p", p)})
			}
		}
		got := assign(members, tasks, stateful, replicas)
		checkAssignment(t, members, got, tasks, stateful, min(replicas, processes-1))
		for i := range members {
			members[i].assigned = got[members[i].id]
		}
		again := assign(members, tasks, stateful, replicas)
		for id := range got {
			if !sameTasks(got[id].Active, again[id].Active) {
				t.Fatalf("%s had %s and gets %s, though nothing has changed", id, show(got[id].Active), show(again[id].Active))
			}
		}
		gone := members[dice.IntN(len(members))]
		members = slices.DeleteFunc(members, func(m assignorMember) bool { return m.process == gone.process })
		if len(members) > 0 {
			got := assign(members, tasks, stateful, replicas)
			checkAssignment(t, members, got, tasks, stateful, min(replicas, processes-2))
		}
	}
}

func checkAssignment(t *testing.T, members []assignorMember, got map[string]Assignment, tasks map[string]int32,
	stateful map[string]bool, standbys int) {
	t.Helper()
	active, copies := map[TaskID]int{}, map[TaskID]int{}
	inProcess := map[string]TaskSet{}
	for _, m := range members {
		set := inProcess[m.process]
		if set == nil {
			set = TaskSet{}
			inProcess[m.process] = set
		}
		for _, role := range []TaskSet{got[m.id].Active, got[m.id].Standby} {
			for id := range role {
				if has(set, id) {
					t.Fatalf("process %s has task %v twice", m.process, id)
				}
				set[id] = struct{}{}
			}
		}
		for id := range got[m.id].Active {
			active[id]++
		}
		for id := range got[m.id].Standby {
			copies[id]++
		}
	}
	for subtopology, n := range tasks {
		for p := range n {
			id := TaskID{subtopology, p}
			if active[id] != 1 {
				t.Fatalf("task %v is active %d times", id, active[id])
			}
			if want := standbys; stateful[subtopology] && copies[id] != want || !stateful[subtopology] && copies[id] != 0 {
				t.Fatalf("task %v has %d standbys, want %d", id, copies[id], want)
			}
		}
	}
}
