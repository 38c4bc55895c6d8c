package brokertest

import (
	"context"
	"time"

	"once/faults"
)

// awaitTimeout bounds the waits of a test for a state that should come at once, on a machine that may be busy.
const awaitTimeout = time.Minute

// Fault is a rule of the broker that a test has made.
type Fault struct {
	b  *Broker
	ID string
}

// Fault makes a rule, behind the others. A rule that cannot be fails the test at once, and one that never fired fails
// it at its end.
func (b *Broker) Fault(rule faults.Rule) *Fault {
	b.t.Helper()
	state, err := b.Cluster().Rules().Add(rule)
	if err != nil {
		b.t.Fatal(err)
	}
	f := &Fault{b, state.ID}
	b.t.Cleanup(func() {
		if state, ok := b.Cluster().Rules().Remove(f.ID); ok && state.Triggered == 0 {
			b.t.Errorf("the fault %s %q was never triggered", state.ID, state.Name)
		}
	})
	return f
}

// State returns the counts of the rule, the last ones when it has ended.
func (f *Fault) State() faults.State {
	f.b.t.Helper()
	state, ok := f.b.Cluster().Rules().State(f.ID)
	if !ok {
		f.b.t.Fatalf("the fault %s has ended", f.ID)
	}
	return state
}

// Await waits until enough says so of the counts.
func (f *Fault) Await(enough func(faults.State) bool) {
	f.b.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), awaitTimeout)
	defer cancel()
	state, ok := f.b.Cluster().Rules().Await(ctx, f.ID, enough)
	if !ok || !enough(state) {
		f.b.t.Fatalf("the fault %s stands at %+v", f.ID, state)
	}
}

// AwaitHeld waits until the rule holds something.
func (f *Fault) AwaitHeld() {
	f.b.t.Helper()
	f.Await(func(s faults.State) bool { return s.Held > 0 })
}

// Release lets go of what the rule holds, and returns how much that was.
func (f *Fault) Release() int {
	n, _ := f.b.Cluster().Rules().Release(f.ID)
	return n
}

// End ends the rule, which must have fired.
func (f *Fault) End() {
	f.b.t.Helper()
	state, ok := f.b.Cluster().Rules().Remove(f.ID)
	if !ok || state.Triggered == 0 {
		f.b.t.Errorf("the fault %s %q was never triggered", f.ID, state.Name)
	}
}
