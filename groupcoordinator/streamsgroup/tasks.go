package streamsgroup

import (
	"cmp"
	"maps"
	"slices"
)

// TaskID names a task: the part of a subtopology that reads one partition of each of its sources.
type TaskID struct {
	Subtopology string
	Partition   int32
}

// TaskSet is a set of tasks.
type TaskSet map[TaskID]struct{}

// ActiveTasks are active tasks with their assignment epochs: the epoch of the target assignment that gave the task to
// this member. Commits with an older member epoch are refused for the task.
type ActiveTasks map[TaskID]int32

func has[V any](m map[TaskID]V, id TaskID) bool {
	_, ok := m[id]
	return ok
}

func keys[V any](m map[TaskID]V) TaskSet {
	s := make(TaskSet, len(m))
	for id := range m {
		s[id] = struct{}{}
	}
	return s
}

// subset reports whether all of a is in b.
func subset[V, W any](a map[TaskID]V, b map[TaskID]W) bool {
	for id := range a {
		if !has(b, id) {
			return false
		}
	}
	return true
}

// disjoint reports whether a and b have no task in common.
func disjoint[V, W any](a map[TaskID]V, b map[TaskID]W) bool {
	for id := range a {
		if has(b, id) {
			return false
		}
	}
	return true
}

func sameTasks[V, W any](a map[TaskID]V, b map[TaskID]W) bool {
	return len(a) == len(b) && subset(a, b)
}

// SortedTasks returns the tasks by subtopology, then partition.
func SortedTasks[V any](m map[TaskID]V) []TaskID { return sorted(m) }

// Tasks returns the set of the tasks of a map.
func Tasks[V any](m map[TaskID]V) TaskSet { return keys(m) }

func sorted[V any](m map[TaskID]V) []TaskID {
	return slices.SortedFunc(maps.Keys(m), func(a, b TaskID) int {
		return cmp.Or(cmp.Compare(a.Subtopology, b.Subtopology), cmp.Compare(a.Partition, b.Partition))
	})
}

// Assignment is a member's tasks in their three roles.
type Assignment struct {
	Active  TaskSet
	Standby TaskSet
	Warmup  TaskSet
}

func (a Assignment) empty() bool {
	return len(a.Active) == 0 && len(a.Standby) == 0 && len(a.Warmup) == 0
}

func (a Assignment) equal(b Assignment) bool {
	return sameTasks(a.Active, b.Active) && sameTasks(a.Standby, b.Standby) && sameTasks(a.Warmup, b.Warmup)
}

// subsetOf reports whether each role of a is a subset of the same role of b.
func (a Assignment) subsetOf(b Assignment) bool {
	return subset(a.Active, b.Active) && subset(a.Standby, b.Standby) && subset(a.Warmup, b.Warmup)
}

func (a Assignment) disjointFrom(b Assignment) bool {
	return disjoint(a.Active, b.Active) && disjoint(a.Standby, b.Standby) && disjoint(a.Warmup, b.Warmup)
}
