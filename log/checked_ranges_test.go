package log

import (
	"math/rand"
	"testing"
)

// What has been checked is not checked again, what this process wrote never, and what a check has not seen
// always: the ranges hold against a bitmap.
func TestCheckedRangesAreABitmap(t *testing.T) {
	const size = 200
	dice := rand.New(rand.NewSource(3))
	for range 200 {
		c := checked{}
		c.setOwnFrom(150)
		var known [size]bool
		for i := range known {
			known[i] = i >= 150
		}
		for range 40 {
			from := dice.Intn(size)
			to := from + dice.Intn(size-from)
			at := from
			for _, r := range c.unverified(int64(from), int64(to)) {
				for ; at < int(r.from); at++ {
					if !known[at] {
						t.Fatalf("%d to %d: byte %d counts as known", from, to, at)
					}
				}
				for ; at < int(r.to); at++ {
					if known[at] {
						t.Fatalf("%d to %d: byte %d counts as unknown", from, to, at)
					}
				}
			}
			for ; at < to; at++ {
				if !known[at] {
					t.Fatalf("%d to %d: byte %d counts as known", from, to, at)
				}
			}
			if from < to {
				c.add(int64(from), int64(to))
				for i := from; i < to; i++ {
					known[i] = true
				}
			}
		}
	}
}

func TestCheckedRangesAreBounded(t *testing.T) {
	c := checked{}
	c.setOwnFrom(1 << 30)
	for i := range int64(10 * maxRanges) {
		c.add(10*i, 10*i+5)
	}
	if n := len(c.mu.known); n != maxRanges {
		t.Errorf("%d ranges", n)
	}
	for _, r := range c.mu.known {
		if r.from%10 != 0 || r.to != r.from+5 {
			t.Errorf("%v was never added", r)
		}
	}
}
