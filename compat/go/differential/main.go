// Command differential sends random sequences of raw requests to a running Apache Kafka and to this broker, in step,
// and compares the answers:
//
//	go run ./differential -kafka 127.0.0.1:9092 -domain transactions -sequences 100 -steps 60
//
// What differs in every run is masked: producer IDs by the order in which they are seen, topic IDs, members,
// timestamps, throttle times. Of messages only whether there is one is compared. A difference is minimised: steps are
// dropped as long as it stays. It is printed as a script in the dialect of broker/testdata, with Kafka's answers.
// Differences that docs/gaps.md has are counted and not printed; each domain has a table of them. The exit code is 1
// when there is another one.
//
// Kafka should be new and of one node, and nobody else should use it meanwhile. Without -once this broker runs in the
// program, in memory, with the settings that scripts have: strict, and without a delay for new groups.
package main

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"time"

	"once/broker"
	"once/settings"
)

var (
	kafka     = flag.String("kafka", "", "HOST:PORT of Apache Kafka")
	once      = flag.String("once", "", "HOST:PORT of a broker of this project that runs already; none starts one")
	domain    = flag.String("domain", "transactions", "what the requests are about: "+strings.Join(domainNames(), ", "))
	seed      = flag.Uint64("seed", uint64(time.Now().UnixNano()%1e6), "of the first sequence; the next ones follow it")
	sequences = flag.Int("sequences", 50, "how many sequences")
	steps     = flag.Int("steps", 60, "how many steps a sequence has")
	shorten   = flag.Bool("minimise", true, "drops steps from a sequence that ends with a difference, which takes a while")
	most      = flag.Int("differences", 1, "ends after so many new differences")
)

// domains are what the program knows: how each is made for a sequence, and the differences that are expected in it.
var domains = map[string]struct {
	start func(dice *rand.Rand) Domain
	expectations
}{
	"admin":        {newAdmin, expectedOfAdmin},
	"classic":      {newClassicGroups, expectedOfClassicGroups},
	"consumer":     {newConsumerGroups, expectedOfGroups},
	"logs":         {newLogs, expectedOfLogs},
	"share":        {newShareMembers, expectedOfShareMembers},
	"share-states": {newShareStates, nil},
	"streams":      {newStreamsGroups, expectedOfGroups},
	"transactions": {newTransactions, expectedOfTransactions},
}

func domainNames() []string { return slices.Sorted(maps.Keys(domains)) }

func main() {
	flag.Parse()
	found, err := run(context.Background())
	if err != nil {
		fmt.Fprintln(os.Stderr, "differential:", err)
		os.Exit(2)
	}
	if found > 0 {
		os.Exit(1)
	}
}

// run compares as the flags say and returns the number of differences that are not expected.
func run(ctx context.Context) (found int, err error) {
	d, ok := domains[*domain]
	if !ok || *kafka == "" {
		return 0, fmt.Errorf("-kafka and one domain of %v are needed", domainNames())
	}
	p := &pair{kafka: *kafka, once: *once, expectations: d.expectations}
	if p.once == "" {
		b, err := startOnce(ctx)
		if err != nil {
			return 0, err
		}
		defer b.Close()
		p.once = b.Addr()
	}
	if err := p.awaitCoordinators(); err != nil {
		return 0, err
	}
	defer p.restoreFeatures()
	counts, done := map[string]int{}, 0
	for i := range uint64(*sequences) {
		dice := rand.New(rand.NewPCG(*seed+i, 0))
		all := p.explore(d.start(dice), dice, *steps)
		done += len(all)
		last := all[len(all)-1]
		for j, e := range all {
			if e.differs() && p.reasonFor(all[:j+1]) != "" {
				counts[p.reasonFor(all[:j+1])]++
			}
		}
		if !last.differs() || p.reasonFor(all) != "" {
			continue
		}
		if *shorten {
			all = minimise(all, p.expectations, p.replay)
		}
		fmt.Println(asScript(fmt.Sprintf("Sequence %d of the domain %s.", *seed+i, *domain), all))
		if found++; found >= *most {
			break
		}
	}
	fmt.Printf("domain %s, seed %d: %d steps, %d new differences\n", *domain, *seed, done, found)
	for _, row := range slices.Sorted(maps.Keys(counts)) {
		fmt.Printf("%6d expected: %s\n", counts[row], row)
	}
	return found, nil
}

// startOnce starts this broker with the settings that scripts have.
func startOnce(ctx context.Context) (*broker.Broker, error) {
	s, _, err := settings.Resolve(map[string]string{
		"strict": "true", "group.initial.rebalance.delay.ms": "0", "log.cleaner.enable": "false",
	})
	if err != nil {
		return nil, err
	}
	config := broker.Config{InMemory: true}
	config.Settings = s
	return broker.Start(ctx, config)
}
