package faults

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"once/internal/fault"
	"once/wire"
)

// Limits on the rules of a cluster, and on what they keep.
const (
	lastFirings  = 10       // requests that are remembered of each rule that it fired on
	maxRules     = 1000     // at a time
	maxTextBytes = 16 << 10 // of all names in a rule
	maxClients   = 1000     // client IDs that a blackhole acts on, beyond the connections that it has swallowed
	maxLate      = 1000     // requests whose clients have gone and that are still to be carried out
	maxLateBytes = 64 << 20 // of them
)

// ErrTooManyRules: a cluster can have 1000 rules at a time.
var ErrTooManyRules = errors.New("there can be 1000 rules at a time")

// Options are what rules need of their cluster.
type Options struct {
	Points *fault.Points // the inner points
	APIs   func() []API  // that are served
	// OffsetsPartition returns the partition of __consumer_offsets of a group.
	OffsetsPartition func(group string) int32
}

// Rules are the rules of one cluster. They stay when it is closed and opened again. Safe for concurrent use; a nil
// *Rules has none.
//
// Locking: mu is a leaf lock. The points call a rule while they hold theirs, so no method of them is called under mu.
type Rules struct {
	o      Options
	armed  atomic.Pointer[[]*Armed] // those for requests; nil when there are none
	killed atomic.Bool              // a rule has killed the cluster
	mu     struct {
		sync.Mutex
		all        []*Armed // in the order in which they were made
		made       int
		blackholes map[int64]blackhole // by connection
		changed    chan struct{}       // closed when a count changes; nil while nobody waits for that
		suspended  bool                // nothing is held or delayed
		late       int                 // requests that are kept for clients that have gone
		lateBytes  int                 // of them
	}
	late sync.WaitGroup // requests that are carried out after a release, or without their clients
}

// blackhole is a connection that gets no answers.
type blackhole struct {
	of    *Armed
	close func()
}

// Armed is a rule of a cluster.
type Armed struct {
	id    string // immutable, as are all up to point
	rule  Rule
	code  wire.Code // of do.error
	keys  [2]uint64 // the APIs, as bits; all when none is given
	point *fault.Fault

	removed            bool // under Rules.mu, as are the next ones
	matched, triggered int
	dice               *rand.Rand
	held               []*Hold
	last               []Firing
	clients            map[string]struct{} // on which a blackhole has acted
}

// Firing is a request that a rule fired on, or a call of an inner point.
type Firing struct {
	At              time.Time `json:"at"`
	API             string    `json:"api,omitempty"`
	Version         int16     `json:"version"`
	Connection      int64     `json:"connection,omitempty"`
	ClientID        string    `json:"clientId,omitempty"`
	TransactionalID string    `json:"transactionalId,omitempty"`
	Group           string    `json:"group,omitempty"`
	Topic           string    `json:"topic,omitempty"`
	Partition       *int32    `json:"partition,omitempty"`
}

// State is a rule with its counts.
type State struct {
	ID string `json:"id"`
	Rule
	Matched   int      `json:"matched"`
	Triggered int      `json:"triggered"`
	Held      int      `json:"held"`
	Last      []Firing `json:"last"`
}

// New returns rules of which there are none yet.
func New(o Options) *Rules {
	r := &Rules{o: o}
	r.mu.blackholes = map[int64]blackhole{}
	return r
}

// Add adds a rule behind the others. The error is a *FieldError or ErrTooManyRules.
func (r *Rules) Add(rule Rule) (State, error) {
	a, err := r.make(rule)
	if err != nil {
		return State{}, err
	}
	if err := r.arm(a); err != nil {
		return State{}, err
	}
	return r.state(a), nil
}

// Replace replaces all rules by a list, or changes nothing if one of them is wrong; at is its place in the list.
func (r *Rules) Replace(rules []Rule) (states []State, at int, err error) {
	if len(rules) > maxRules {
		return nil, 0, ErrTooManyRules
	}
	made := make([]*Armed, len(rules))
	for i, rule := range rules {
		if made[i], err = r.make(rule); err != nil {
			return nil, i, err
		}
	}
	for _, old := range r.list() {
		r.remove(old)
	}
	for i, a := range made {
		if err := r.arm(a); err != nil {
			return nil, i, err
		}
		states = append(states, r.state(a))
	}
	return states, 0, nil
}

func (r *Rules) make(rule Rule) (*Armed, error) {
	apis := r.o.APIs()
	if err := rule.check(apis); err != nil {
		return nil, err
	}
	a := &Armed{rule: rule, clients: map[string]struct{}{}}
	a.code, _ = wire.CodeNamed(rule.Do.Error)
	for _, api := range apis {
		if len(rule.Match.API) == 0 || slices.Contains(rule.Match.API, api.Name) {
			a.keys[api.Key/64] |= 1 << (api.Key % 64)
		}
	}
	if w := rule.When; w != nil && w.Probability != nil {
		seed := rand.Int64()
		if w.Seed != nil {
			seed = *w.Seed
		}
		a.dice = rand.New(rand.NewPCG(uint64(seed), 0))
	}
	return a, nil
}

func (r *Rules) arm(a *Armed) error {
	r.mu.Lock()
	if len(r.mu.all) >= maxRules {
		r.mu.Unlock()
		return ErrTooManyRules
	}
	r.mu.made++
	a.id = "f" + strconv.Itoa(r.mu.made)
	r.mu.Unlock()
	if a.rule.Match.Point != "" {
		armed, err := r.o.Points.Arm(r.pointRule(a))
		if err != nil {
			return wrong("do", "%v", err)
		}
		a.point = armed
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.mu.all = append(r.mu.all, a)
	r.publishLocked()
	return nil
}

// publishLocked updates what requests look at.
func (r *Rules) publishLocked() {
	var requests []*Armed
	for _, a := range r.mu.all {
		if a.rule.Match.Point == "" {
			requests = append(requests, a)
		}
	}
	if len(requests) == 0 && len(r.mu.blackholes) == 0 {
		r.armed.Store(nil)
		return
	}
	r.armed.Store(&requests)
}

func (r *Rules) list() []*Armed {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.mu.all)
}

func (r *Rules) find(id string) *Armed {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, a := range r.mu.all {
		if a.id == id {
			return a
		}
	}
	return nil
}

// remove ends a rule: it carries out what it holds, and closes the connections that it has kept without answers,
// because a client could take a later answer for an earlier one.
func (r *Rules) remove(a *Armed) {
	r.mu.Lock()
	a.removed = true
	r.mu.all = slices.DeleteFunc(r.mu.all, func(other *Armed) bool { return other == a })
	var closes []func()
	for connection, b := range r.mu.blackholes {
		if b.of == a {
			closes = append(closes, b.close)
			delete(r.mu.blackholes, connection)
		}
	}
	r.publishLocked()
	r.changedLocked()
	r.mu.Unlock()
	for _, c := range closes {
		c()
	}
	if a.point != nil {
		a.point.Disarm()
	}
	r.release(a)
}

// States returns all rules.
func (r *Rules) States() []State {
	states := []State{}
	for _, a := range r.list() {
		states = append(states, r.state(a))
	}
	return states
}

// State returns a rule; false when there is none of the ID.
func (r *Rules) State(id string) (State, bool) {
	a := r.find(id)
	if a == nil {
		return State{}, false
	}
	return r.state(a), true
}

func (r *Rules) state(a *Armed) State {
	held := 0
	if a.point != nil {
		held = a.point.Counts().Held
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, h := range a.held {
		if h.waiting { // an answer is held when the request has been carried out
			held++
		}
	}
	return State{ID: a.id, Rule: a.rule, Matched: a.matched, Triggered: a.triggered, Held: held,
		Last: append([]Firing{}, a.last...)}
}

// Remove ends a rule and returns its final counts; false when there is none of the ID.
func (r *Rules) Remove(id string) (State, bool) {
	a := r.find(id)
	if a == nil {
		return State{}, false
	}
	state := r.state(a)
	r.remove(a)
	return state, true
}

// RemoveAll ends all rules and returns their final counts.
func (r *Rules) RemoveAll() []State {
	states := r.States()
	for _, a := range r.list() {
		r.remove(a)
	}
	return states
}

// Release lets go of what a rule holds, and returns how much that was; false when there is no such rule.
func (r *Rules) Release(id string) (n int, ok bool) {
	a := r.find(id)
	if a == nil {
		return 0, false
	}
	if a.point != nil {
		n = a.point.Release()
	}
	return n + r.release(a), true
}

// Await returns when enough says so of a rule's state, or ctx ends; false when the rule is gone.
func (r *Rules) Await(ctx context.Context, id string, enough func(State) bool) (State, bool) {
	a := r.find(id)
	if a == nil {
		return State{}, false
	}
	for {
		r.mu.Lock()
		if r.mu.changed == nil {
			r.mu.changed = make(chan struct{})
		}
		changed := r.mu.changed
		r.mu.Unlock()
		state := r.state(a)
		if enough(state) || ctx.Err() != nil || r.find(id) == nil {
			return state, true
		}
		if a.point != nil { // what a point holds it counts by itself, and tells nobody here
			before := state.Held
			done := make(chan struct{})
			stop := context.AfterFunc(ctx, func() { close(done) })
			go func() {
				select {
				case <-changed:
					if stop() {
						close(done)
					}
				case <-done:
				}
			}()
			if a.point.Await(done, func(c fault.Counts) bool { return c.Held != before }) && stop() {
				close(done)
			}
			continue
		}
		select {
		case <-changed:
		case <-ctx.Done():
		}
	}
}

func (r *Rules) changedLocked() {
	if r.mu.changed != nil {
		close(r.mu.changed)
		r.mu.changed = nil
	}
}

// firesLocked counts a match and says whether the rule fires at it.
func (a *Armed) firesLocked() bool {
	a.matched++
	fires := false
	switch w := a.rule.When; {
	case w == nil:
		fires = a.matched == 1
	case w.Always:
		fires = true
	case w.Nth != nil:
		fires = a.matched == *w.Nth
	case w.Probability != nil:
		fires = a.dice.Float64() < *w.Probability && (w.Times == nil || a.triggered < *w.Times)
	case w.After != nil:
		fires = a.matched > *w.After && a.matched <= *w.After+*w.Times
	default:
		fires = a.matched <= *w.Times
	}
	if fires {
		a.triggered++
	}
	return fires
}

func (a *Armed) firedLocked(f Firing) {
	if len(a.last) == lastFirings {
		a.last = append(a.last[:0], a.last[1:]...)
	}
	a.last = append(a.last, f)
}
