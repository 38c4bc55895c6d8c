package sharegroup

import (
	"testing"
	"time"

	"once/durability"
	"once/groupcoordinator/group"
)

// noTopics is an image without topics.
type noTopics struct{ group.Topics }

func (noTopics) Lookup(string) (group.Topic, bool) { return group.Topic{}, false }
func (noTopics) Version() uint64                   { return 1 }

// A member that says nothing for the session timeout leaves; a heartbeat begins it anew, and so does a restart
// (share-groups SG-80).
func TestSilentMemberLeaves(t *testing.T) {
	const timeout = 45 * time.Second
	g := New(&Config{Topics: noTopics{}, MaxSize: 10,
		Settings: func(string) Settings { return Settings{SessionTimeout: timeout} }}, "g")
	now := time.UnixMilli(1_000_000)
	do := func(step group.Step) {
		for _, r := range step.Records {
			g.Apply(r)
		}
		if step.After != nil {
			step.After(durability.Ticket{})
		}
	}
	beat := func(member string, epoch int32, names ...string) {
		t.Helper()
		h := &Heartbeat{GroupID: "g", MemberID: member, MemberEpoch: epoch, Subscribed: names}
		if err := g.Check(h); err != nil {
			t.Fatal(err)
		}
		var answer Answer
		do(g.Heartbeat(h, nil, now, &answer))
	}
	beat("m1", 0, "x")
	beat("m2", 0, "x")
	now = now.Add(30 * time.Second)
	beat("m1", g.members["m1"].epoch)
	if at := g.NextWake(); at != now.Add(15*time.Second) {
		t.Errorf("the next session ends %v from now", at.Sub(now))
	}
	now = now.Add(15*time.Second - time.Millisecond)
	if step := g.Due(now); len(step.Dropped) != 0 {
		t.Errorf("%v leave too early", step.Dropped)
	}
	now = now.Add(time.Millisecond)
	step := g.Due(now)
	if do(step); len(step.Dropped) != 1 || step.Dropped[0] != "m2" || g.Members() != 1 {
		t.Errorf("%v leave, %d members stay", step.Dropped, g.Members())
	}
	do(g.Resume(now))
	if at := g.NextWake(); at != now.Add(timeout) {
		t.Errorf("after a restart the session ends %v from now", at.Sub(now))
	}
	now = now.Add(timeout)
	if do(g.Due(now)); g.State() != group.StateEmpty {
		t.Errorf("the group is %s", g.State())
	}
}
