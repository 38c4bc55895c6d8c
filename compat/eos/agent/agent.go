// Package agent holds the clients of a run: feeder, copier, watcher and keeper. Each runs in a process of its own,
// started by the driver, so that it can die like a client dies.
//
// Protocol: orders come as JSON lines on stdin, reports leave as JSON lines on stdout; the end of stdin
// ends the agent, so none outlives its driver. Everything needed for the verdict goes to the history file.
package agent

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime/pprof"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kversion"

	"once/compat/eos/history"
)

// Roles.
const (
	Feeder  = "feeder"
	Copier  = "copier"
	Watcher = "watcher"
	Keeper  = "keeper"
)

// Options says what an agent is to be.
type Options struct {
	Config          *history.Config
	Dir             string // of the histories
	Role            string
	Incarnation     uint32
	TransactionalID string // copier
	InstanceID      string // copier; empty: a dynamic member
	BeforeV2        bool   // copier: speak as a client from before transactions V2
	Cooperative     bool   // copier: rebalance without giving everything up
	ReadCommitted   bool   // watcher
	MaxPoll         int    // copier: most inputs of one transaction
	Calm            bool   // copier: start without dice
	Mutant          string // copier: the mistake that it makes; see Mutants
}

// Order is one line from the driver.
type Order struct {
	Target int64 `json:"target,omitempty"` // feeder: send inputs below this id
	Calm   bool  `json:"calm,omitempty"`   // copier: from now on only commit
	Dump   bool  `json:"dump,omitempty"`   // say on stderr what goes on
	Stop   bool  `json:"stop,omitempty"`
}

// Report is one line to the driver.
type Report struct {
	Outcome string `json:"outcome,omitempty"` // copier: of a transaction
	Inputs  int    `json:"inputs,omitempty"`  // copier: committed by it
	Fed     int64  `json:"fed,omitempty"`     // feeder: acknowledged so far
	Done    bool   `json:"done,omitempty"`
	Text    string `json:"text,omitempty"`
}

// agent is the frame that all roles share.
type agent struct {
	Options
	history *history.Writer
	cfg     *history.Config
	log     *ring

	target atomic.Int64
	calm   atomic.Bool
	orders chan struct{} // signalled after each order
	stop   context.CancelFunc

	outMu sync.Mutex
	out   *json.Encoder
}

// Run is the life of one agent process; it returns its exit code.
func Run(ctx context.Context, o Options, in io.Reader, out io.Writer) int {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	w, err := history.Create(o.Dir, fmt.Sprintf("%s-%d", o.Role, o.Incarnation))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	a := &agent{Options: o, cfg: o.Config, history: w, log: &ring{}, orders: make(chan struct{}, 1), stop: stop,
		out: json.NewEncoder(out)}
	a.calm.Store(o.Calm)
	go a.listen(in) // ends with stdin, at the latest with the process
	a.event(history.Event{Kind: history.KindStart, TransactionalID: o.TransactionalID, Text: o.Role})
	switch o.Role {
	case Feeder:
		err = a.feed(ctx)
	case Copier:
		err = a.copy(ctx)
	case Watcher:
		err = a.watch(ctx)
	case Keeper:
		err = a.fill(ctx)
	default:
		err = fmt.Errorf("unknown role %q", o.Role)
	}
	text := ""
	if err != nil {
		text = err.Error()
	}
	a.event(history.Event{Kind: history.KindExit, Text: text})
	a.report(Report{Done: true, Text: text})
	if closeErr := w.Close(); closeErr != nil {
		fmt.Fprintln(os.Stderr, closeErr)
		return 1
	}
	return 0
}

func (a *agent) listen(in io.Reader) {
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		var o Order
		if json.Unmarshal(lines.Bytes(), &o) != nil {
			continue
		}
		if o.Target > 0 {
			a.target.Store(o.Target)
		}
		if o.Calm {
			a.calm.Store(true)
		}
		if o.Dump {
			a.dump()
		}
		if o.Stop {
			break
		}
		select {
		case a.orders <- struct{}{}:
		default:
		}
	}
	a.stop()
}

// dump writes the client's last log lines and all goroutines to stderr, for calls that do not come back.
func (a *agent) dump() {
	a.log.dump(os.Stderr)
	_ = pprof.Lookup("goroutine").WriteTo(os.Stderr, 2)
}

func (a *agent) event(e history.Event) {
	e.Incarnation = a.Incarnation
	a.history.Write(e)
}

func (a *agent) report(r Report) {
	a.outMu.Lock()
	defer a.outMu.Unlock()
	_ = a.out.Encode(r) // a driver that is gone closes stdin as well
}

// die ends the process as kill -9 does: nothing is flushed, no connection is closed politely.
func die() {
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {}
}

// options are common to all clients of a run.
func (a *agent) options(more ...kgo.Opt) []kgo.Opt {
	opts := []kgo.Opt{
		kgo.SeedBrokers(a.cfg.Bootstrap),
		kgo.ClientID(fmt.Sprintf("eos-%s-%d", a.Role, a.Incarnation)),
		kgo.MetadataMinAge(50 * time.Millisecond),
		kgo.MetadataMaxAge(10 * time.Second),
		kgo.RetryBackoffFn(func(int) time.Duration { return 50 * time.Millisecond }),
		kgo.RequestRetries(1000),
		kgo.RetryTimeout(60 * time.Second),
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.AlwaysRetryEOF(),
	}
	if a.Role == Copier {
		opts = append(opts, kgo.WithLogger(a.log))
	}
	if a.BeforeV2 {
		versions := kversion.V3_7_0()
		versions.SetMaxKeyVersion(24, 3) // AddPartitionsToTxn: from version 4 it is for brokers
		opts = append(opts, kgo.MaxVersions(versions))
	}
	return append(opts, more...)
}
