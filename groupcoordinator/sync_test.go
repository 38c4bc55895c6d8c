package groupcoordinator

import (
	"errors"
	"testing"
)

func text(s string) *string { return &s }

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
	w.c.expireOffsets()
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
