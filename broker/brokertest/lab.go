package brokertest

import (
	"context"
	"time"

	"once/cluster"
	"once/findings"
	"once/internal/clock"
	"once/lab"
)

// Clock is the clock of the broker's cluster, for a test to move.
type Clock struct {
	b *Broker
	*clock.Movable
}

// Clock returns the clock.
func (b *Broker) Clock() Clock { return Clock{b, b.Cluster().Clock()} }

// Advance moves the clock forward, and returns what was done because of that. Members of groups that live are not
// thrown out, and keep their record locks; AdvanceAll moves their sessions and locks as well.
func (c Clock) Advance(d time.Duration) []clock.Event {
	return c.b.Cluster().AdvanceClock(d, cluster.MoveOptions{})
}

// AdvanceAll moves the clock forward, and with it the sessions of group members and the record locks of share groups.
func (c Clock) AdvanceAll(d time.Duration) []clock.Event {
	return c.b.Cluster().AdvanceClock(d, cluster.MoveOptions{ExpireMembers: true, ExpireLocks: true})
}

// Await waits until a condition holds, as POST /v1/await does, and fails the test if it does not come to.
func (b *Broker) Await(c lab.Condition) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), awaitTimeout)
	defer cancel()
	if _, err := lab.Await(ctx, b.Cluster(), c); err != nil {
		b.t.Fatal(err)
	}
}

// Findings returns what the broker has noticed about its clients, but for the codes in ignore. See package findings.
func (b *Broker) Findings(ignore ...findings.Code) []findings.Finding {
	b.t.Helper()
	all, on := b.Cluster().Findings(ignore...)
	if !on {
		b.t.Fatal("the lab is off (lab=false): nothing is noticed")
	}
	return all
}

// RequireNoFindings fails the test if the broker has noticed something, but for the codes in ignore.
func (b *Broker) RequireNoFindings(ignore ...findings.Code) {
	b.t.Helper()
	for _, f := range b.Findings(ignore...) {
		b.t.Errorf("%s (%d times): %s", f.Code, f.Count, f.Sentence)
	}
}

// ClearFindings forgets what the broker has noticed, and returns it.
func (b *Broker) ClearFindings() []findings.Finding {
	cleared, _ := b.Cluster().ClearFindings()
	return cleared
}

// Restart ends the cluster as said and opens it again from its files. Connections are closed.
func (b *Broker) Restart(how cluster.HowToStop) cluster.Recovery {
	b.t.Helper()
	found, err := b.Cluster().Restart(context.Background(), how, 0)
	if err != nil {
		b.t.Fatal(err)
	}
	return found
}

// ReloadCoordinators makes the coordinators drop their memory and read their logs, as POST /v1/coordinators/reload
// does.
func (b *Broker) ReloadCoordinators() cluster.Reloaded {
	b.t.Helper()
	v, ok := b.Cluster().View()
	if !ok {
		b.t.Fatal("the cluster is down")
	}
	defer v.End()
	loaded, err := v.ReloadCoordinators()
	if err != nil {
		b.t.Fatal(err)
	}
	return loaded
}
