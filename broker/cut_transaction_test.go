package broker_test

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"once/inspect/inspecttest"
)

// P18, P20: a transaction that was answered as ended stays so, with its outcome, when the tail of a partition is
// damaged above the last barrier and cut with its marker in it. The last stable offset does not stand still, and the
// producer's next transaction decides about its own records only.
func TestEndedTransactionStaysEndedAfterACut(t *testing.T) {
	program(t)
	for _, v2 := range []bool{false, true} {
		for _, commit := range []bool{false, true} {
			t.Run(fmt.Sprintf("V2 %v commit %v", v2, commit), func(t *testing.T) {
				t.Parallel()
				c := newKillClient(t, append([]string{"--set", "flush.interval.ms=600000"}, killArgs...))
				defer c.hangUp()
				c.start()
				c.createTopic("x", 1, nil)
				p := c.producer("pay", v2)
				for i := range 3 {
					p.produce(fmt.Sprint("first ", i), "x", 0)
				}
				p.offsets("group", nil, 0, 3)
				p.end(commit)
				c.hangUp()
				c.p.Kill()
				for _, partition := range []string{"x-0", "__consumer_offsets-0"} {
					segment := filepath.Join(c.dir, partition, "00000000000000000000.log")
					raw, err := os.ReadFile(segment)
					if err != nil {
						t.Fatal(err)
					}
					raw[len(raw)-1] ^= 1 // of the marker
					if err := os.WriteFile(segment, raw, 0o644); err != nil {
						t.Fatal(err)
					}
				}
				offset := int64(-1)
				if commit {
					offset = 3
				}
				c.start()
				seen := func(when string, want map[string]bool) {
					t.Helper()
					end, stable, _ := c.Ends("x", 0)
					if end != stable {
						t.Errorf("%s: the log ends at %d and is stable to %d", when, end, stable)
					}
					got := map[string]bool{}
					for _, r := range c.read("x", 0) {
						got[r.value] = r.visible
					}
					if fmt.Sprint(got) != fmt.Sprint(want) {
						t.Errorf("%s: %v, want %v", when, got, want)
					}
					if got := c.offset("group", 0); got != offset {
						t.Errorf("%s: the group's offset is %d, want %d", when, got, offset)
					}
				}
				want := map[string]bool{"first 0": commit, "first 1": commit, "first 2": commit}
				seen("after the start", want)
				next := c.producer("pay", v2)
				next.produce("second", "x", 0)
				next.end(!commit)
				want["second"] = !commit
				seen("after the next transaction", want)
				c.hangUp()
				c.p.Kill()
				inspecttest.RequireClean(t, c.dir)
				c.start()
				seen("after another start", want)
			})
		}
	}
}
