package groupcoordinator

import (
	"context"
	"testing"
	"time"
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
	if len(list) != 1 || list[0] != (Listed{GroupID: "g", Type: TypeClassic, State: Empty}) {
		t.Errorf("listed %+v", list)
	}
	second := now(t, w.join("g", version(5), withID(first.MemberID)))
	if second.Err != nil || second.Generation != 1 || second.LeaderID != first.MemberID || len(second.Members) != 1 ||
		*second.ProtocolName != "range" || *second.ProtocolType != "consumer" || string(second.Members[0].Metadata) != subscription("t") {
		t.Errorf("joined %+v", second)
	}
}

// Groups scenario 3.
func TestIDOfPendingMemberIsForgottenAfterTheSessionTimeout(t *testing.T) {
	w := newWorld(t)
	id := now(t, w.join("g", version(5))).MemberID
	w.clock.Advance(session - 1)
	w.clock.Advance(1)
	isErr(t, "late join", now(t, w.join("g", version(5), withID(id))).Err, ErrUnknownMember)
}

// Groups scenario 4.
func TestOldClientJoinsAtOnce(t *testing.T) {
	w := newWorld(t)
	if r := now(t, w.join("g", version(1))); r.Err != nil || r.Generation != 1 {
		t.Errorf("%+v", r)
	}
}

// Groups scenarios 5, 6, 7, 11 (protocols of the first member).
func TestJoinIsRefused(t *testing.T) {
	for name, c := range map[string]struct {
		group   string
		options []joinOption
		want    error
	}{
		"session too short":         {"g", []joinOption{withSession(5999 * time.Millisecond)}, ErrSessionTimeout},
		"session too long":          {"g", []joinOption{withSession(1800001 * time.Millisecond)}, ErrSessionTimeout},
		"no group ID":               {"", nil, ErrInvalidGroupID},
		"ID in an unknown group":    {"g", []joinOption{withID("x")}, ErrUnknownMember},
		"no protocols":              {"g", []joinOption{withProtocols()}, ErrInconsistentProtocol},
		"no protocol type":          {"g", []joinOption{withType("")}, ErrInconsistentProtocol},
		"shortest session":          {"g", []joinOption{withSession(6 * time.Second)}, nil},
		"longest session":           {"g", []joinOption{withSession(30 * time.Minute)}, nil},
		"instance, no ID, no group": {"g", []joinOption{withInstance("i1"), version(9)}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			isErr(t, "join", now(t, w.join(c.group, c.options...)).Err, c.want)
		})
	}
}

// Groups scenario 8.
func TestSecondMemberStartsARebalance(t *testing.T) {
	w := newWorld(t)
	ids, gen := w.stable("g", nil)
	b := w.join("g")
	if b.Ready() {
		t.Fatal("the second member did not wait for the first")
	}
	isErr(t, "heartbeat", w.heartbeat("g", ids[0], gen), ErrRebalanceInProgress)
	a := now(t, w.join("g", withID(ids[0])))
	rb := now(t, b)
	if a.Generation != gen+1 || rb.Generation != gen+1 || a.LeaderID != ids[0] || rb.LeaderID != ids[0] {
		t.Errorf("a %+v b %+v", a, rb)
	}
	if len(a.Members) != 2 || len(rb.Members) != 0 {
		t.Errorf("the leader sees %d members, the follower %d", len(a.Members), len(rb.Members))
	}
}

// Groups scenario 9.
func TestOnlyTheLeadersUnchangedJoinRebalances(t *testing.T) {
	w := newWorld(t)
	ids, gen := w.stable("g", nil, nil)
	if r := now(t, w.join("g", withID(ids[1]))); r.Err != nil || r.Generation != gen || len(r.Members) != 0 || w.state("g") != Stable {
		t.Errorf("follower %+v, group %v", r, w.state("g"))
	}
	if f := w.join("g", withID(ids[0])); f.Ready() || w.state("g") != PreparingRebalance {
		t.Errorf("leader's join did not start a rebalance, group %v", w.state("g"))
	}
}

// A follower with new metadata starts a rebalance, too (groups 2).
func TestChangedMetadataRebalances(t *testing.T) {
	w := newWorld(t)
	ids, _ := w.stable("g", nil, nil)
	if f := w.join("g", withID(ids[1]), withProtocols("range", "new")); f.Ready() || w.state("g") != PreparingRebalance {
		t.Errorf("group is %v", w.state("g"))
	}
}

// Groups scenario 10.
func TestJoinWhileCompletingRebalance(t *testing.T) {
	w := newWorld(t)
	ids, gen := w.stable("g", nil, nil)
	w.join("g", withID(ids[0]))
	again := now(t, w.join("g", withID(ids[1])))
	if w.state("g") != CompletingRebalance || again.Generation != gen+1 {
		t.Fatalf("group is %v, %+v", w.state("g"), again)
	}
	parked := w.sync("g", ids[0], gen+1-1)
	isErr(t, "sync of the old generation", now(t, parked).Err, ErrIllegalGeneration)
	follower := w.sync("g", ids[1], gen+1)
	if follower.Ready() {
		t.Fatal("the follower has its assignment before the leader gave it")
	}
	if r := now(t, w.join("g", withID(ids[1]))); r.Err != nil || r.Generation != gen+1 || w.state("g") != CompletingRebalance {
		t.Errorf("unchanged join %+v", r)
	}
	if f := w.join("g", withID(ids[1]), withProtocols("range", "new")); f.Ready() || w.state("g") != PreparingRebalance {
		t.Errorf("changed join, group is %v", w.state("g"))
	}
	isErr(t, "parked sync", now(t, follower).Err, ErrRebalanceInProgress)
}

// Groups scenario 11.
func TestMemberMustShareTypeAndAProtocol(t *testing.T) {
	w := newWorld(t)
	w.stable("g", nil)
	isErr(t, "other type", now(t, w.join("g", withType("connect"))).Err, ErrInconsistentProtocol)
	isErr(t, "disjoint protocols", now(t, w.join("g", withProtocols("sticky", ""))).Err, ErrInconsistentProtocol)
}

// Groups scenario 12.
func TestEmptyGroupTakesAnotherType(t *testing.T) {
	w := newWorld(t)
	ids, _ := w.stable("g", []joinOption{withType("connect")})
	w.leave("g", LeaveMember{MemberID: ids[0]})
	if w.state("g") != Empty {
		t.Fatal(w.state("g"))
	}
	if r := now(t, w.join("g")); r.Err != nil || *r.ProtocolType != "consumer" {
		t.Errorf("%+v", r)
	}
}

// Groups scenario 13.
func TestSilentMemberIsLeftBehindAfterTheRebalanceTimeout(t *testing.T) {
	w := newWorld(t)
	long := []joinOption{withSession(10 * time.Minute), withRebalance(2 * time.Minute)}
	ids, gen := w.stable("g", []joinOption{withSession(10 * time.Minute)}, long)
	a := w.join("g", withID(ids[0]), withSession(10*time.Minute))
	w.clock.Advance(2*time.Minute - 1)
	if a.Ready() {
		t.Fatal("the join phase ended before the longest rebalance timeout")
	}
	w.clock.Advance(1)
	if r := now(t, a); r.Generation != gen+1 || len(r.Members) != 1 {
		t.Errorf("%+v", r)
	}
	isErr(t, "heartbeat of the member left behind", w.heartbeat("g", ids[1], gen), ErrUnknownMember)
}

// Groups scenario 14.
func TestNewMemberWhoseClientVanishedIsRemovedAfterFiveMinutes(t *testing.T) {
	w := newWorld(t)
	slow := []joinOption{withSession(20 * time.Minute), withRebalance(20 * time.Minute)}
	w.stable("g", slow)
	b := w.join("g", slow...)
	w.clock.Advance(5*time.Minute - 1)
	if b.Ready() {
		t.Fatal("removed too early")
	}
	w.clock.Advance(1)
	isErr(t, "parked join", now(t, b).Err, ErrUnknownMember)
	if d, _ := w.c.Describe("g"); len(d.Members) != 1 {
		t.Errorf("%d members", len(d.Members))
	}
}

// A member that does not know its ID yet is not held to its session while it waits (groups 4).
func TestNewMemberOutlivesItsSessionWhileParked(t *testing.T) {
	w := newWorld(t)
	w.stable("g", []joinOption{withSession(20 * time.Minute), withRebalance(4 * time.Minute)})
	b := w.join("g")
	w.clock.Advance(4*time.Minute - 1)
	if b.Ready() {
		t.Fatal("answered early")
	}
	w.clock.Advance(1)
	if r := now(t, b); r.Err != nil || len(r.Members) != 1 {
		t.Errorf("%+v", r)
	}
}

// Groups scenario 29.
func TestFullGroupRefuses(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.MaxSize = 1 })
	ids, gen := w.stable("g", nil)
	isErr(t, "second member", now(t, w.join("g")).Err, ErrGroupFull)
	isErr(t, "the first", w.heartbeat("g", ids[0], gen), nil)
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

// Groups 4, initial rebalance: the delay is run to its end, and extended while members come.
func TestInitialDelayIsExtendedByNewMembers(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.InitialRebalanceDelay = 3 * time.Second })
	a := w.join("g", withRebalance(7*time.Second))
	w.clock.Advance(2 * time.Second)
	b := w.join("g", withRebalance(7*time.Second))
	w.clock.Advance(1 * time.Second) // 3 s: extended by min(3, 7-3)
	w.clock.Advance(2 * time.Second)
	c := w.join("g", withRebalance(7*time.Second))
	w.clock.Advance(1 * time.Second) // 6 s: extended by what is left, 4-3
	if a.Ready() || b.Ready() || c.Ready() {
		t.Fatal("ended before the extensions were used up")
	}
	w.clock.Advance(1*time.Second - 1)
	if a.Ready() {
		t.Fatal("ended early")
	}
	w.clock.Advance(1)
	if r := now(t, a); r.Generation != 1 || len(r.Members) != 3 {
		t.Errorf("%+v", r)
	}
	now(t, b)
	now(t, c)
}

func TestInitialDelayWithoutFurtherMembers(t *testing.T) {
	w := newWorld(t, func(c *Config) { c.InitialRebalanceDelay = 3 * time.Second })
	a := w.join("g")
	w.clock.Advance(3*time.Second - 1)
	if a.Ready() {
		t.Fatal("answered early")
	}
	w.clock.Advance(1)
	now(t, a)
}

// Groups 9: every member votes for the first of its own that all support.
func TestProtocolWithMostVotesIsChosen(t *testing.T) {
	w := newWorld(t)
	ids, _ := w.stable("g",
		[]joinOption{withProtocols("only-a", "", "x", "ax", "y", "ay")},
		[]joinOption{withProtocols("y", "by", "x", "bx")},
		[]joinOption{withProtocols("y", "cy", "x", "cx")})
	d, err := w.c.Describe("g")
	if err != nil || d.Protocol != "y" || string(d.Members[0].Metadata) != "ay" {
		t.Errorf("%+v %v, leader %s", d, err, ids[0])
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
