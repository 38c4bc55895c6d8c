package faults

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"once/internal/fault"
)

func made(t *testing.T) *Rules {
	t.Helper()
	return New(Options{
		Points: fault.NewPoints(), OffsetsPartition: func(string) int32 { return 3 },
		APIs: func() []API {
			return []API{
				{Key: 0, Name: "Produce", Names: Topics | Partitions | TransactionalIDs, Throttle: true},
				{Key: 26, Name: "EndTxn", Names: TransactionalIDs, Throttle: true},
				{Key: 17, Name: "SaslHandshake"},
			}
		},
	})
}

func ptr[T any](v T) *T { return &v }

func produce(clientID, topic string) *Request {
	return &Request{Key: 0, ClientID: clientID, Names: func() *Named {
		return &Named{Topics: []Topic{{topic,
			[]int32{0, 1}}}}
	}}
}

// Each row of the table of when, by the numbers of the matches at which it fires.
func TestWhen(t *testing.T) {
	for _, c := range []struct {
		when *When
		want string
	}{
		{nil, "1"},
		{&When{Times: ptr(1)}, "1"},
		{&When{Nth: ptr(3)}, "3"},
		{&When{Times: ptr(3)}, "1 2 3"},
		{&When{After: ptr(2), Times: ptr(2)}, "3 4"},
		{&When{After: ptr(0), Times: ptr(1)}, "1"},
		{&When{Always: true}, "1 2 3 4 5 6 7 8"},
		{&When{Probability: ptr(0.5), Seed: ptr(int64(7))}, "3 4 5 6 7 8"},
		{&When{Probability: ptr(0.5), Seed: ptr(int64(7)), Times: ptr(2)}, "3 4"},
		{&When{Probability: ptr(1.0), Times: ptr(2)}, "1 2"},
	} {
		for range 2 { // the same again
			r := made(t)
			state, err := r.Add(Rule{Match: Match{API: Names{"Produce"}, Topic: Names{"a"}}, When: c.when,
				Do: Do{LoseRequest: true}})
			if err != nil {
				t.Fatal(err)
			}
			var fired []string
			for i := range 8 {
				r.Decide(produce("", "other"))
				if r.Decide(produce("", "a")) != nil {
					fired = append(fired, fmt.Sprint(i+1))
				}
			}
			got := strings.Join(fired, " ")
			if state, _ = r.State(state.ID); got != c.want || state.Matched != 8 || state.Triggered != len(fired) {
				t.Errorf("%+v: fired at %s, want %s; %d matched, %d triggered", c.when, got, c.want, state.Matched, state.Triggered)
			}
		}
	}
}

// The first rule that fires decides; one that does not leaves the request to those behind it.
func TestFirstRuleThatFiresDecides(t *testing.T) {
	r := made(t)
	for _, rule := range []Rule{
		{Match: Match{API: Names{"Produce"}}, When: &When{Nth: ptr(2)}, Do: Do{LoseAnswer: true}},
		{Match: Match{ClientID: Names{"x-*"}}, When: &When{Always: true}, Do: Do{LoseRequest: true}},
		{When: &When{Always: true}, Do: Do{Duplicate: true}},
	} {
		if _, err := r.Add(rule); err != nil {
			t.Fatal(err)
		}
	}
	for i, c := range []struct{ client, want string }{{"x-1", "f2"}, {"y", "f1"}, {"y", "f3"}, {"x-", "f2"}} {
		if d := r.Decide(produce(c.client, "a")); d == nil || d.RuleID != c.want {
			t.Errorf("request %d: %+v, want %s", i, d, c.want)
		}
	}
	r.RemoveAll()
	if r.Concern(0, "x-1") || r.Decide(produce("x-1", "a")) != nil {
		t.Error("a rule acts after its end")
	}
}

// A rule that ends while a request asks it does nothing: nobody would let go of what it holds, nor close the connection
// that it swallows.
func TestRuleThatHasEndedHoldsNothing(t *testing.T) {
	for _, do := range []Do{{Hold: true}, {DelayAnswer: Duration(time.Second)}, {Blackhole: true}, {LoseAnswer: true}} {
		r := made(t)
		rule, err := r.Add(Rule{When: &When{Always: true}, Do: do})
		if err != nil {
			t.Fatal(err)
		}
		q := produce("", "a")
		names := q.Names
		q.Names = func() *Named {
			r.Remove(rule.ID)
			return names()
		}
		if d := r.Decide(q); d != nil {
			t.Errorf("%+v: %+v", do, d)
		}
		if len(r.mu.blackholes) != 0 {
			t.Errorf("%+v: %d connections are swallowed", do, len(r.mu.blackholes))
		}
	}
}

// What cannot be is refused when the rule is made, with the field.
func TestRulesThatAreRefused(t *testing.T) {
	fine := Do{LoseAnswer: true}
	second := Duration(time.Second)
	for _, c := range []struct {
		rule Rule
		want string
	}{
		{Rule{Match: Match{API: Names{"Nonsense"}}, Do: fine}, "match.api: \"Nonsense\" is not served"},
		{Rule{Match: Match{API: Names{"endtxn"}}, Do: fine}, "match.api"},
		{Rule{Match: Match{Point: "txn.nonsense"}, Do: Do{Kill: true}},
			"match.point: there is no \"txn.nonsense\"; allowed are disk.sync"},
		{Rule{Match: Match{Point: "txn.prepared"}, Do: Do{Kill: true}}, "match.point"},
		{Rule{Match: Match{Point: "txn.marker", API: Names{"EndTxn"}}, Do: Do{Kill: true}}, "match.api: cannot stand beside"},
		{Rule{Match: Match{API: Names{"EndTxn"}, Topic: Names{"a"}}, Do: fine}, "match.topic: EndTxn has none"},
		{Rule{Match: Match{API: Names{"Produce", "EndTxn"}, Partition: ptr(int32(1))}, Do: fine},
			"match.partition: EndTxn has none"},
		{Rule{Match: Match{API: Names{"Produce"}, Group: Names{"a"}}, Do: fine}, "match.group: Produce has none"},
		{Rule{Match: Match{API: Names{"SaslHandshake"}, TransactionalID: Names{"a"}}, Do: fine}, "match.transactionalId"},
		{Rule{Match: Match{API: Names{"Produce"}, Member: Names{"a"}}, Do: fine}, "match.member: Produce has none"},
		{Rule{Match: Match{Partition: ptr(int32(-1))}, Do: fine}, "match.partition: must not be negative"},
		{Rule{Match: Match{Topic: Names{strings.Repeat("x", maxTextBytes)}}, Do: fine},
			"match: must not have more than 16384 bytes"},
		{Rule{Match: Match{Topic: make(Names, maxTextBytes+1)}, Do: fine}, "match: must not have more than 16384 bytes"},
		{Rule{Name: strings.Repeat("x", maxTextBytes+1), Do: fine}, "match: must not have more than 16384 bytes"},
		{Rule{Match: Match{Point: "txn.prepare", Topic: Names{"a"}}, Do: Do{Kill: true}},
			"match.topic: txn.prepare has none"},
		{Rule{Match: Match{Point: "disk.sync", ClientID: Names{"a"}}, Do: Do{Fail: true}}, "match.clientId"},
		{Rule{Match: Match{Point: "disk.sync", User: Names{"a"}}, Do: Do{Fail: true}}, "match.user"},
		{Rule{Match: Match{Point: "txn.marker", Group: Names{"a*"}}, Do: Do{Hold: true}}, "match.group: must be one group"},
		{Rule{Match: Match{Point: "txn.marker", Group: Names{"a"}, Topic: Names{"t"}}, Do: Do{Hold: true}},
			"match.group: cannot stand beside"},
		{Rule{Match: Match{Point: "txn.complete"}, Do: Do{Error: "NOT_COORDINATOR"}},
			"do.error: is not possible at txn.complete; allowed are hold, delay, kill"},
		{Rule{Match: Match{Point: "txn.prepare"}, Do: Do{LoseAnswer: true}}, "do.loseAnswer: is not possible"},
		{Rule{Do: Do{Kill: true}}, "do.kill: is for inner points only"},
		{Rule{Do: Do{}}, "do: must have one action, it has 0"},
		{Rule{Do: Do{Hold: true, Delay: second}}, "do: must have one action, it has 2: delay, hold"},
		{Rule{Do: Do{LoseAnswer: true, CarriedOut: true}}, "do.carriedOut: goes with error only"},
		{Rule{Do: Do{Error: "NONSENSE"}}, "do.error"},
		{Rule{Do: Do{Error: "NONE"}}, "do.error"},
		{Rule{Do: Do{Delay: -second}}, "do.delay: must not be negative"},
		{Rule{Do: Do{DelayAnswer: -second}}, "do.delayAnswer: must not be negative"},
		{Rule{Match: Match{API: Names{"SaslHandshake"}}, Do: Do{Throttle: second}},
			"do.throttle: the answer of SaslHandshake"},
		{Rule{When: &When{}, Do: fine}, "when: must be one of"},
		{Rule{When: &When{Nth: ptr(1), Always: true}, Do: fine}, "when: must be one of"},
		{Rule{When: &When{Nth: ptr(0)}, Do: fine}, "when.nth"},
		{Rule{When: &When{Times: ptr(0)}, Do: fine}, "when.times"},
		{Rule{When: &When{After: ptr(1)}, Do: fine}, "when: must be one of"},
		{Rule{When: &When{After: ptr(1), Nth: ptr(1)}, Do: fine}, "when.after: goes with times"},
		{Rule{When: &When{After: ptr(-1), Times: ptr(1)}, Do: fine}, "when.after: must not"},
		{Rule{When: &When{Seed: ptr(int64(1)), Times: ptr(1)}, Do: fine}, "when.seed: goes with probability"},
		{Rule{When: &When{Probability: ptr(1.1)}, Do: fine}, "when.probability"},
		{Rule{When: &When{Probability: ptr(0.0)}, Do: fine}, "when.probability"},
	} {
		r := made(t)
		_, err := r.Add(c.rule)
		if err == nil || !strings.HasPrefix(err.Error(), c.want) {
			t.Errorf("%+v: %v, want %q", c.rule, err, c.want)
		}
		if len(r.States()) != 0 {
			t.Errorf("%+v is there", c.rule)
		}
		if _, at, err := r.Replace([]Rule{{Do: fine}, c.rule}); err == nil || at != 1 || len(r.States()) != 0 {
			t.Errorf("%+v in a list: %v at %d, %d rules", c.rule, err, at, len(r.States()))
		}
	}
}

func TestNamesMatch(t *testing.T) {
	for _, c := range []struct {
		names Names
		name  string
		want  bool
	}{
		{nil, "a", true}, {Names{"a"}, "a", true}, {Names{"a"}, "ab", false}, {Names{"b", "a"}, "a", true},
		{Names{"a*"}, "ab", true}, {Names{"a*"}, "a", true}, {Names{"a*"}, "ba", false}, {Names{"*"}, "", true},
		{Names{"*b"}, "ab", true}, {Names{"*b"}, "aba", false}, {Names{"a*c*e"}, "abcde", true},
		{Names{"a*c*e"}, "ace", true},
		{Names{"a*a"}, "a", false}, {Names{"a**b"}, "axb", true}, {Names{"*x*"}, "axxb", true},
		{Names{"a*bc"}, "abcbc", true}, {Names{""}, "", true},
	} {
		if got := c.names.Match(c.name); got != c.want {
			t.Errorf("%q of %q: %v", c.names, c.name, got)
		}
	}
}

func TestDurationsAreWrittenShort(t *testing.T) {
	for d, want := range map[time.Duration]string{
		15 * time.Minute: "15m", 2 * time.Hour: "2h", 61 * time.Second: "1m1s", 500 * time.Millisecond: "500ms", 0: "0s",
		-time.Hour: "-1h", 90 * time.Minute: "1h30m",
	} {
		if got := Duration(d).String(); got != want {
			t.Errorf("%v: %s", d, got)
		}
	}
}

// A request costs a load when there are no rules, and allocates nothing when they are for other APIs or clients.
func TestConcernAllocatesNothing(t *testing.T) {
	r := made(t)
	check := func() {
		t.Helper()
		if n := testing.AllocsPerRun(100, func() {
			if r.Concern(0, "me") {
				t.Error("no rule is for this request")
			}
		}); n != 0 {
			t.Errorf("%v allocations", n)
		}
	}
	check()
	for _, rule := range []Rule{{Match: Match{API: Names{"EndTxn"}}, Do: Do{Hold: true}},
		{Match: Match{ClientID: Names{"x-*", "y"}}, Do: Do{Hold: true}}} {
		if _, err := r.Add(rule); err != nil {
			t.Fatal(err)
		}
	}
	check()
}

// An answer counts as held when there is one: whoever waits for the count may then look at what the request has done.
func TestAnswerIsHeldWhenItsRequestHasBeenCarriedOut(t *testing.T) {
	r := made(t)
	state, err := r.Add(Rule{Do: Do{HoldAnswer: true}})
	if err != nil {
		t.Fatal(err)
	}
	d := r.Decide(produce("", "a"))
	if state, _ := r.State(state.ID); state.Held != 0 {
		t.Errorf("%d held before there is an answer", state.Held)
	}
	outcome := make(chan Outcome)
	go func() {
		o := d.Hold.Wait(t.Context())
		d.Hold.Done()
		outcome <- o
	}()
	r.Await(t.Context(), state.ID, func(s State) bool { return s.Held == 1 })
	if n, _ := r.Release(state.ID); n != 1 {
		t.Errorf("%d released", n)
	}
	if o := <-outcome; o != Released {
		t.Errorf("outcome %v", o)
	}
}

// Without rules a request takes no lock: it is decided while somebody holds it.
func TestNoLockWithoutRules(t *testing.T) {
	r := made(t)
	r.mu.Lock()
	defer r.mu.Unlock()
	passed := make(chan bool)
	go func() { passed <- r.Concern(0, "me") }()
	select {
	case concerns := <-passed:
		if concerns {
			t.Error("there are no rules")
		}
	case <-time.After(time.Minute):
		t.Error("it waits for the lock")
	}
}

// There are a thousand rules at most, and each of them decides; one more is refused, and a longer list changes nothing.
func TestThousandRules(t *testing.T) {
	r := made(t)
	for i := range maxRules {
		if _, err := r.Add(Rule{Match: Match{API: Names{"Produce"}, Topic: Names{fmt.Sprint("t", i)}},
			Do: Do{LoseAnswer: true}}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := r.Add(Rule{Do: Do{Hold: true}}); !errors.Is(err, ErrTooManyRules) {
		t.Errorf("rule %d: %v", maxRules+1, err)
	}
	many := slices.Repeat([]Rule{{Do: Do{Hold: true}}}, maxRules+1)
	if _, _, err := r.Replace(many); !errors.Is(err, ErrTooManyRules) || len(r.States()) != maxRules {
		t.Errorf("%d rules after %v", len(r.States()), err)
	}
	for i := range maxRules {
		if d := r.Decide(produce("", fmt.Sprint("t", i))); d == nil || d.RuleID != fmt.Sprint("f", i+1) {
			t.Fatalf("request %d: %+v", i, d)
		}
	}
	if _, _, err := r.Replace(many[:maxRules]); err != nil {
		t.Error(err)
	}
	if _, ok := r.Remove(r.States()[0].ID); !ok || len(r.States()) != maxRules-1 {
		t.Errorf("%d rules", len(r.States()))
	}
	if _, err := r.Add(Rule{Do: Do{Hold: true}}); err != nil {
		t.Error(err)
	}
}

// Requests whose clients have gone are kept up to a number and a size; one more is lost. What is carried out, or
// dropped with the cluster, makes room.
func TestLateRequestsAreLimited(t *testing.T) {
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	for _, c := range []struct{ sizeBytes, want int }{{1, maxLate}, {maxLateBytes / 4, 4}} {
		r := made(t)
		rule, err := r.Add(Rule{When: &When{Always: true}, Do: Do{Hold: true}})
		if err != nil {
			t.Fatal(err)
		}
		carriedOut := 0
		for _, letGo := range []func(){func() { r.Release(rule.ID) }, r.Suspend} {
			carriedOut = 0
			for range c.want + 1 {
				h := r.Decide(produce("", "a")).Hold
				if o := h.Wait(gone); o != Gone {
					t.Fatalf("outcome %v", o)
				}
				h.Late(c.sizeBytes, func() { carriedOut++ })
			}
			if state, _ := r.State(rule.ID); state.Held != c.want {
				t.Errorf("%d of %d bytes are held, want %d", state.Held, c.sizeBytes, c.want)
			}
			if letGo(); r.mu.late != 0 || r.mu.lateBytes != 0 {
				t.Errorf("%d of %d bytes are left", r.mu.late, r.mu.lateBytes)
			}
			if carriedOut != 0 && carriedOut != c.want {
				t.Errorf("%d carried out", carriedOut)
			}
		}
		if carriedOut != 0 {
			t.Errorf("%d carried out by a cluster that has ended", carriedOut)
		}
		if r.GoLate(maxLateBytes+1, func() { t.Error("carried out") }) {
			t.Error("there is room for more than the limit")
		}
	}
}

// The end of a cluster waits for a request that is carried out without its client; later ones are lost.
func TestEndWaitsForLateRequests(t *testing.T) {
	r := made(t)
	goOn, carriedOut := make(chan struct{}), false
	r.GoLate(1, func() {
		<-goOn
		carriedOut = true
	})
	r.Suspend()
	go close(goOn)
	if r.Wait(); !carriedOut {
		t.Error("it is still carried out")
	}
	if r.GoLate(1, func() { t.Error("carried out after the end") }) {
		t.Error("a request is carried out after the end")
	}
}

// Releases that come when the cluster has ended let go of nothing, and do not upset the wait for earlier ones.
func TestReleaseDuringTheEnd(t *testing.T) {
	r := made(t)
	rule, err := r.Add(Rule{When: &When{Always: true}, Do: Do{Hold: true}})
	if err != nil {
		t.Fatal(err)
	}
	r.Suspend()
	var releases sync.WaitGroup
	var ended atomic.Int32
	for range 4 {
		releases.Go(func() {
			defer ended.Add(1)
			for range 1000 {
				r.Release(rule.ID)
			}
		})
	}
	for ended.Load() < 4 {
		r.Wait()
	}
	releases.Wait()
}

// A blackhole remembers a limited number of client IDs; the connections of others are swallowed all the same.
func TestClientsOfABlackholeAreLimited(t *testing.T) {
	r := made(t)
	if _, err := r.Add(Rule{When: &When{Always: true}, Do: Do{Blackhole: true}}); err != nil {
		t.Fatal(err)
	}
	for i := range maxClients + 5 {
		q := produce(fmt.Sprint("client", i), "a")
		q.Connection, q.Close = int64(i), func() {}
		if d := r.Decide(q); d == nil || !d.Swallow {
			t.Fatalf("%+v", d)
		}
	}
	if n := len(r.list()[0].clients); n != maxClients || !r.ActsOn("client0") {
		t.Errorf("%d clients", n)
	}
}
