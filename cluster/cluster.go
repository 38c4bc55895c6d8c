// Package cluster is one isolated Kafka of one broker: metadata, logs, topics, coordinators and upkeep, made from an
// environment and a directory. It decides nothing about records, transactions or groups: it opens the packages that do,
// in order, and closes them again, in order or like the death of a process.
//
// Reset, and Kill with Reopen, replace the engine of a cluster. The listeners stay, because they hold a pointer to the
// cluster. Nothing in a cluster is a global.
package cluster

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"path"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/twmb/franz-go/pkg/kmsg"

	"once/durability"
	"once/faults"
	"once/findings"
	"once/handlers"
	"once/internal/clock"
	"once/internal/fault"
	"once/requestlog"
	"once/settings"
	"once/wire"
)

// Cluster is an open cluster. Safe for concurrent use.
//
// Locking: changing is held while the cluster is opened, closed, killed or reset, and taken before gate. gate is held
// for reading while a request enters and for writing while engines are exchanged, never during a wait.
// docs/architecture.md has the order of all locks.
type Cluster struct {
	env  Env // immutable, as are the next two
	mode durability.Mode
	dir  string

	rules    *faults.Rules      // immutable, as are the next two
	remember *requestlog.Log    // nil while the lab is off
	noticed  *findings.Findings // the same

	resets   atomic.Int64   // so far, to give names
	images   atomic.Int64   // the same
	removing sync.WaitGroup // what resets have moved aside
	dying    deaths         // of engines that were killed at a fault
	changing sync.Mutex
	lock     io.Closer // of the directory; under changing, as is the next
	powerCut bool      // what no barrier has covered is lost at the next start
	gate     sync.RWMutex
	current  *engine // under gate; nil while the cluster is down
	// replaced is closed when the next engine is there; under gate. It is nil unless an engine is being replaced, for
	// which requests wait.
	replaced chan struct{}
	failure  struct {
		sync.Mutex
		err     error
		serving bool // a failure is reported by OnFailure; before, it is the error of start
	}
}

// leaveTimeout bounds the wait for running requests before the engine is stopped.
const leaveTimeout = time.Second

// Open opens the cluster in a directory, which is created when missing, and recovers it. It returns when every
// coordinator is loaded. Errors wrap ErrConfig or ErrStorage where that is the cause.
func Open(env Env, dir string) (*Cluster, error) {
	env, err := env.WithDefaults()
	if err != nil {
		return nil, err
	}
	mode, err := env.mode()
	if err != nil {
		return nil, err
	}
	c := &Cluster{env: env, mode: mode, dir: dir}
	c.rules = faults.New(faults.Options{Points: env.Faults, APIs: handlers.FaultAPIs,
		OffsetsPartition: c.offsetsPartition})
	if env.Settings.Lab {
		c.remember = requestlog.New(env.Settings.LabRequestsBytes)
		c.noticed = findings.New(env.Settings.LabRequestsBytes, nil)
	}
	if err := c.openDirectory(); err != nil {
		return nil, err
	}
	err = c.removeImages()
	if err == nil {
		err = c.removeUnkept()
	}
	if err == nil {
		err = c.start()
	}
	if err != nil {
		c.removing.Wait()
		return nil, errors.Join(err, c.lock.Close())
	}
	return c, nil
}

func (c *Cluster) openDirectory() error {
	err := c.env.FS.MkdirAll(c.dir)
	if err == nil && !c.env.NoSync { // what the barriers sync is of no use without the name above it
		err = c.env.FS.SyncDir(path.Dir(c.dir))
	}
	if err != nil {
		return fmt.Errorf("%w: making the data directory: %w", ErrStorage, err)
	}
	c.lock, err = c.env.FS.Lock(c.path(lockFile))
	if err != nil {
		return fmt.Errorf("%w: data directory %s is in use by another broker: %w", ErrStorage, c.dir, err)
	}
	return nil
}

func (c *Cluster) path(name string) string { return path.Join(c.dir, name) }

// start finishes an interrupted restore, makes a new engine from the files and lets requests in.
func (c *Cluster) start() error {
	c.failure.Lock()
	c.failure.err, c.failure.serving = nil, false
	c.failure.Unlock()
	if err := c.finishRestore(); err != nil {
		return err
	}
	e, err := c.openEngine()
	if err == nil && e.killed.Load() {
		err = fault.ErrKilled
	}
	c.failure.Lock()
	c.failure.serving = true
	if c.failure.err != nil {
		err = c.failure.err // the rest follows from it
	}
	c.failure.Unlock()
	if err != nil {
		return errors.Join(err, e.close(false))
	}
	c.powerCut = false
	c.gate.Lock()
	c.current = e
	c.gate.Unlock()
	c.env.Faults.Resume()
	c.rules.Resume()
	return nil
}

// stop keeps new requests out, waits for the running ones, at most leaveTimeout, and returns the engine; nil when there
// is none.
func (c *Cluster) stop() *engine {
	c.gate.Lock()
	e := c.current
	c.current = nil
	c.gate.Unlock()
	if e == nil {
		return nil
	}
	e.end()
	left := make(chan struct{})
	go func() {
		e.requests.Wait()
		close(left)
	}()
	timer := time.NewTimer(leaveTimeout)
	defer timer.Stop()
	select {
	case <-left:
	case <-timer.C: // they find everything closed
	}
	return e
}

// Close lets running requests finish, writes everything, and marks the directory as cleanly stopped. Connections with
// later requests are closed. A second call does nothing.
func (c *Cluster) Close() error {
	defer c.dying.Wait()
	return c.close()
}

func (c *Cluster) close() error {
	c.changing.Lock()
	defer c.changing.Unlock()
	e := c.stop()
	if c.lock == nil {
		return nil
	}
	var err error
	if e != nil {
		err = e.close(c.Err() == nil)
	}
	c.removing.Wait()
	err = errors.Join(err, c.lock.Close())
	c.lock = nil
	return err
}

// Kill ends the cluster like a SIGKILL: nothing is flushed, and nothing is written to the files once it has returned.
// Running requests get no answer. Reopen opens the cluster again.
func (c *Cluster) Kill() error {
	c.changing.Lock()
	defer c.changing.Unlock()
	if c.lock == nil {
		return ErrClosed
	}
	c.kill()
	return nil
}

func (c *Cluster) kill() {
	e := c.engine()
	if e == nil {
		return
	}
	e.killed.Store(true)
	e.drop()
	_ = c.stop()
	_ = e.close(false) // complains about the fence
}

// bury closes an engine that a fault has killed, if it is the current one.
func (c *Cluster) bury(e *engine) {
	c.changing.Lock()
	defer c.changing.Unlock()
	if c.lock == nil || c.engine() != e {
		return
	}
	c.kill()
	if !c.rules.TakeKill() {
		return
	}
	c.disconnect()
	if _, err := c.reopen(); err != nil {
		c.env.Logger.Error("the cluster is down: it was killed by a rule, and does not open again", "error", err)
	}
}

// Reopen opens the cluster again from its files, after Kill or after a failure.
func (c *Cluster) Reopen() error {
	c.changing.Lock()
	defer c.changing.Unlock()
	if c.lock == nil {
		return ErrClosed
	}
	if e := c.engine(); e != nil {
		return errors.New("the cluster is open")
	}
	return c.start()
}

// Handle carries out a request. It is the wire.Handler of every listener of the cluster.
func (c *Cluster) Handle(ctx context.Context, r *wire.Request) wire.Reply {
	e, replaced := c.enterOrWait()
	switch {
	case e != nil:
		return e.carryOut(func() wire.Reply { return e.services.Handle(ctx, r) })
	case replaced == nil:
		return wire.Reply{Close: true}
	}
	return wire.Reply{Resume: func(ctx context.Context) wire.Reply {
		select {
		case <-replaced:
		case <-ctx.Done():
			return wire.Reply{Close: true}
		}
		e := c.enter()
		if e == nil {
			return wire.Reply{Close: true}
		}
		reply := e.carryOut(func() wire.Reply { return e.services.Handle(ctx, r) })
		if reply.Resume != nil {
			reply = reply.Resume(ctx)
		}
		return reply
	}}
}

// replacing keeps requests waiting, in place of closing their connections, until the returned function is called: an
// engine is replaced by another one in milliseconds.
func (c *Cluster) replacing() (done func()) {
	replaced := make(chan struct{})
	c.gate.Lock()
	defer c.gate.Unlock()
	c.replaced = replaced
	return func() {
		c.gate.Lock()
		c.replaced = nil
		c.gate.Unlock()
		close(replaced)
	}
}

// carryOut runs the next part of a counted request, and ends the count after the last part.
func (e *engine) carryOut(part func() wire.Reply) (reply wire.Reply) {
	last := true
	defer func() { // also after a panic, which wire deals with
		if last {
			e.requests.Done()
		}
	}()
	reply = part()
	if e.killed.Load() {
		return wire.Reply{Close: true}
	}
	switch then, resume := reply.Then, reply.Resume; {
	case resume != nil:
		last = false
		reply.Resume = func(ctx context.Context) wire.Reply {
			return e.carryOut(func() wire.Reply { return resume(ctx) })
		}
	case then != nil:
		last = false
		reply.Then = func(ctx context.Context) kmsg.Response {
			defer e.requests.Done()
			resp := then(ctx)
			if e.killed.Load() {
				return nil
			}
			return resp
		}
	}
	return reply
}

// enter counts a request and returns the engine for it; nil when the cluster is down.
func (c *Cluster) enter() *engine {
	c.gate.RLock()
	defer c.gate.RUnlock()
	if c.current != nil {
		c.current.requests.Add(1)
	}
	return c.current
}

// enterOrWait is enter, or the channel to wait for.
func (c *Cluster) enterOrWait() (*engine, <-chan struct{}) {
	c.gate.RLock()
	defer c.gate.RUnlock()
	if c.current != nil {
		c.current.requests.Add(1)
	}
	return c.current, c.replaced
}

func (c *Cluster) engine() *engine {
	c.gate.RLock()
	defer c.gate.RUnlock()
	return c.current
}

// Rules are the rules by which tests make requests, and steps at the points of Faults, go wrong.
func (c *Cluster) Rules() *faults.Rules { return c.rules }

// Requests are the last requests of clients; nil while they are not remembered.
func (c *Cluster) Requests() *requestlog.Log { return c.remember }

// offsetsPartition returns the partition of __consumer_offsets of a group.
func (c *Cluster) offsetsPartition(group string) int32 {
	if e := c.engine(); e != nil {
		return e.groups.PartitionFor(group)
	}
	return -1
}

// Faults are the points of the cluster for faults by tests. A kill at one of them leaves the cluster like Kill does;
// Killed waits for that.
func (c *Cluster) Faults() *fault.Points { return c.env.Faults }

// Killed waits until kills at faults have been carried out.
func (c *Cluster) Killed() { c.dying.Wait() }

// Settings are the broker settings in force, with those that were changed while the cluster runs.
func (c *Cluster) Settings() *settings.Broker {
	if e := c.engine(); e != nil {
		return e.configs.Settings()
	}
	return c.env.Settings
}

// Connect counts a connection of an address, and returns for how long it is to be held before it is closed; 0 where it
// is to be served.
func (c *Cluster) Connect(from netip.Addr, now time.Time) time.Duration {
	if e := c.engine(); e != nil {
		return e.quotas.Connect(from, now)
	}
	return 0
}

// Clock is the cluster's clock.
func (c *Cluster) Clock() *clock.Movable { return c.env.Clock }

// Err returns the error with which the cluster has failed; nil if it has not.
func (c *Cluster) Err() error {
	c.failure.Lock()
	defer c.failure.Unlock()
	return c.failure.err
}

// fail makes the cluster fail for good: after a failed sync a later one may succeed without having written the bytes.
// Errors of a replaced engine are ignored.
func (c *Cluster) fail(of *engine, err error) {
	if of.ended() || of.killed.Load() {
		return
	}
	c.failure.Lock()
	first, serving := c.failure.err == nil, c.failure.serving
	failure := fmt.Errorf("%w: %w", ErrStorage, err)
	if first {
		c.failure.err = failure
	}
	c.failure.Unlock()
	if !first {
		return
	}
	if errors.Is(err, faults.ErrSyncFailed) { // on behalf of a test, which restarts it
		c.env.Logger.Warn("a rule has made a sync fail; the cluster is down until it is restarted", "error", err)
		c.dying.Go(func() { c.bury(of) })
		return
	}
	c.env.Logger.Error("the broker stops", "error", err)
	if serving && c.env.OnFailure != nil {
		go c.env.OnFailure(failure)
	}
}

// Gather implements prometheus.Gatherer. While the cluster is down there are no metrics.
func (c *Cluster) Gather() ([]*dto.MetricFamily, error) {
	e := c.engine()
	if e == nil {
		return nil, nil
	}
	return e.registry.Gather()
}

var _ prometheus.Gatherer = (*Cluster)(nil)
