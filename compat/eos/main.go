// Command eos checks exactly-once processing from outside: clients in processes of their own feed, copy in
// transactions, die, hang and get fenced while the broker is killed and restarted; then everything is read
// and judged (spec: reliability 4). It works against any Kafka broker. See README.md.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"once/compat/eos/agent"
	"once/compat/eos/driver"
	"once/compat/eos/verify"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	code := run(ctx, os.Args[1:])
	stop()
	os.Exit(code)
}

// run returns 0 if every invariant held, 1 if one was broken, 2 if there was nothing to judge.
func run(ctx context.Context, args []string) int {
	if len(args) == 2 && args[0] == "agent" {
		var o agent.Options
		if err := json.Unmarshal([]byte(args[1]), &o); err != nil {
			return fail(err)
		}
		return agent.Run(ctx, o, os.Stdin, os.Stdout)
	}
	if len(args) == 2 && args[0] == "check" {
		return judge(args[1])
	}
	o, err := parse(args)
	if err != nil {
		return fail(err)
	}
	fmt.Printf("seed %d, directory %s (kept)\n", o.Seed, o.Dir)
	if err := driver.Run(ctx, *o); err != nil {
		fmt.Printf("repeat with -seed %d; what there is lies in %s\n", o.Seed, o.Dir)
		return fail(err)
	}
	code := judge(o.Dir)
	if code != 0 {
		fmt.Printf("repeat with -seed %d; judge again with: eos check %s\n", o.Seed, o.Dir)
	}
	return code
}

func fail(err error) int {
	fmt.Fprintln(os.Stderr, "eos:", err)
	return 2
}

func parse(args []string) (*driver.Options, error) {
	o := &driver.Options{Out: os.Stdout}
	f := flag.NewFlagSet("eos", flag.ContinueOnError)
	f.Int64Var(&o.Records, "records", 200_000, "inputs to copy")
	f.IntVar(&o.Kills, "kills", 10, "times that the broker is killed with SIGKILL and restarted")
	f.IntVar(&o.Copiers, "copiers", 4, "transactional copiers in one group")
	f.IntVar(&o.Dynamic, "dynamic", 1, "copiers that are dynamic members; the others have a group instance id")
	f.IntVar(&o.BeforeV2, "before-v2", -1, "copiers that speak as before transactions V2; −1: half of them")
	f.IntVar(&o.Parts, "partitions", 4, "partitions of each topic")
	f.IntVar(&o.MaxPoll, "max-poll", 500, "most inputs of one transaction")
	f.Int64Var(&o.Seed, "seed", 0, "of workload, dice and kills; 0 draws one")
	f.DurationVar(&o.Duration, "duration", 15*time.Minute, "then the run is judged as it is")
	f.DurationVar(&o.KillEvery, "kill-every", 2*time.Second, "least time between a restart and the next kill")
	f.DurationVar(&o.Timeout, "txn-timeout", 0, "of the copiers' transactions; 0: 3 s")
	f.DurationVar(&o.Expiry, "txn-expiry", 0, "time the broker may take to notice a timeout; 0: 1 s for "+
		"-broker-binary, which is told so, else Kafka's 10 s")
	f.DurationVar(&o.Session, "session", 0, "session timeout of dynamic members; 0: 2 s for -broker-binary, which is "+
		"told to allow that, else 6 s")
	f.StringVar(&o.Dir, "dir", "", "for histories, logs and the broker's data; must not exist. Default: a new "+
		"temporary one")
	binary := f.String("broker-binary", "", "this project's broker")
	brokerArgs := f.String("broker-args", "", "more arguments for it, separated by spaces")
	faults := f.String("faults", "", "with -broker-binary: faults as in its --inject-fault, separated by commas; a "+
		"death by one counts as a kill")
	start := f.String("start", "", "shell command that starts a broker in the background; its output ends in "+
		"HOST:PORT:PID")
	restart := f.String("restart", "", "the same for a restart on the same data (default: -start)")
	kill := f.String("kill", "", "shell command that kills it (default: SIGKILL to PID)")
	external := f.String("external", "", "HOST:PORT of a running broker, never killed")
	admin := f.String("admin", "", "HOST:PORT of the lab of a broker of -start or -external, if it has one: what it "+
		"notices, and its own verdict, are judged too")
	f.StringVar(&o.AdminToken, "admin-token", os.Getenv("ONCE_LAB_TOKEN"), "the token of that lab (lab.token); a broker "+
		"of -broker-binary is started with it. Default: ONCE_LAB_TOKEN, which no list of processes shows")
	f.BoolVar(&o.Correct, "correct", false, "copiers that commit, abort and die, and do nothing that the broker has to "+
		"notice; -txn-timeout is a minute then")
	f.StringVar(&o.Mutant, "mutant", "", "the mistake that the copiers make: "+strings.Join(agent.Mutants, ", "))
	own := f.Bool("own", false, "with -start or -external: the broker promises C17 (not only reported)")
	if err := f.Parse(args); err != nil {
		return nil, err
	}
	if f.NArg() > 0 {
		return nil, fmt.Errorf("unexpected argument %q", f.Arg(0))
	}
	if o.Records < 1 || o.Copiers < 1 || o.Parts < 1 || o.MaxPoll < 1 || o.Kills < 0 {
		return nil, fmt.Errorf("-records, -copiers, -partitions and -max-poll must be positive")
	}
	if o.Mutant != "" && !slices.Contains(agent.Mutants, o.Mutant) {
		return nil, fmt.Errorf("there is no mutant %q", o.Mutant)
	}
	switch {
	case o.Timeout == 0 && o.Correct:
		o.Timeout = time.Minute
	case o.Timeout == 0:
		o.Timeout = 3 * time.Second
	}
	return o, complete(o, *binary, *brokerArgs, *faults, *start, *restart, *kill, *external, *admin, *own)
}

// complete fills in what depends on other flags.
func complete(o *driver.Options, binary, brokerArgs, faults, start, restart, kill, external, admin string,
	own bool) error {
	if o.Seed == 0 {
		o.Seed = time.Now().UnixNano() % 1_000_000_007
	}
	if o.BeforeV2 < 0 {
		o.BeforeV2 = o.Copiers / 2
	}
	var err error
	if o.Dir == "" {
		o.Dir, err = os.MkdirTemp("", "eos-")
	} else if o.Dir, err = filepath.Abs(o.Dir); err == nil {
		err = os.Mkdir(o.Dir, 0o755)
	}
	if err != nil {
		return err
	}
	given := 0
	for _, s := range []string{binary, start, external} {
		if s != "" {
			given++
		}
	}
	if given != 1 {
		return fmt.Errorf("exactly one of -broker-binary, -start and -external is needed")
	}
	o.Faults = faults != ""
	expiry, session := 10*time.Second, 6*time.Second
	switch {
	case binary != "":
		expiry, session = time.Second, 2*time.Second
		args := []string{"--set", "transaction.abort.timed.out.transaction.cleanup.interval.ms=1000", "--set",
			"group.min.session.timeout.ms=1000"}
		o.System = driver.Binary(binary, o.Dir, faults, o.AdminToken, append(args, strings.Fields(brokerArgs)...)...)
	case start != "":
		o.System = driver.Commands(start, restart, kill, admin, own)
	default:
		o.System = driver.External(external, admin, own)
	}
	if o.Expiry == 0 {
		o.Expiry = expiry
	}
	if o.Session == 0 {
		o.Session = session
	}
	return nil
}

// judge prints the verdict on a run's directory.
func judge(dir string) int {
	in, err := driver.Load(dir)
	if err != nil {
		return fail(err)
	}
	begin := time.Now()
	results := verify.Run(in)
	fmt.Printf("\n%d records in the logs, %d read as committed, %d events; judged in %v\n\n", len(in.Raw),
		len(in.Committed), len(in.Events), time.Since(begin).Round(time.Millisecond))
	passed, failed := 0, 0
	for i := range results {
		r := &results[i]
		state := "ok"
		switch {
		case r.Passed() && (r.Violations > 0 || r.Checked == 0):
			state = "reported"
		case !r.Passed():
			state = "BROKEN"
		}
		if r.Passed() {
			passed++
		} else {
			failed++
		}
		fmt.Printf("%-4s %-8s %9d checked %6d violations  %s\n", r.Name, state, r.Checked, r.Violations, r.Title)
		for _, e := range r.Examples {
			fmt.Println("         ", e)
		}
	}
	fmt.Printf("\n%d passed, %d failed\n", passed, failed)
	if failed > 0 {
		return 1
	}
	return 0
}
