package groupcoordinator

import (
	"testing"
	"time"

	"once/internal/clock"
)

func nobody(string) bool { return false }

// The cluster's clock stands, and time passes: a member that has said nothing for its session timeout does not live, so
// a move that keeps those who live takes its session along, as a whole or step by step.
func TestMovesExpireMembersThatHaveDiedMeanwhile(t *testing.T) {
	realTime := clock.NewManual(time.Unix(0, 0))
	w := newWorld(t, func(c *Config) { c.RealTime = realTime })
	ids, generation := w.stable("g", nil, nil)
	members := func() int {
		d, err := w.c.Describe("g")
		if err != nil {
			t.Fatal(err)
		}
		return len(d.Members)
	}
	realTime.Advance(session - time.Second)
	w.c.ExpireSilent(time.Hour, nobody)
	if n := members(); n != 2 {
		t.Fatalf("%d members: all live", n)
	}
	isErr(t, "heartbeat", w.heartbeat("g", ids[0], generation), nil)
	realTime.Advance(2 * time.Second)
	for range 9 {
		w.c.ExpireSilent(time.Second, nobody)
	}
	if n := members(); n != 2 {
		t.Fatalf("%d members: a session is not over yet", n)
	}
	w.c.ExpireSilent(time.Second, nobody)
	isErr(t, "heartbeat of who lives", w.heartbeat("g", ids[0], generation), ErrRebalanceInProgress)
	isErr(t, "heartbeat of who died", w.heartbeat("g", ids[1], generation), ErrUnknownMember)
	w.join("g", withID(ids[0])) // and waits for nobody: it is the only one
	realTime.Advance(time.Hour)
	w.c.ExpireSilent(time.Hour, nobody)
	if n := members(); n != 0 {
		t.Errorf("%d members", n)
	}
}

// The offsets of a group expire when it has been empty for their retention on the cluster's clock, however far that was
// moved while sessions stood.
func TestOffsetsExpireByTheClockOfTheCluster(t *testing.T) {
	sessions := clock.NewManual(time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC))
	w := newWorld(t, func(c *Config) { c.Members, c.OffsetsRetention = sessions, time.Hour })
	ids, generation := w.stable("g", nil)
	isErr(t, "commit", w.commit("g", "u", 0, 5, as(ids[0], generation)), nil)
	w.clock.Advance(2 * time.Hour) // the offset of a topic without subscription goes; the sessions stand
	isErr(t, "commit", w.commit("g", "t", 0, 5, as(ids[0], generation)), nil)
	w.leave("g", LeaveMember{MemberID: ids[0]})
	w.clock.Advance(time.Hour - time.Minute)
	w.wantOffset("g", "t", 0, false, 5)
	w.clock.Advance(2 * time.Minute)
	w.wantOffset("g", "t", 0, false, -1)
}
