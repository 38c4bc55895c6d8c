package groupcoordinator

import (
	"errors"
	"testing"
	"time"
)

func text(s string) *string { return &s }

// Groups scenarios 15, 16, and the generation that does not exist yet.
func TestSyncIsRefused(t *testing.T) {
	w := newWorld(t)
	ids, gen := w.stable("g", nil)
	isErr(t, "unknown group", now(t, w.sync("h", "x", 1)).Err, ErrUnknownMember)
	isErr(t, "unknown member", now(t, w.sync("g", "x", gen)).Err, ErrUnknownMember)
	isErr(t, "old generation", now(t, w.sync("g", ids[0], gen-1)).Err, ErrIllegalGeneration)
	isErr(t, "no group ID", now(t, w.sync("", ids[0], gen)).Err, ErrInvalidGroupID)
	other := SyncRequest{GroupID: "g", MemberID: ids[0], Generation: gen, ProtocolType: text("consumer"), ProtocolName: text("sticky")}
	isErr(t, "other protocol", now(t, w.c.Sync(&other)).Err, ErrInconsistentProtocol)
	other.ProtocolName, other.ProtocolType = text("range"), text("connect")
	isErr(t, "other type", now(t, w.c.Sync(&other)).Err, ErrInconsistentProtocol)
	other.ProtocolType = text("consumer")
	isErr(t, "the right ones", now(t, w.c.Sync(&other)).Err, nil)
	w.join("g")
	isErr(t, "while preparing", now(t, w.sync("g", ids[0], gen)).Err, ErrRebalanceInProgress)
}

// Groups scenario 17.
func TestMemberThatTheLeaderForgotGetsAnEmptyAssignment(t *testing.T) {
	w := newWorld(t)
	ids, _ := w.stable("g", nil, nil)
	w.join("g", withID(ids[0]))
	gen := now(t, w.join("g", withID(ids[1]))).Generation
	b := w.sync("g", ids[1], gen)
	now(t, w.sync("g", ids[0], gen, ids[0], "all", "stranger", "x"))
	if r := now(t, b); r.Err != nil || r.Assignment == nil || len(r.Assignment) != 0 {
		t.Errorf("%+v", r)
	}
	if d, _ := w.c.Describe("g"); len(d.Members) != 2 {
		t.Errorf("%+v", d)
	}
}

// Groups scenario 18.
func TestLeaderThatNeverSyncsIsRemoved(t *testing.T) {
	w := newWorld(t)
	long := []joinOption{withSession(10 * time.Minute)}
	ids, _ := w.stable("g", long, long)
	w.join("g", append(long, withID(ids[0]))...)
	gen := now(t, w.join("g", append(long, withID(ids[1]))...)).Generation
	b := w.sync("g", ids[1], gen)
	w.clock.Advance(time.Minute - 1)
	if b.Ready() {
		t.Fatal("answered before the rebalance timeout")
	}
	w.clock.Advance(1)
	isErr(t, "follower's sync", now(t, b).Err, ErrRebalanceInProgress)
	isErr(t, "leader's heartbeat", w.heartbeat("g", ids[0], gen), ErrUnknownMember)
	isErr(t, "follower's heartbeat", w.heartbeat("g", ids[1], gen), ErrRebalanceInProgress)
}

// Groups 4, sync timer in Stable: a follower that never asked for its assignment is removed, too.
func TestFollowerThatNeverSyncsIsRemoved(t *testing.T) {
	w := newWorld(t)
	long := []joinOption{withSession(10 * time.Minute)}
	ids, _ := w.stable("g", long, long)
	w.join("g", append(long, withID(ids[0]))...)
	gen := now(t, w.join("g", append(long, withID(ids[1]))...)).Generation
	now(t, w.sync("g", ids[0], gen))
	w.clock.Advance(time.Minute)
	isErr(t, "follower", w.heartbeat("g", ids[1], gen), ErrUnknownMember)
	isErr(t, "leader", w.heartbeat("g", ids[0], gen), ErrRebalanceInProgress)
}

// Groups scenario 19.
func TestRepeatedSyncOfTheLeaderChangesNothing(t *testing.T) {
	w := newWorld(t)
	ids, gen := w.stable("g", nil)
	if r := now(t, w.sync("g", ids[0], gen, ids[0], "another")); r.Err != nil || string(r.Assignment) != "for "+ids[0] {
		t.Errorf("%+v", r)
	}
}

// Groups scenario 20.
func TestHeartbeat(t *testing.T) {
	w := newWorld(t)
	ids, gen := w.stable("g", nil)
	isErr(t, "stable", w.heartbeat("g", ids[0], gen), nil)
	isErr(t, "wrong generation", w.heartbeat("g", ids[0], gen+1), ErrIllegalGeneration)
	isErr(t, "unknown member", w.heartbeat("g", "x", gen), ErrUnknownMember)
	isErr(t, "unknown group", w.heartbeat("h", ids[0], gen), ErrUnknownMember)
	isErr(t, "no group ID", w.heartbeat("", ids[0], gen), ErrInvalidGroupID)
	now(t, w.join("g", withID(ids[0])))
	if w.state("g") != CompletingRebalance {
		t.Fatal(w.state("g"))
	}
	isErr(t, "completing", w.heartbeat("g", ids[0], gen+1), nil)
	w.join("g")   // prepares again
	for range 3 { // every heartbeat extends the session beyond what it would have been
		w.clock.Advance(session - 1)
		isErr(t, "preparing", w.heartbeat("g", ids[0], gen+1), ErrRebalanceInProgress)
	}
}

// Groups scenario 21.
func TestSilentMemberIsRemoved(t *testing.T) {
	w := newWorld(t)
	ids, gen := w.stable("g", nil, nil)
	w.clock.Advance(session / 2)
	isErr(t, "heartbeat", w.heartbeat("g", ids[0], gen), nil)
	w.clock.Advance(session/2 - 1)
	isErr(t, "still there", w.heartbeat("g", ids[0], gen), nil)
	w.clock.Advance(1)
	isErr(t, "after the other's session", w.heartbeat("g", ids[0], gen), ErrRebalanceInProgress)
	isErr(t, "the silent one", w.heartbeat("g", ids[1], gen), ErrUnknownMember)
	if r := now(t, w.join("g", withID(ids[0]))); r.Generation != gen+1 || len(r.Members) != 1 {
		t.Errorf("%+v", r)
	}
}

// Groups 4: a session is not counted while a Join or Sync is parked, and starts with the answer.
func TestSessionRestsWhileParked(t *testing.T) {
	w := newWorld(t)
	ids, gen := w.stable("g", nil, nil)
	w.commit("g", "t", 0, 1, as(ids[0], gen)) // without offsets the group would go with its members
	b := w.sync("g", ids[1], gen)
	now(t, b)
	a := w.join("g", withID(ids[0]))
	for range 5 {
		w.clock.Advance(session / 2)
		isErr(t, "other member", w.heartbeat("g", ids[1], gen), ErrRebalanceInProgress)
	}
	if a.Ready() {
		t.Fatal("the parked member was dropped")
	}
	now(t, w.join("g", withID(ids[1])))
	w.clock.Advance(session - 1)
	isErr(t, "after the answer", w.heartbeat("g", ids[0], gen+1), nil)
	w.clock.Advance(session)
	if w.state("g") != Empty {
		t.Error("the answer did not start the sessions again")
	}
}

// Groups 4: the answer to a Join starts the session, also of a member whose old one has run out.
func TestSessionBeginsWithTheAnswerToTheJoin(t *testing.T) {
	w := newWorld(t)
	slow := withSession(30 * time.Second)
	ids, gen := w.stable("g", nil, []joinOption{slow})
	w.commit("g", "t", 0, 1, as(ids[0], gen)) // without offsets the group would go with its members
	w.join("g", withID(ids[0]))
	w.clock.Advance(20 * time.Second)
	now(t, w.join("g", withID(ids[1]), withSession(session)))
	w.clock.Advance(session - 1)
	if w.state("g") != CompletingRebalance {
		t.Fatal("too early", w.state("g"))
	}
	w.clock.Advance(1)
	if w.state("g") != Empty {
		t.Error(w.state("g"))
	}
}

// A new member that does heartbeat is held to its session like anybody, even while its Join is parked.
func TestNewMemberThatHeartbeatsIsHeldToItsSession(t *testing.T) {
	w := newWorld(t)
	slow := []joinOption{withSession(20 * time.Minute), withRebalance(20 * time.Minute)}
	_, gen := w.stable("g", slow)
	id := now(t, w.join("g", version(5))).MemberID
	b := w.join("g", version(5), withID(id))
	isErr(t, "heartbeat", w.heartbeat("g", id, gen), ErrRebalanceInProgress)
	w.clock.Advance(session)
	isErr(t, "parked join", now(t, b).Err, ErrUnknownMember)
}

// Groups scenario 22.
func TestLeave(t *testing.T) {
	w := newWorld(t)
	ids, gen := w.stable("g", nil, nil)
	r := w.leave("g", LeaveMember{MemberID: ids[1]}, LeaveMember{MemberID: "x"})
	isErr(t, "top", r.Err, nil)
	isErr(t, "known", r.Members[0], nil)
	isErr(t, "unknown", r.Members[1], ErrUnknownMember)
	isErr(t, "who stays", w.heartbeat("g", ids[0], gen), ErrRebalanceInProgress)
	r = w.leave("h", LeaveMember{MemberID: ids[1]}, LeaveMember{MemberID: "x"})
	isErr(t, "unknown group", r.Err, nil)
	isErr(t, "its members", errors.Join(r.Members...), ErrUnknownMember)
	isErr(t, "no group ID", w.leave("").Err, ErrInvalidGroupID)
}

func TestLeaveOfThePendingAndTheLast(t *testing.T) {
	w := newWorld(t)
	id := now(t, w.join("g", version(5))).MemberID
	isErr(t, "pending", w.leave("g", LeaveMember{MemberID: id}).Members[0], nil)
	isErr(t, "its join", now(t, w.join("g", withID(id))).Err, ErrUnknownMember)
	ids, gen := w.stable("g", nil)
	w.leave("g", LeaveMember{MemberID: ids[0]})
	if w.state("g") != Empty {
		t.Fatal(w.state("g"))
	}
	isErr(t, "heartbeat", w.heartbeat("g", ids[0], gen+1), ErrUnknownMember)
	w.restart()
	if w.state("g") != Empty {
		t.Fatal("after a restart", w.state("g"))
	}
}

// Groups 2: a pending member holds the join phase up, and lets it go when it leaves or expires.
func TestPendingMemberHoldsTheJoinPhase(t *testing.T) {
	for name, gone := range map[string]func(w *world, id string){
		"leaves":  func(w *world, id string) { w.leave("g", LeaveMember{MemberID: id}) },
		"expires": func(w *world, _ string) { w.clock.Advance(session) },
		"joins":   func(w *world, id string) { w.join("g", withID(id)) },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			ids, gen := w.stable("g", []joinOption{withSession(time.Minute)})
			id := now(t, w.join("g", version(5))).MemberID
			a := w.join("g", withID(ids[0]), withSession(time.Minute))
			if a.Ready() {
				t.Fatal("the phase ended without the pending member")
			}
			gone(w, id)
			if r := now(t, a); r.Err != nil || r.Generation != gen+1 {
				t.Errorf("%+v", r)
			}
		})
	}
}

// Groups 5: an assignment that cannot be written is given to nobody, and the group tries again.
func TestAssignmentThatCannotBeWrittenStartsAnotherPhase(t *testing.T) {
	w := newWorld(t)
	ids, _ := w.stable("g", nil, nil)
	w.join("g", withID(ids[0]))
	gen := now(t, w.join("g", withID(ids[1]))).Generation
	b := w.sync("g", ids[1], gen)
	broken := errors.New("disk")
	w.stateLog("g").fail = broken
	isErr(t, "leader", now(t, w.sync("g", ids[0], gen, ids[0], "x")).Err, ErrNotWritten)
	isErr(t, "cause", now(t, b).Err, broken)
	if w.state("g") != PreparingRebalance {
		t.Error(w.state("g"))
	}
	w.stateLog("g").fail = nil
	w.join("g", withID(ids[0]))
	if r := now(t, w.join("g", withID(ids[1]))); r.Generation != gen+1 {
		t.Errorf("%+v", r)
	}
}

// A failed append leaves memory as it was, and a timer tries again.
func TestFailedAppendChangesNothing(t *testing.T) {
	w := newWorld(t)
	ids, gen := w.stable("g", nil)
	w.commit("g", "t", 0, 1, as(ids[0], gen)) // without offsets the group would go with its members
	w.commit("o", "t", 0, 1)
	before := dump(w.c)
	for _, j := range w.stateLogs {
		j.fail = errors.New("disk")
	}
	isErr(t, "leave", w.leave("g", LeaveMember{MemberID: ids[0]}).Err, ErrNotWritten)
	isErr(t, "commit", w.commit("o", "t", 0, 2), ErrNotWritten)
	isErr(t, "stage", w.stage(1, "o", "t", 0, 2, "", -1), ErrNotWritten)
	isErr(t, "delete", now(t, w.c.DeleteGroup("o")).Err, ErrNotWritten)
	isErr(t, "new group", now(t, w.join("n")).Err, ErrNotWritten)
	isErr(t, "topic", w.c.OnTopicDeleted("t", [16]byte{}), ErrNotWritten)
	w.c.ExpireOffsets()
	if after := dump(w.c); after != before {
		t.Errorf("changed from\n%s\nto\n%s", before, after)
	}
	isErr(t, "member", w.heartbeat("g", ids[0], gen), nil)
	w.clock.Advance(session)
	isErr(t, "member whose end cannot be written", w.heartbeat("g", ids[0], gen), nil)
	for _, j := range w.stateLogs {
		j.fail = nil
	}
	w.clock.Advance(2 * session)
	if w.state("g") != Empty {
		t.Error(w.state("g"))
	}
}
