package lab

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"once/cluster"
	"once/faults"
)

// Condition is what an await waits for. Exactly one of its fields is set, besides Timeout.
type Condition struct {
	Transaction *TransactionCondition `json:"transaction"`
	Group       *GroupCondition       `json:"group"`
	Committed   *CommittedCondition   `json:"committed"`
	Partition   *PartitionCondition   `json:"partition"`
	CaughtUp    *CaughtUpCondition    `json:"caughtUp"`
	Fault       *FaultCondition       `json:"fault"`
	Idle        *faults.Duration      `json:"idle"` // no request of a client that has work to do for so long
	Timeout     string                `json:"timeout"`
}

// TransactionCondition is that a transactional ID is in one of some states, or unknown.
type TransactionCondition struct {
	ID     string       `json:"id"`
	State  faults.Names `json:"state"`
	Absent bool         `json:"absent"`
}

// GroupCondition is that a group is in one of some states, and has so many members.
type GroupCondition struct {
	ID      string       `json:"id"`
	State   faults.Names `json:"state"`
	Members *int         `json:"members"`
}

// CommittedCondition is that a group has committed at least an offset.
type CommittedCondition struct {
	Group     string `json:"group"`
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	Offset    int64  `json:"offset"`
}

// PartitionCondition is that a partition has come at least so far; the number of open transactions is exact.
type PartitionCondition struct {
	Topic            string `json:"topic"`
	Partition        int32  `json:"partition"`
	LastStableOffset *int64 `json:"lastStableOffset"`
	HighWatermark    *int64 `json:"highWatermark"`
	Records          *int64 `json:"records"` // that a read_committed reader gets
	OpenTransactions *int   `json:"openTransactions"`
}

// CaughtUpCondition is that no record is left for a group.
type CaughtUpCondition struct {
	Group string `json:"group"`
}

// FaultCondition is that a rule has fired at least so often.
type FaultCondition struct {
	ID        string `json:"id"`
	Triggered *int   `json:"triggered"`
	Held      *int   `json:"held"`
	Matched   *int   `json:"matched"`
}

// pollInterval is how often a condition is looked at.
const pollInterval = 2 * time.Millisecond

func awaitCalls() []call {
	return []call{on(http.MethodPost, "/await", "Wait until a condition holds", await).onlyReads()}
}

// observation looks at the state that a condition is about.
type observation func(x *exchange, v cluster.View) (state any, holds bool, err error)

func await(x *exchange, c *Condition) (any, error) {
	look, err := c.observation()
	if err != nil {
		return nil, err
	}
	ctx, done, err := x.waitUntil(c.Timeout, "timeout")
	if err != nil {
		return nil, err
	}
	defer done()
	return c.await(ctx, x, look)
}

// Await waits until a condition holds for a cluster, or ctx ends, and returns the state that it is about. The error
// says what is wrong with the condition, or that it did not hold.
func Await(ctx context.Context, of *cluster.Cluster, c Condition) (state any, err error) {
	look, err := c.observation()
	if err != nil {
		return nil, err
	}
	x := &exchange{cluster: of, request: (&http.Request{}).WithContext(ctx)}
	state, err = c.await(ctx, x, look)
	var p *problem
	if errors.As(err, &p) && p.status == http.StatusRequestTimeout {
		return p.answer, fmt.Errorf("the condition did not hold: %+v", p.answer)
	}
	return state, err
}

func (c *Condition) await(ctx context.Context, x *exchange, look observation) (any, error) {
	if log := x.cluster.Requests(); c.Idle != nil && log != nil {
		defer log.Watch()()
	}
	ticker := time.NewTicker(pollInterval)
	defer ticker.Stop()
	for {
		var state any
		var err error
		holds := false
		if v, ok := x.cluster.View(); ok { // it may be restarting
			state, holds, err = look(x, v)
			v.End()
		}
		switch {
		case err != nil:
			return nil, err
		case holds:
			return state, nil
		case ctx.Err() != nil:
			return nil, withStatus(http.StatusRequestTimeout, state)
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
		}
	}
}

// observation returns how to look at the condition, or what is wrong with it.
func (c *Condition) observation() (observation, error) {
	given := []bool{c.Transaction != nil, c.Group != nil, c.Committed != nil, c.Partition != nil, c.CaughtUp != nil,
		c.Fault != nil, c.Idle != nil}
	if err := exactlyOne(given...); err != nil {
		return nil, wrong("", "%v of transaction, group, committed, partition, caughtUp, fault, idle", err)
	}
	switch {
	case c.Transaction != nil:
		return c.Transaction.observation()
	case c.Group != nil:
		return c.Group.observation()
	case c.Committed != nil:
		return c.Committed.observation, c.Committed.check()
	case c.Partition != nil:
		return c.Partition.observation()
	case c.CaughtUp != nil:
		return c.CaughtUp.observation, required("caughtUp.group", c.CaughtUp.Group)
	case c.Idle != nil && *c.Idle < 0:
		return nil, wrong("idle", "must not be negative")
	case c.Idle != nil:
		return c.observeIdle, nil
	}
	return c.Fault.observation()
}

// IdleState says for how long no client has had work to do.
type IdleState struct {
	Idle faults.Duration `json:"idle"`
}

func (c *Condition) observeIdle(x *exchange, _ cluster.View) (any, bool, error) {
	log := x.cluster.Requests()
	if log == nil {
		return nil, false, fails(http.StatusNotFound, "requests are not remembered while the lab is off (lab=false)")
	}
	idle := log.Idle()
	return IdleState{faults.Duration(idle.Round(time.Millisecond))}, idle >= time.Duration(*c.Idle), nil
}

// required returns an error for the first field, of pairs of names and values, that is empty.
func required(pairs ...string) error {
	for i := 0; i < len(pairs); i += 2 {
		if pairs[i+1] == "" {
			return wrong(pairs[i], "is missing")
		}
	}
	return nil
}

// atLeastZero returns an error for the first field that is given and negative.
func atLeastZero(fields ...numberField) error {
	for _, f := range fields {
		if f.value < 0 {
			return wrong(f.name, "must not be negative")
		}
	}
	return nil
}

type numberField struct {
	name  string
	value int64
}

// number is a field that may be absent.
func number[N int | int64](name string, n *N) numberField {
	if n == nil {
		return numberField{name: name}
	}
	return numberField{name, int64(*n)}
}

// missing is the state of what is not there.
type missing struct {
	Missing string `json:"missing"`
}

var transactionStates = []string{"Empty", "Ongoing", "PrepareCommit", "PrepareAbort", "CompleteCommit", "CompleteAbort"}

func (c *TransactionCondition) observation() (observation, error) {
	if err := required("transaction.id", c.ID); err != nil {
		return nil, err
	}
	if (len(c.State) > 0) == c.Absent {
		return nil, wrong("transaction", "must have one of state and absent")
	}
	for _, s := range c.State {
		if !slices.Contains(transactionStates, s) {
			return nil, wrong("transaction.state", "there is no %q; allowed are %s", s, allowed(transactionStates))
		}
	}
	return func(x *exchange, v cluster.View) (any, bool, error) {
		t, err := transactionIn(x.cluster, v, c.ID)
		if err != nil {
			return missing{c.ID}, c.Absent, nil
		}
		return t, slices.Contains(c.State, t.State), nil
	}, nil
}

// groupStates are those of all types of groups.
var groupStates = []string{"Empty", "PreparingRebalance", "CompletingRebalance", "Assigning", "Reconciling", "NotReady",
	"Stable", deadGroup}

// deadGroup is the state of a group that does not exist, as Kafka describes it.
const deadGroup = "Dead"

func (c *GroupCondition) observation() (observation, error) {
	if err := errors.Join(required("group.id", c.ID), atLeastZero(number("group.members", c.Members))); err != nil {
		return nil, err
	}
	if len(c.State) == 0 && c.Members == nil {
		return nil, wrong("group", "must have state or members")
	}
	for _, s := range c.State {
		if !slices.Contains(groupStates, s) {
			return nil, wrong("group.state", "there is no %q; allowed are %s", s, allowed(groupStates))
		}
	}
	return func(x *exchange, v cluster.View) (any, bool, error) {
		g, err := groupIn(x.request.Context(), v, c.ID)
		if err != nil {
			return missing{c.ID}, slices.Contains(c.State, deadGroup) && (c.Members == nil || *c.Members == 0), nil
		}
		return g, (len(c.State) == 0 || slices.Contains(c.State, g.State)) &&
			(c.Members == nil || len(g.Members) == *c.Members), nil
	}, nil
}

func (c *CommittedCondition) check() error {
	return errors.Join(required("committed.group", c.Group, "committed.topic", c.Topic), atLeastZero(
		numberField{"committed.partition", int64(c.Partition)}, numberField{"committed.offset", c.Offset}))
}

func (c *CommittedCondition) observation(x *exchange, v cluster.View) (any, bool, error) {
	g, err := groupIn(x.request.Context(), v, c.Group)
	if err != nil {
		return missing{c.Group}, false, nil
	}
	return g, slices.ContainsFunc(g.Offsets, func(o Offset) bool {
		return o.Topic == c.Topic && o.Partition == c.Partition && o.Committed >= c.Offset
	}), nil
}

// PartitionState is the state of a partition that an await was for.
type PartitionState struct {
	Topic string `json:"topic"`
	Partition
	Records *int64 `json:"records,omitempty"`
}

func (c *PartitionCondition) observation() (observation, error) {
	err := errors.Join(required("partition.topic", c.Topic), atLeastZero(
		numberField{"partition.partition", int64(c.Partition)}, number("partition.lastStableOffset", c.LastStableOffset),
		number("partition.highWatermark", c.HighWatermark), number("partition.records", c.Records),
		number("partition.openTransactions", c.OpenTransactions)))
	if err != nil {
		return nil, err
	}
	if c.LastStableOffset == nil && c.HighWatermark == nil && c.Records == nil && c.OpenTransactions == nil {
		return nil, wrong("partition", "must have one of lastStableOffset, highWatermark, records, openTransactions")
	}
	return func(_ *exchange, v cluster.View) (any, bool, error) {
		p, ok := v.Topics.Partition(c.Topic, c.Partition)
		if !ok {
			return missing{c.Topic}, false, nil
		}
		s := PartitionState{Topic: c.Topic, Partition: partitionOf(c.Partition, p)}
		holds := s.Offline == "" &&
			(c.LastStableOffset == nil || s.LastStableOffset >= *c.LastStableOffset) &&
			(c.HighWatermark == nil || s.HighWatermark >= *c.HighWatermark) &&
			(c.OpenTransactions == nil || s.OpenTransactions == *c.OpenTransactions)
		if c.Records != nil && s.Offline == "" {
			n, err := cluster.CommittedRecords(p, s.LogStartOffset, s.LastStableOffset)
			if err != nil {
				return s, false, err
			}
			s.Records = &n
			holds = holds && n >= *c.Records
		}
		return s, holds, nil
	}, nil
}

func (c *CaughtUpCondition) observation(x *exchange, v cluster.View) (any, bool, error) {
	g, err := groupIn(x.request.Context(), v, c.Group)
	if err != nil {
		return missing{c.Group}, false, nil
	}
	return g, len(g.Offsets) > 0 && g.Lag == 0, nil
}

func (c *FaultCondition) observation() (observation, error) {
	if err := errors.Join(required("fault.id", c.ID), atLeastZero(number("fault.triggered", c.Triggered),
		number("fault.held", c.Held), number("fault.matched", c.Matched))); err != nil {
		return nil, err
	}
	if c.Triggered == nil && c.Held == nil && c.Matched == nil {
		return nil, wrong("fault", "must have one of triggered, held, matched")
	}
	return func(x *exchange, _ cluster.View) (any, bool, error) {
		f, ok := x.cluster.Rules().State(c.ID)
		if !ok {
			return nil, false, fails(http.StatusNotFound, "there is no fault %q", c.ID)
		}
		return f, (c.Triggered == nil || f.Triggered >= *c.Triggered) && (c.Held == nil || f.Held >= *c.Held) &&
			(c.Matched == nil || f.Matched >= *c.Matched), nil
	}, nil
}
