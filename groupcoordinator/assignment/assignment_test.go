package assignment

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

func topic(n int) TopicID { return TopicID{byte(n >> 8), byte(n), 1} }

// members are those of a group.
type members []Member

func member(id string, topics ...TopicID) Member {
	m := Member{ID: id, Topics: map[TopicID]bool{}}
	for _, t := range topics {
		m.Topics[t] = true
	}
	return m
}

// after gives the members what they were assigned.
func (m members) after(result map[string]Set) members {
	next := slices.Clone(m)
	for i := range next {
		next[i].Current = result[next[i].ID]
	}
	return next
}

// check fails unless every partition that somebody subscribes to has one member, a subscriber.
func check(t *testing.T, list members, partitions map[TopicID]int32, result map[string]Set) {
	t.Helper()
	if len(result) != len(list) {
		t.Fatalf("%d members in the result, want %d", len(result), len(list))
	}
	owners := map[TopicID]map[int32]string{}
	wanted := map[TopicID]bool{}
	for _, m := range list {
		for id := range m.Topics {
			wanted[id] = true
		}
		for id, indexes := range result[m.ID] {
			if !m.Topics[id] || len(indexes) == 0 || !slices.IsSorted(indexes) {
				t.Fatalf("%s got %v of topic %x", m.ID, indexes, id)
			}
			for _, p := range indexes {
				if owners[id] == nil {
					owners[id] = map[int32]string{}
				}
				if other, again := owners[id][p]; again {
					t.Fatalf("%s and %s have partition %d of %x", other, m.ID, p, id)
				}
				owners[id][p] = m.ID
			}
		}
	}
	for id, n := range partitions {
		if wanted[id] && len(owners[id]) != int(n) {
			t.Fatalf("%d of %d partitions of %x have a member", len(owners[id]), n, id)
		}
	}
}

func spread(result map[string]Set) int {
	var counts []int
	for _, s := range result {
		counts = append(counts, s.Count())
	}
	return slices.Max(counts) - slices.Min(counts)
}

// moved counts the partitions that members which are still there have lost.
func moved(before, after map[string]Set) (n int) {
	for id, old := range before {
		if now, ok := after[id]; ok {
			for t, indexes := range old {
				for _, p := range indexes {
					if !now.Has(t, p) {
						n++
					}
				}
			}
		}
	}
	return n
}

// Members with the same subscription differ by one partition at most, and only what balance needs moves.
func TestUniformIsBalancedAndSticky(t *testing.T) {
	a, b := topic(1), topic(2)
	partitions := map[TopicID]int32{a: 7, b: 5}
	list := members{member("m1", a, b), member("m2", a, b), member("m3", a, b)}
	result := Uniform(list, partitions)
	check(t, list, partitions, result)
	if spread(result) > 1 {
		t.Errorf("counts differ: %v", result)
	}
	again := Uniform(list.after(result), partitions)
	if moved(result, again) != 0 {
		t.Errorf("partitions moved without a change: %v to %v", result, again)
	}
	joined := append(list.after(result), member("m4", a, b))
	next := Uniform(joined, partitions)
	check(t, joined, partitions, next)
	if got := moved(result, next); got != 3 || spread(next) != 0 {
		t.Errorf("%d partitions moved to a new member, want 3: %v", got, next)
	}
	left := joined.after(next)[1:]
	last := Uniform(left, partitions)
	check(t, left, partitions, last)
	if got := moved(next, last); got != 0 || spread(last) > 1 {
		t.Errorf("%d partitions of others moved when a member left: %v", got, last)
	}
}

// Among the subscribers of a topic, the numbers of partitions differ by at most one, as far as these topics allow.
func TestUniformWithDifferentSubscriptions(t *testing.T) {
	a, b := topic(1), topic(2)
	partitions := map[TopicID]int32{a: 8, b: 4}
	list := members{member("only-a", a), member("both", a, b), member("only-b", b)}
	balanced := func(result map[string]Set) {
		t.Helper()
		check(t, list, partitions, result)
		counts := []int{result["only-a"].Count(), result["both"].Count(), result["only-b"].Count()}
		if counts[0]-counts[1] > 1 || counts[1]-counts[2] > 1 || counts[2] > 4 {
			t.Errorf("counts are %v", counts)
		}
	}
	balanced(Uniform(list, partitions))
	// One with most of the load of a topic gives it to who has little.
	list[0].Current, list[1].Current = Of(a, 0, 1, 2, 3, 4, 5, 6, 7), Of(b, 0, 1, 2, 3)
	balanced(Uniform(list, partitions))
}

// Range gives contiguous ranges, the same ones of all topics of a size; static members come first, by instance ID.
func TestRangeIsContiguousAndCopartitioned(t *testing.T) {
	a, b := topic(1), topic(2)
	partitions := map[TopicID]int32{a: 5, b: 5}
	z := "a-instance"
	static := member("zzz", a, b)
	static.InstanceID = &z
	list := members{member("m1", a, b), member("m2", a, b), static}
	result := Range(list, partitions)
	check(t, list, partitions, result)
	for id, want := range map[string][]int32{"zzz": {0, 1}, "m1": {2, 3}, "m2": {4}} {
		if !slices.Equal(result[id][a], want) || !slices.Equal(result[id][b], want) {
			t.Errorf("%s got %v, want %v of both", id, result[id], want)
		}
	}
	other := member("only-b", b)
	list = append(list, other)
	result = Range(list, partitions)
	check(t, list, partitions, result)
	if len(result["only-b"][b]) != 1 || len(result["zzz"][a]) != 2 {
		t.Errorf("%v", result)
	}
}

// Topics without partitions do not exist, and nobody subscribes to nothing.
func TestAssignorsWithNothingToAssign(t *testing.T) {
	for name, assign := range ByName {
		list := members{member("m1", topic(9)), member("m2")}
		result := assign(list, map[TopicID]int32{})
		if len(result) != 2 || len(result["m1"]) != 0 || result["m2"] == nil {
			t.Errorf("%s: %v", name, result)
		}
		if len(assign(nil, nil)) != 0 {
			t.Errorf("%s gave something to nobody", name)
		}
	}
}

// Both assignors keep their promises while members and topics come and go.
func TestAssignorsOverManyChanges(t *testing.T) {
	seed := rand.Uint64()
	r := rand.New(rand.NewPCG(seed, 1))
	t.Logf("seed %d", seed)
	for name, assign := range ByName {
		partitions := map[TopicID]int32{}
		var list members
		var last map[string]Set
		same := r.IntN(2) == 0
		for step := range 200 {
			switch r.IntN(4) {
			case 0:
				partitions[topic(len(partitions))] = int32(1 + r.IntN(9))
			case 1:
				for id := range partitions {
					partitions[id] += int32(r.IntN(3))
					break
				}
			case 2:
				list = append(list, member(fmt.Sprint("m", step)))
			default:
				if len(list) > 1 {
					list = slices.Delete(list, 0, 1)
				}
			}
			for i := range list {
				if same || len(list[i].Topics) == 0 {
					list[i].Topics = map[TopicID]bool{}
					for id := range partitions {
						if same || r.IntN(2) == 0 {
							list[i].Topics[id] = true
						}
					}
				}
			}
			if len(list) == 0 {
				continue
			}
			list = list.after(last)
			last = assign(list, partitions)
			check(t, list, partitions, last)
			if same && name == "uniform" && spread(last) > 1 {
				t.Fatalf("step %d: counts differ by %d", step, spread(last))
			}
		}
	}
}

func TestSets(t *testing.T) {
	a, b := topic(1), topic(2)
	s := Of(a, 3, 1, 3)
	if !slices.Equal(s[a], []int32{1, 3}) || s.Count() != 2 || !s.Has(a, 3) || s.Has(a, 2) || s.Has(b, 1) {
		t.Errorf("%v", s)
	}
	if Of(a) == nil || len(Of(a)) != 0 {
		t.Error("a set without partitions has a topic")
	}
	if !Of(a, 1).IsSubsetOf(s) || s.IsSubsetOf(Of(a, 1)) || !s.Intersects(Of(a, 3, 4)) || s.Intersects(Of(b, 3)) {
		t.Error("subset or intersection")
	}
	if !s.Equal(Of(a, 1, 3)) || s.Equal(Of(a, 1)) {
		t.Error("equality")
	}
}

func BenchmarkUniform(b *testing.B) {
	partitions := map[TopicID]int32{}
	var all []TopicID
	for i := range 10 {
		partitions[topic(i)] = 100
		all = append(all, topic(i))
	}
	var list members
	for i := range 100 {
		list = append(list, member(fmt.Sprint("m", i), all...))
	}
	list = append(list.after(Uniform(list, partitions)), member("new", all...))
	b.ReportAllocs()
	for b.Loop() {
		Uniform(list, partitions)
	}
}
