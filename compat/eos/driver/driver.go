// Package driver conducts a run of the checker: it starts the broker and the agents, kills the broker on a
// schedule drawn from the seed, heals, reads the final logs and hands everything to verify.
//
// One goroutine, the caller's, makes all decisions; agents and broker are processes. Called by the
// program only.
package driver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand"
	"os"
	"path/filepath"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"

	"once/compat/eos/agent"
	"once/compat/eos/history"
)

// Options of a run. The zero value of a field is not a default; the flags have them.
type Options struct {
	Records   int64
	Kills     int
	Copiers   int
	Dynamic   int // copiers without a group instance id
	BeforeV2  int // copiers that speak as before transactions V2
	Parts     int // of each topic
	MaxPoll   int
	Seed      int64
	Duration  time.Duration // then the run is healed and judged as it is
	KillEvery time.Duration // least time between a restart and the next kill
	Timeout   time.Duration // of transactions
	Expiry    time.Duration // that the broker may take to notice a timeout
	Session   time.Duration // of dynamic members
	Dir       string
	System    System
	// AdminToken is the token of the broker's lab; "" for none.
	AdminToken string
	Faults     bool   // the broker is expected to die by itself
	Correct    bool   // the copiers do nothing that the broker has to notice
	Mutant     string // the copiers' mistake, see agent.Mutants; "" for none
	Out        io.Writer
}

// run is the state of one run. All fields belong to the goroutine of Run.
type run struct {
	Options
	cfg     *history.Config
	events  *history.Writer
	crew    *crew
	admin   *kadm.Client
	rng     *rand.Rand
	started time.Time

	fed, copied int64
	fedDone     bool
	calm        bool
	kills       int
	readyAt     time.Time
	killDelay   time.Duration
	cleaner     *history.Cleaner // of the running broker
	outcomes    map[string]int
	respawns    int
	died        int
	lastGain    time.Time
	lastPrint   time.Time
	failures    []string // agents that left for reasons of their own
}

const (
	feedWindow  = 20_000 // most inputs that may wait to be copied
	calmAt      = 0.97   // share of the inputs after which the dice rest
	tick        = 200 * time.Millisecond
	printEvery  = 3 * time.Second
	maxRespawns = 5_000
)

// Run conducts a run and leaves its histories and final logs in o.Dir. An error means that there is
// nothing to judge, not that an invariant broke.
func Run(ctx context.Context, o Options) error {
	r := &run{Options: o, rng: rand.New(rand.NewSource(o.Seed)), outcomes: map[string]int{}, started: time.Now()}
	if err := os.MkdirAll(filepath.Join(o.Dir, "history"), 0o755); err != nil {
		return err
	}
	address, err := o.System.Start(ctx)
	if err != nil {
		return fmt.Errorf("start: %w", err)
	}
	defer func() {
		if err := o.System.Stop(); err != nil {
			fmt.Fprintln(o.Out, "stop:", err)
		}
	}()
	if err := r.prepare(ctx, address); err != nil {
		return err
	}
	defer r.admin.Close()
	work := r.work(ctx)
	r.crew.dismiss(3*time.Minute, r.handle)
	if work != nil {
		return errors.Join(work, r.events.Close())
	}
	r.printProgress()
	if err := r.settle(ctx); err != nil {
		return errors.Join(err, r.events.Close())
	}
	return r.events.Close()
}

// prepare makes topics and histories and starts the agents.
func (r *run) prepare(ctx context.Context, address string) error {
	id := uint64(time.Now().UnixNano())
	name := func(s string) string { return fmt.Sprintf("eos-%s-%x", s, id) }
	r.cfg = &history.Config{
		RunID: id, Seed: r.Seed, Records: r.Records, InParts: int32(r.Parts), OutParts: int32(r.Parts),
		Group: name("group"), Own: r.System.Own(), Bootstrap: address,
		TimeoutMs: r.Timeout.Milliseconds(), ExpiryMs: r.Expiry.Milliseconds(), SessionMs: r.Session.Milliseconds(),
		KeptTopic: name("kept"), KeptParts: keptParts, KeptGroups: keptGroups, KeptIDs: keptIDs,
		Cleans: r.System.Cleans() && r.Kills > 0 && !r.Faults,
		Judges: r.System.Admin() != "", Correct: r.Correct,
	}
	r.cleaner = newCleaner(nil)
	topics := []string{name("in"), name("out"), name("audit")}
	for _, t := range topics {
		for p := range r.Parts {
			r.cfg.Logs = append(r.cfg.Logs, history.Log{Topic: t, Partition: int32(p)})
		}
	}
	var err error
	if r.events, err = history.Create(r.historyDir(), "driver"); err != nil {
		return err
	}
	r.events.Write(history.Event{Kind: history.KindRun, Config: r.cfg})
	cl, err := kgo.NewClient(kgo.SeedBrokers(address), kgo.RequestRetries(200), kgo.RetryTimeout(readyLimit),
		kgo.MetadataMinAge(50*time.Millisecond),
		kgo.RetryBackoffFn(func(int) time.Duration { return 100 * time.Millisecond }))
	if err != nil {
		return err
	}
	r.admin = kadm.NewClient(cl)
	if err := r.createTopics(ctx, int32(r.Parts), topics...); err != nil {
		return err
	}
	if err := r.createTopics(ctx, keptParts, r.cfg.KeptTopic); err != nil {
		return err
	}
	if r.crew, err = newCrew(r.historyDir()); err != nil {
		return err
	}
	return r.startAgents(name("txn"))
}

func (r *run) historyDir() string { return filepath.Join(r.Dir, "history") }

func (r *run) createTopics(ctx context.Context, partitions int32, topics ...string) error {
	for deadline := time.Now().Add(readyLimit); ; time.Sleep(100 * time.Millisecond) {
		made, err := r.admin.CreateTopics(ctx, partitions, 1, nil, topics...)
		if err == nil {
			err = made.Error()
		}
		if err == nil {
			return nil
		}
		if time.Now().After(deadline) || ctx.Err() != nil {
			return fmt.Errorf("create topics: %w", err)
		}
	}
}

func (r *run) startAgents(transactionalID string) error {
	base := agent.Options{Config: r.cfg, Dir: r.historyDir(), MaxPoll: r.MaxPoll}
	feeder := base
	feeder.Role = agent.Feeder
	if _, err := r.crew.add(feeder); err != nil { // the first: incarnation 0
		return err
	}
	for _, committed := range []bool{true, false} {
		watcher := base
		watcher.Role, watcher.ReadCommitted = agent.Watcher, committed
		if _, err := r.crew.add(watcher); err != nil {
			return err
		}
	}
	for i := range r.Copiers {
		copier := base
		copier.Role = agent.Copier
		copier.TransactionalID = fmt.Sprintf("%s-%d", transactionalID, i)
		copier.BeforeV2 = i < r.BeforeV2
		copier.Mutant = r.Mutant
		// A static member that dies between the two halves of a cooperative rebalance, and comes back, starts no
		// second half: what it had given up belongs to nobody until something else makes the group rebalance. The
		// protocol has it so, in Kafka too.
		copier.Cooperative = r.Dynamic >= r.Copiers
		if i >= r.Dynamic {
			copier.InstanceID = fmt.Sprintf("copier-%d", i)
		}
		if _, err := r.crew.add(copier); err != nil {
			return err
		}
	}
	keeper := base
	keeper.Role = agent.Keeper
	_, err := r.crew.add(keeper)
	return err
}

// work feeds, kills and respawns until all input is copied or time is up.
func (r *run) work(ctx context.Context) error {
	ticker := time.NewTicker(tick)
	defer ticker.Stop()
	r.lastGain, r.readyAt = time.Now(), time.Now()
	r.drawKillDelay()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case m := <-r.crew.messages:
			r.handle(m)
			if m.gone && m.slot.options.Role != agent.Feeder {
				if r.respawns++; r.respawns > maxRespawns {
					return fmt.Errorf("agents left %d times: %q", r.respawns, r.failures)
				}
				if err := r.respawn(m.slot); err != nil {
					return err
				}
			}
		case <-ticker.C:
			done, err := r.tick(ctx)
			if done || err != nil {
				return err
			}
		}
	}
}

func (r *run) respawn(s *slot) error {
	s.options.Calm = r.calm
	return r.crew.spawn(s)
}

func (r *run) handle(m message) {
	o := m.slot.options
	switch {
	case m.gone:
		m.slot.live = false
		if m.code < 0 {
			r.died++
		}
	case o.Role == agent.Feeder:
		r.fed = max(r.fed, m.report.Fed)
		if m.report.Done {
			r.fedDone = true
			if m.report.Text != "" {
				r.failures = append(r.failures, "feeder: "+m.report.Text)
			}
		}
	case m.report.Done:
		if m.report.Text != "" && len(r.failures) < 200 {
			r.failures = append(r.failures, fmt.Sprintf("%s %d: %s", o.Role, o.Incarnation, m.report.Text))
		}
	case m.report.Outcome != "":
		r.outcomes[m.report.Outcome]++
	}
}

// tick looks at the group's offsets and decides what is next. Done means that the work is over.
func (r *run) tick(ctx context.Context) (done bool, err error) {
	copied, err := r.groupOffsets(ctx)
	if err == nil {
		sum := int64(0)
		for _, o := range copied {
			sum += o
		}
		if sum != r.copied {
			r.copied, r.lastGain = sum, time.Now()
		}
	}
	if died := r.System.Died(); died != nil {
		if !r.killsLeft() || !r.Faults {
			return true, died
		}
		if err := r.kill(ctx); err != nil {
			return true, err
		}
	}
	_ = r.observeCleaner() // the next tick sees what this one could not
	if r.killIsDue() {
		if err := r.kill(ctx); err != nil {
			return true, err
		}
	}
	window := min(feedWindow, max(2_000, r.Records/10))
	target := min(r.copied+window, r.Records)
	if r.killsLeft() {
		target = min(target, r.killAt()+window)
	}
	r.crew.slots[0].order(agent.Order{Target: target})
	if !r.calm && r.fedDone && !r.killsLeft() && float64(r.copied) >= calmAt*float64(r.Records) {
		r.calm = true
		for _, s := range r.crew.slots {
			s.order(agent.Order{Calm: true})
		}
	}
	if time.Since(r.lastPrint) > printEvery {
		r.printProgress()
	}
	patience := r.Timeout + r.Expiry + r.Session + time.Minute
	switch {
	case r.fedDone && r.copied >= r.fed && r.calm:
		return true, nil
	case r.fedDone && r.fed < r.Records:
		fmt.Fprintf(r.Out, "the feeder left early: %q\n", r.failures)
		return true, nil
	case time.Since(r.started) > r.Duration:
		fmt.Fprintf(r.Out, "time is up after %v\n", r.Duration)
		return true, nil
	case time.Since(r.lastGain) > patience:
		fmt.Fprintf(r.Out, "no progress for %v; agents left with: %q\n", patience.Round(time.Second), lastOf(r.failures, 10))
		r.snapshot(ctx)
		return true, nil
	}
	return false, nil
}

// snapshot keeps what broker, group and agents are doing, for whoever has to find out why nothing goes on.
func (r *run) snapshot(ctx context.Context) {
	for _, s := range r.crew.slots {
		s.order(agent.Order{Dump: true})
	}
	ctx, cancel := context.WithTimeout(ctx, askLimit)
	defer cancel()
	groups, err := r.admin.DescribeGroups(ctx, r.cfg.Group)
	err = errors.Join(err, r.System.Snapshot(r.Dir))
	for _, g := range groups {
		fmt.Fprintf(r.Out, "group %s, %d members, coordinator's error %v\n", g.State, len(g.Members), g.Err)
		for _, m := range g.Members {
			instance := ""
			if m.InstanceID != nil {
				instance = *m.InstanceID
			}
			assigned, _ := m.Assigned.AsConsumer()
			fmt.Fprintf(r.Out, "  %s %s %s: %+v\n", m.ClientID, instance, m.MemberID, assigned)
		}
	}
	fmt.Fprintf(r.Out, "what the broker does is in %s, what the agents do in their .stderr files (%v)\n", r.Dir, err)
}

func lastOf(s []string, n int) []string { return s[max(0, len(s)-n):] }

// killAt is the number of copied inputs at which the next kill is due: kills are spread over the work.
func (r *run) killAt() int64 { return r.Records * int64(r.kills+1) / int64(r.Kills+1) }

func (r *run) killsLeft() bool { return r.System.Kills() && r.kills < r.Kills }

func (r *run) drawKillDelay() {
	r.killDelay = time.Duration(r.rng.Int63n(int64(time.Second)))
}

func (r *run) killIsDue() bool {
	since := time.Since(r.readyAt)
	if !r.killsLeft() || r.copied < r.killAt() || since < r.KillEvery+r.killDelay {
		return false
	}
	return !r.cfg.Cleans || len(r.cleaner.Missing()) == 0 || since > cleanLimit
}

// kill kills the broker, every second time in the middle of a pass of the cleaner, and starts it again.
func (r *run) kill(ctx context.Context) error {
	if r.cfg.Cleans && r.kills%2 == 1 {
		if err := r.awaitPass(ctx); err != nil {
			return err
		}
	}
	if r.System.Died() == nil {
		if err := r.observeFindings(ctx); err != nil {
			return err
		}
	}
	r.events.Write(history.Event{Kind: history.KindKill})
	if err := r.System.Kill(); err != nil {
		return fmt.Errorf("kill: %w", err)
	}
	cleaned, err := r.endCleaner()
	if err != nil {
		return err
	}
	begin := time.Now()
	if err := r.System.Restart(ctx, r.kills+1 >= r.Kills); err != nil {
		return fmt.Errorf("restart %d: %w", r.kills+1, err)
	}
	r.kills++
	r.readyAt = time.Now()
	r.drawKillDelay()
	r.events.Write(history.Event{Kind: history.KindReady})
	fmt.Fprintf(r.Out, "%7.1fs  kill %d of %d, ready after %v\n", time.Since(r.started).Seconds(), r.kills, r.Kills,
		r.readyAt.Sub(begin).Round(time.Millisecond))
	if cleaned != "" {
		fmt.Fprintln(r.Out, "         ", cleaned)
	}
	return nil
}

func (r *run) printProgress() {
	r.lastPrint = time.Now()
	fmt.Fprintf(r.Out, "%7.1fs  fed %d, copied %d of %d; transactions: %d committed, %d aborted, %d unknown, %d empty; "+
		"agents: %d died, %d left; kills %d\n",
		time.Since(r.started).Seconds(), r.fed, r.copied, r.Records, r.outcomes[history.Committed],
		r.outcomes[history.Aborted],
		r.outcomes[history.Unknown], r.outcomes["empty"], r.died, max(0, r.respawns-r.died), r.kills)
}
