package fault

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func arm(t *testing.T, p *Points, r Rule) *Fault {
	t.Helper()
	f, err := p.Arm(r)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestRuleThatCannotActIsRefused(t *testing.T) {
	for want, r := range map[string]Rule{
		"no such point":        {Point: numPoints, Do: Action{Kill: true}},
		"0 actions at":         {Point: TxnMarker},
		"2 actions at":         {Point: TxnMarker, Do: Action{Kill: true, Hold: true}},
		"negative":             {Point: TxnMarker, Do: Action{Delay: -time.Second}},
		"has no such action":   {Point: TxnExpire, Do: Action{Kill: true}},
		"append has no such":   {Point: PartitionAppend, Do: Action{Hold: true}},
		"appended has no such": {Point: PartitionAppended, Do: Action{Error: ErrInjected}},
	} {
		if _, err := NewPoints().Arm(r); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v, want %q", r, err, want)
		}
	}
}

func TestShortForm(t *testing.T) {
	for text, want := range map[string]string{
		"txn.marker=kill":          "txn.marker {kill} true true",
		"txn.marker=kill@2":        "txn.marker {kill} false true",
		"txn.expire=hold":          "txn.expire {hold} true true",
		"group.append=error@1":     "group.append {error} true false",
		"disk.sync=delay:1m":       "disk.sync {1m0s} true true",
		"partition.append=offline": "partition.append {offline} true true",
		"disk.sync=offline":        "fault: disk.sync has no such action",
		"disk.sync=hold":           "fault: disk.sync has no such action",
		"disk.sync=delay":          `fault: "disk.sync=delay": time: invalid duration ""`,
		"disk.sync=kill:now":       `fault: "disk.sync=kill:now": kill takes no argument`,
		"disk.sync=stop":           `fault: "disk.sync=stop": "stop" is no action`,
		"disk.sync=kill@0":         `fault: "disk.sync=kill@0": the count must be above 0`,
		"disk.sink=kill":           `fault: "disk.sink=kill": "disk.sink" is no point`,
		"disk.sync":                `fault: "disk.sync" is not of the form POINT=ACTION`,
		"disk.sync=delay:-5s@1":    "fault: the delay is negative",
	} {
		r, err := Parse(text)
		got := fmt.Sprint(err)
		if err == nil {
			fires := func() bool { return r.Fires == nil || r.Fires(Attributes{}) }
			got = fmt.Sprintf("%v {%s} %v %v", r.Point, describe(r.Do), fires(), fires())
		}
		if got != want {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
}

func describe(a Action) string {
	switch {
	case a.Kill:
		return "kill"
	case a.Hold:
		return "hold"
	case a.Offline:
		return "offline"
	case a.Error != nil:
		return "error"
	}
	return a.Delay.String()
}

// The first fault that fires acts, the others see nothing of it; a fault that is disarmed does not act.
func TestFirstFaultThatFiresActs(t *testing.T) {
	p := NewPoints()
	one, two := errors.New("one"), errors.New("two")
	onX := func(at Attributes) bool { return at.Topic == "x" }
	first := arm(t, p, Rule{Point: PartitionAppend, Fires: onX, Do: Action{Error: one}})
	second := arm(t, p, Rule{Point: PartitionAppend, Fires: Nth(2), Do: Action{Error: two}})
	hit := func(topic string, want error) {
		t.Helper()
		if err := p.Hit(PartitionAppend, Attributes{Topic: topic}); err != want {
			t.Errorf("%s: %v, want %v", topic, err, want)
		}
	}
	hit("x", one)
	hit("y", nil) // the first that the second fault sees
	hit("y", two)
	hit("y", nil)
	if err := p.Hit(GroupAppend, Attributes{Topic: "x"}); err != nil {
		t.Errorf("another point: %v", err)
	}
	if a, b := first.Counts(), second.Counts(); a != (Counts{Triggered: 1}) || b != (Counts{Triggered: 1}) {
		t.Errorf("counts are %+v and %+v", a, b)
	}
	first.Disarm()
	hit("x", nil)
	p.Clear()
	if p.armed.Load() != 0 {
		t.Errorf("%b is armed", p.armed.Load())
	}
	var none *Points
	if hold, err := none.Meet(TxnMarker, Attributes{}); hold != nil || err != nil ||
		none.Hit(DiskSync, Attributes{}) != nil {
		t.Error("no points act")
	}
}

// heldAt asks a point that holds, and returns what becomes of it.
func heldAt(t *testing.T, p *Points, became *string) *Hold {
	t.Helper()
	hold, err := p.Meet(TxnMarker, Attributes{Topic: "x"})
	if hold == nil || err != nil {
		t.Fatalf("%v, %v: nothing is held", hold, err)
	}
	*became = "held"
	hold.Then(func() { *became = "resumed" }, func() { *became = "dropped" })
	return hold
}

func TestHeldCallsAreReleasedOnce(t *testing.T) {
	p := NewPoints()
	f := arm(t, p, Rule{Point: TxnMarker, Do: Action{Hold: true}})
	var a, b, c, d string
	heldAt(t, p, &a)
	heldAt(t, p, &b).Forget()
	if got := f.Counts(); got != (Counts{Triggered: 2, Held: 1}) {
		t.Errorf("counts are %+v", got)
	}
	if n := f.Release(); n != 1 || a != "resumed" || b != "held" {
		t.Errorf("%d released, %s, %s", n, a, b)
	}
	heldAt(t, p, &c)
	p.Suspend()
	if c != "dropped" || f.Release() != 0 || c != "dropped" {
		t.Errorf("after Suspend it is %s", c)
	}
	if hold, err := p.Meet(TxnMarker, Attributes{}); hold != nil || err != nil {
		t.Error("something is held while the cluster is not open")
	}
	p.Resume()
	heldAt(t, p, &d)
	f.Disarm()
	if hold, _ := p.Meet(TxnMarker, Attributes{}); d != "resumed" || hold != nil {
		t.Errorf("after Disarm it is %s, and what comes later %v", d, hold)
	}
}

// A release may come before the one who is held has said what follows.
func TestReleaseBeforeThen(t *testing.T) {
	p := NewPoints()
	f := arm(t, p, Rule{Point: TxnMarker, Do: Action{Hold: true}})
	released, _ := p.Meet(TxnMarker, Attributes{})
	f.Release()
	droppedOne, _ := p.Meet(TxnMarker, Attributes{})
	p.Suspend()
	for want, hold := range map[string]*Hold{"resumed": released, "dropped": droppedOne} {
		got := ""
		hold.Then(func() { got += "resumed" }, func() { got += "dropped" })
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// A delay where a point can hold is a hold that ends by itself; elsewhere the call waits. Both end with the cluster.
func TestDelayEndsByItselfAndWithTheCluster(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p, began := NewPoints(), time.Now()
		arm(t, p, Rule{Point: TxnMarker, Do: Action{Delay: time.Minute}})
		arm(t, p, Rule{Point: DiskSync, Do: Action{Delay: time.Hour}})
		hold, _ := p.Meet(TxnMarker, Attributes{})
		resumed := make(chan struct{})
		hold.Then(func() { close(resumed) }, nil)
		<-resumed
		if took := time.Since(began); took != time.Minute {
			t.Errorf("the hold took %v", took)
		}
		if err := p.Hit(DiskSync, Attributes{}); err != nil || time.Since(began) != time.Minute+time.Hour {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		began = time.Now()
		time.AfterFunc(time.Second, p.Suspend)
		if err := p.Hit(DiskSync, Attributes{}); err != nil || time.Since(began) != time.Second {
			t.Errorf("%v after %v, the cluster ended after 1s", err, time.Since(began))
		}
	})
}

func TestKillOfACluster(t *testing.T) {
	p, killed := NewPoints(), 0
	p.OnKill(func() { killed++ })
	arm(t, p, Rule{Point: DiskSync, Do: Action{Kill: true}})
	if err := p.Hit(DiskSync, Attributes{}); err != ErrKilled || killed != 1 {
		t.Errorf("%v, killed %d times", err, killed)
	}
}

func TestAwaitCounts(t *testing.T) {
	p := NewPoints()
	f := arm(t, p, Rule{Point: TxnMarker, Do: Action{Hold: true}})
	done, got := make(chan struct{}), make(chan bool)
	go func() { got <- f.Await(done, func(c Counts) bool { return c.Held == 2 }) }()
	for range 2 {
		_, _ = p.Meet(TxnMarker, Attributes{})
	}
	if !<-got {
		t.Error("two are held, and nobody hears of it")
	}
	go func() { got <- f.Await(done, func(c Counts) bool { return c.Held == 3 }) }()
	close(done)
	if <-got {
		t.Error("three are held")
	}
}

func TestUnarmedPointAllocatesNothing(t *testing.T) {
	for name, p := range map[string]*Points{"none": nil, "unarmed": NewPoints(), "another": another(t),
		"no match": withoutMatch(t)} {
		topic := "orders"
		if n := testing.AllocsPerRun(100, func() {
			_ = p.Hit(PartitionAppend, Attributes{Topic: topic, Partition: 3})
			_, _ = p.Meet(TxnMarker, Attributes{TransactionalID: "t", Topic: topic})
		}); n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

// another returns points of which another one is armed.
func another(t testing.TB) *Points {
	p := NewPoints()
	if _, err := p.Arm(Rule{Point: DiskSync, Do: Action{Kill: true}}); err != nil {
		t.Fatal(err)
	}
	return p
}

// withoutMatch returns points at which a rule does not fire.
func withoutMatch(t testing.TB) *Points {
	p := NewPoints()
	_, err := p.Arm(Rule{Point: PartitionAppend, Fires: func(at Attributes) bool { return at.Topic == "others" },
		Do: Action{Kill: true}})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func BenchmarkHit(b *testing.B) {
	for _, bench := range []struct {
		name string
		p    *Points
	}{{"no points", nil}, {"unarmed", NewPoints()}, {"another point is armed", another(b)},
		{"a rule that does not fire", withoutMatch(b)}} {
		b.Run(bench.name, func(b *testing.B) {
			b.ReportAllocs()
			topic := "orders"
			for b.Loop() {
				if err := bench.p.Hit(PartitionAppend, Attributes{Topic: topic, Partition: 3}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// A point at which nothing is armed takes no lock: it is passed while somebody holds it.
func TestPointTakesNoLock(t *testing.T) {
	p := NewPoints()
	if _, err := p.Arm(Rule{Point: TxnMarker, Do: Action{Hold: true}}); err != nil {
		t.Fatal(err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	passed := make(chan error)
	go func() {
		err := p.Hit(PartitionAppend, Attributes{})
		if hold, meetErr := p.Meet(TxnPrepare, Attributes{}); hold != nil || meetErr != nil {
			err = errors.Join(meetErr, errors.New("held"))
		}
		passed <- err
	}()
	select {
	case err := <-passed:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(time.Minute):
		t.Error("it waits for the lock")
	}
}

// Releases that come when the cluster has ended let go of nothing, and do not upset the wait for earlier ones.
func TestReleaseDuringTheEnd(t *testing.T) {
	p := NewPoints()
	f, err := p.Arm(Rule{Point: TxnMarker, Do: Action{Hold: true}})
	if err != nil {
		t.Fatal(err)
	}
	p.Suspend()
	var releases sync.WaitGroup
	var ended atomic.Int32
	for range 4 {
		releases.Go(func() {
			defer ended.Add(1)
			for range 1000 {
				f.Release()
			}
		})
	}
	for ended.Load() < 4 {
		p.Wait()
	}
	releases.Wait()
}
