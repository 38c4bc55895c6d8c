package groupcoordinator

import (
	"context"
	"testing"
)

// A dynamic member joins twice: first for its ID, then for good (groups scenarios 1, 2).
func TestNewMemberIsGivenAnIDFirst(t *testing.T) {
	w := newWorld(t)
	first := now(t, w.join("g", version(5)))
	isErr(t, "join without ID", first.Err, ErrMemberIDRequired)
	if first.MemberID != "client-1" {
		t.Errorf("member ID %q", first.MemberID)
	}
	if got := w.state("g"); got != Empty {
		t.Errorf("group is %v", got)
	}
	list, _ := w.c.List()
	if len(list) != 1 || list[0] != (Listed{GroupID: "g", Type: "classic", State: "Empty"}) {
		t.Errorf("listed %+v", list)
	}
	second := now(t, w.join("g", version(5), withID(first.MemberID)))
	if second.Err != nil || second.Generation != 1 || second.LeaderID != first.MemberID || len(second.Members) != 1 ||
		*second.ProtocolName != "range" || *second.ProtocolType != "consumer" ||
		string(second.Members[0].Metadata) != subscription("t") {
		t.Errorf("joined %+v", second)
	}
}

// With a maximum lowered at a restart those who join last stay outside (groups 3.2 row 4).
func TestLoweredMaximumShedsTheLastToJoin(t *testing.T) {
	w := newWorld(t)
	ids, _ := w.stable("g", nil, nil)
	w.cfg.MaxSize = 1
	w.restart()
	if w.state("g") != PreparingRebalance {
		t.Fatal(w.state("g"))
	}
	b := w.join("g", withID(ids[1]))
	isErr(t, "the second to join", now(t, w.join("g", withID(ids[0]))).Err, ErrGroupFull)
	if r := now(t, b); r.Err != nil || r.LeaderID != ids[1] {
		t.Errorf("%+v", r)
	}
}

// A request that nobody waits for any more lets its waiter go; the group goes on.
func TestWaitEndsWithItsContext(t *testing.T) {
	w := newWorld(t)
	w.stable("g", nil)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := w.join("g").Wait(ctx); err != context.Canceled {
		t.Errorf("%v", err)
	}
}

func TestPartitionIsJavasHash(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.Partitions = 50 })
	for group, want := range map[string]int32{
		"": 0, "a": 97 % 50, "group": 98629247 % 50, "polygenelubricants": 0, // hashCode is MinInt32
		"😀": 1772899 % 50, "zzzzzzzzzz": 0,
	} {
		got := w.c.PartitionFor(group)
		if group == "zzzzzzzzzz" {
			if got < 0 || got >= 50 {
				t.Errorf("%q: %d", group, got)
			}
			continue
		}
		if got != want {
			t.Errorf("%q: %d, want %d", group, got, want)
		}
	}
}
