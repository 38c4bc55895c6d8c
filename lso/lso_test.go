package lso

import (
	"math/rand/v2"
	"testing"
)

// naive is the rule (spec: log 6), written down plainly: the state of every transaction is kept
// for ever, and everything is looked at each time.
type naive []struct{ pid, first, marker int64 }

func (n naive) lastStable(logStart, highWatermark int64) int64 {
	stable := highWatermark
	for _, x := range n {
		if x.marker < 0 || x.marker >= highWatermark {
			stable = min(stable, x.first)
		}
	}
	return max(stable, min(logStart, highWatermark))
}

// TestLastStableOffsetFollowsTheRule begins and ends transactions at random, with a high watermark that
// lags behind, and compares with the plain rule at every step.
func TestLastStableOffsetFollowsTheRule(t *testing.T) {
	for seed := range uint64(300) {
		dice := rand.New(rand.NewPCG(seed, 0))
		var tracker Tracker
		var plain naive
		var next, highWatermark, previous int64
		for range 200 {
			open := map[int64]bool{}
			for _, x := range tracker.Open() {
				open[x.ProducerID] = true
			}
			pid := dice.Int64N(6)
			if open[pid] {
				want := next + 1
				for _, x := range plain {
					if x.marker < 0 && x.pid != pid {
						want = min(want, x.first)
					}
				}
				got, found := tracker.End(pid, next)
				if !found || got != want {
					t.Fatalf("seed %d: entry has last stable offset %d, %v; want %d", seed, got, found, want)
				}
				for i := range plain {
					if plain[i].pid == pid && plain[i].marker < 0 {
						plain[i].marker = next
					}
				}
			} else {
				tracker.Begin(pid, next)
				plain = append(plain, struct{ pid, first, marker int64 }{pid, next, -1})
			}
			next += 1 + dice.Int64N(3)
			highWatermark += dice.Int64N(next - highWatermark + 1)
			logStart := min(highWatermark, dice.Int64N(next))
			got := tracker.LastStableOffset(logStart, highWatermark)
			if want := plain.lastStable(logStart, highWatermark); got != want {
				t.Fatalf("seed %d: last stable offset %d, want %d (log start %d, high watermark %d)", seed, got, want, logStart,
					highWatermark)
			}
			if stable := plain.lastStable(0, highWatermark); stable < previous {
				t.Fatalf("seed %d: went back from %d to %d", seed, previous, stable)
			} else {
				previous = stable
			}
		}
	}
}

func TestEndOfNothing(t *testing.T) {
	var tracker Tracker
	if last, found := tracker.End(1, 10); found || last != 11 {
		t.Fatalf("%d %v", last, found)
	}
	if got := tracker.LastStableOffset(0, 20); got != 20 {
		t.Fatal(got)
	}
}

func TestResetBeginsTheOpenTransactionsOfASnapshot(t *testing.T) {
	var tracker Tracker
	tracker.Reset(map[int64]int64{1: 30, 2: 10, 3: 20})
	if got := tracker.LastStableOffset(0, 100); got != 10 {
		t.Fatal(got)
	}
	if last, _ := tracker.End(2, 50); last != 20 {
		t.Fatal(last)
	}
	if got := tracker.LastStableOffset(0, 100); got != 20 {
		t.Fatal(got)
	}
}
