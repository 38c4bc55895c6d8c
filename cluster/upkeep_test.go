package cluster

import (
	"testing"
	"time"
)

// Between two looks the wall clock may drift; a minute more or less is a jump, either way.
func TestWallClockJump(t *testing.T) {
	for _, c := range []struct {
		wall, steady time.Duration
		want         bool
	}{
		{5 * time.Minute, 5 * time.Minute, false},
		{6 * time.Minute, 5 * time.Minute, false},
		{6*time.Minute + 1, 5 * time.Minute, true},
		{4*time.Minute - 1, 5 * time.Minute, true},
		{-time.Hour, 30 * time.Second, true},
		{10 * 365 * 24 * time.Hour, 5 * time.Minute, true},
	} {
		if got := jumped(c.wall, c.steady); got != c.want {
			t.Errorf("wall clock %v, monotonic %v: jumped %v", c.wall, c.steady, got)
		}
	}
}
