package main

import (
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/broker"
)

// TestOneBrokerIsLikeAnother runs each domain against two brokers of this project: what differs there is not masked.
func TestOneBrokerIsLikeAnother(t *testing.T) {
	start := func() *broker.Broker {
		b, err := startOnce(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = b.Close() })
		return b
	}
	p := &pair{kafka: start().Addr(), once: start().Addr()}
	if err := p.awaitCoordinators(); err != nil {
		t.Fatal(err)
	}
	for _, name := range domainNames() {
		t.Run(name, func(t *testing.T) {
			p.expectations = domains[name].expectations
			for seed := range uint64(3) {
				dice := rand.New(rand.NewPCG(seed, 0))
				all := p.explore(domains[name].start(dice), dice, 60)
				if last := all[len(all)-1]; last.differs() {
					t.Errorf("seed %d:\n%s", seed, asScript("They differ.", all))
				} else if len(all) < 60 {
					t.Errorf("seed %d: ended after %d steps", seed, len(all))
				}
			}
		})
	}
}

// TestMinimisedSequenceHasOnlyWhatTheDifferenceNeeds checks a difference that needs two steps before it, of which one
// is kept as it must be.
func TestMinimisedSequenceHasOnlyWhatTheDifferenceNeeds(t *testing.T) {
	var found []exchange
	for i := range 40 {
		step := ask(kmsg.Metadata, int16(i), nil)
		step.Keep = i == 11
		found = append(found, exchange{Step: step, kafka: "same", once: "same"})
	}
	found[39].once = "other"
	tries := 0
	check := func(steps []exchange) []exchange {
		tries++
		steps = slices.Clone(steps)
		needed := 0
		for _, e := range steps {
			if e.Version == 7 || e.Version == 23 {
				needed++
			}
		}
		if needed < 2 {
			steps[len(steps)-1].once = "same"
		}
		return steps
	}
	var versions []int16
	for _, e := range minimise(found, nil, check) {
		versions = append(versions, e.Version)
	}
	if want := []int16{7, 11, 23, 39}; !slices.Equal(versions, want) {
		t.Errorf("%d tries leave the steps %v, want %v", tries, versions, want)
	}
}

func TestDifferenceIsPrintedAsAScript(t *testing.T) {
	describe := ask(kmsg.DescribeTransactions, 0, fields{"TransactionalIDs": []any{"a~"}})
	describe.While = "Prepare"
	got := asScript("They differ.", []exchange{
		{Step: Step{Topic: "x", Partitions: 2}, kafka: "NONE", once: "NONE"},
		{Step: describe, kafka: "TransactionStates: State=Ongoing", once: "TransactionStates: State=Empty"},
	})
	for _, want := range []string{
		"# They differ.\ntopic x partitions=2\n----\nNONE\n",
		"ask DescribeTransactions version=0 messages sorted until=\"Ongoing\"\n{\"TransactionalIDs\":[\"a~\"]}\n----\n",
		"#\tTransactionStates: State=Empty\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("the script lacks %q:\n%s", want, got)
		}
	}
}
