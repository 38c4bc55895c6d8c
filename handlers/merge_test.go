package handlers

import (
	"slices"
	"testing"
)

// Few entries are merged without a map and many with one: the outcome is the same.
func TestEntriesOfOneKeyAreMergedInPlace(t *testing.T) {
	type entry struct{ key, value int32 }
	for _, n := range []int{0, 1, 2, fewEntries, fewEntries + 1, 200} {
		var all, want []entry
		for i := range n {
			e := entry{int32(i * i % 7), int32(i)}
			all = append(all, e)
			at := slices.IndexFunc(want, func(w entry) bool { return w.key == e.key })
			if at < 0 {
				want = append(want, e)
			} else {
				want[at] = e
			}
		}
		if got := lastOfEach(all, func(e *entry) int32 { return e.key }); !slices.Equal(got, want) {
			t.Errorf("%d entries: %v, want %v", n, got, want)
		}
	}
}

func TestEntriesNamedOnceCostNothing(t *testing.T) {
	all := []int32{1, 2, 3, 4, 5, 6, 7, 8}
	if n := testing.AllocsPerRun(100, func() { all = lastOfEach(all, func(p *int32) int32 { return *p }) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
