package groupcoordinator

import (
	"errors"
	"testing"
	"time"
)

func i1() []joinOption { return []joinOption{withInstance("i1")} }

// Groups scenarios 24 and 26.
func TestStaticMemberComesBackWithoutARebalance(t *testing.T) {
	w := newWorld(t)
	ids, gen := w.stable("g", i1(), nil)
	r := now(t, w.join("g", withInstance("i1"), version(9)))
	if r.Err != nil || r.Generation != gen || r.MemberID == ids[0] || r.LeaderID != r.MemberID || !r.SkipAssignment || len(r.Members) != 2 {
		t.Errorf("%+v", r)
	}
	if w.state("g") != Stable {
		t.Fatal(w.state("g"))
	}
	if got := now(t, w.sync("g", r.MemberID, gen)); string(got.Assignment) != "for "+ids[0] {
		t.Errorf("assignment %q %v", got.Assignment, got.Err)
	}
	isErr(t, "other member", w.heartbeat("g", ids[1], gen), nil)
	old := HeartbeatRequest{GroupID: "g", MemberID: ids[0], InstanceID: text("i1"), Generation: gen}
	isErr(t, "old process", w.c.Heartbeat(&old), ErrFencedInstance)
	w.restart()
	isErr(t, "after a restart", w.heartbeat("g", r.MemberID, gen), nil)
	isErr(t, "old process after a restart", w.c.Heartbeat(&old), ErrFencedInstance)
}

// Groups scenario 24 for a follower: nothing to assign, nobody to see.
func TestStaticFollowerComesBack(t *testing.T) {
	w := newWorld(t)
	ids, gen := w.stable("g", nil, i1())
	r := now(t, w.join("g", withInstance("i1"), version(9)))
	if r.Err != nil || r.Generation != gen || r.LeaderID != ids[0] || r.SkipAssignment || len(r.Members) != 0 {
		t.Errorf("%+v", r)
	}
}

// Groups scenario 25.
func TestOldClientOfAStaticLeaderActsAsFollower(t *testing.T) {
	w := newWorld(t)
	ids, gen := w.stable("g", i1())
	r := now(t, w.join("g", withInstance("i1"), version(8)))
	if r.Err != nil || r.Generation != gen || r.LeaderID != ids[0] || r.MemberID == ids[0] || r.SkipAssignment || len(r.Members) != 0 {
		t.Errorf("%+v", r)
	}
	if got := now(t, w.sync("g", r.MemberID, gen)); string(got.Assignment) != "for "+ids[0] {
		t.Errorf("assignment %q %v", got.Assignment, got.Err)
	}
}

// Groups scenario 26: what the old incarnation had parked.
func TestReplacedStaticMemberIsFencedWhileParked(t *testing.T) {
	w := newWorld(t)
	ids, gen := w.stable("g", i1(), nil)
	parkedJoin := w.join("g", withInstance("i1"), withID(ids[0]))
	again := w.join("g", withInstance("i1"), version(9))
	isErr(t, "join", now(t, parkedJoin).Err, ErrFencedInstance)
	now(t, w.join("g", withID(ids[1])))
	r := now(t, again)
	if r.Generation != gen+1 || r.LeaderID != r.MemberID {
		t.Fatalf("%+v", r)
	}
	now(t, w.sync("g", r.MemberID, gen+1))

	// The leader's role stays with its ID; the follower is the one replaced while its Sync is parked.
	w = newWorld(t)
	ids, _ = w.stable("g", nil, i1())
	w.join("g", withID(ids[0]))
	gen = now(t, w.join("g", withID(ids[1]), withInstance("i1"))).Generation
	parkedSync := w.sync("g", ids[1], gen)
	if w.join("g", withInstance("i1"), version(9)).Ready() || w.state("g") != PreparingRebalance {
		t.Errorf("replacement in CompletingRebalance: group is %v", w.state("g"))
	}
	isErr(t, "sync", now(t, parkedSync).Err, ErrFencedInstance)
}

// Groups 8: a replacement whose protocols change what would be chosen does rebalance.
func TestStaticMemberWithOtherProtocolsRebalances(t *testing.T) {
	w := newWorld(t)
	both := withProtocols("range", "", "sticky", "")
	w.stable("g", []joinOption{withInstance("i1"), both}, []joinOption{both})
	if w.join("g", withInstance("i1"), version(9), withProtocols("sticky", "")).Ready() || w.state("g") != PreparingRebalance {
		t.Errorf("group is %v", w.state("g"))
	}
}

// Groups scenario 23.
func TestStaticMemberIsRemovedByItsInstanceID(t *testing.T) {
	w := newWorld(t)
	ids, gen := w.stable("g", nil, i1())
	r := w.leave("g", LeaveMember{InstanceID: text("i2")}, LeaveMember{MemberID: ids[0], InstanceID: text("i1")}, LeaveMember{InstanceID: text("i1")})
	isErr(t, "unknown instance", r.Members[0], ErrUnknownMember)
	isErr(t, "somebody else's instance", r.Members[1], ErrFencedInstance)
	isErr(t, "instance", r.Members[2], nil)
	isErr(t, "who stays", w.heartbeat("g", ids[0], gen), ErrRebalanceInProgress)
}

// Groups scenarios 27, 28.
func TestSilentStaticMemberStaysUntilItsSessionEnds(t *testing.T) {
	w := newWorld(t)
	long := []joinOption{withSession(5 * time.Minute), withRebalance(time.Minute)}
	ids, gen := w.stable("g", long, append(long, withInstance("i1")))
	a := w.join("g", append(long, withID(ids[0]))...)
	w.clock.Advance(time.Minute)
	r := now(t, a)
	if r.Generation != gen+1 || len(r.Members) != 2 || *r.Members[1].InstanceID != "i1" {
		t.Fatalf("%+v", r)
	}
	now(t, w.sync("g", ids[0], gen+1))
	// Its session goes on from the answer that the group got, and its sync is awaited as anybody's.
	w.clock.Advance(time.Minute)
	isErr(t, "leader", w.heartbeat("g", ids[0], gen+1), ErrRebalanceInProgress)
}

// Groups scenario 27.
func TestStaticMembersSessionEnds(t *testing.T) {
	w := newWorld(t)
	ids, gen := w.stable("g", []joinOption{withSession(time.Minute)}, i1())
	w.clock.Advance(session)
	isErr(t, "leader", w.heartbeat("g", ids[0], gen), ErrRebalanceInProgress)
	if d, _ := w.c.Describe("g"); len(d.Members) != 1 {
		t.Errorf("%d members", len(d.Members))
	}
}

// Groups 3.4: with only silent static members nobody can lead; the phase is run again.
func TestJoinPhaseWithoutAnyoneJoinedWaits(t *testing.T) {
	w := newWorld(t)
	long := withSession(20 * time.Minute)
	ids, gen := w.stable("g", []joinOption{long, withInstance("i1")}, []joinOption{withSession(2 * time.Minute)})
	w.clock.Advance(2 * time.Minute) // the dynamic member is gone, the static one silent
	w.clock.Advance(5 * time.Minute)
	if w.state("g") != PreparingRebalance {
		t.Fatal(w.state("g"))
	}
	r := now(t, w.join("g", long, withInstance("i1"), withID(ids[0])))
	if r.Err != nil || r.Generation != gen+1 {
		t.Errorf("%+v", r)
	}
}

// A replacement that cannot be written leaves the old incarnation in its place.
func TestReplacementThatCannotBeWritten(t *testing.T) {
	w := newWorld(t)
	ids, gen := w.stable("g", i1())
	w.stateLog("g").fail = errors.New("disk")
	isErr(t, "join", now(t, w.join("g", withInstance("i1"), version(9))).Err, ErrNotWritten)
	isErr(t, "old incarnation", w.heartbeat("g", ids[0], gen), nil)
}
