package lab

import (
	"log/slog"
	"net/http"
	"time"

	"once/cluster"
	"once/faults"
	"once/internal/clock"
	"once/txncoordinator"
)

// Clock is the state of a cluster's clock.
type Clock struct {
	Now    time.Time       `json:"now"`
	Offset faults.Duration `json:"offset"` // ahead of the machine's; may be negative
	Frozen bool            `json:"frozen"`
	Next   *Deadline       `json:"next,omitempty"`
}

// Deadline is what falls due next.
type Deadline struct {
	At   time.Time `json:"at"`
	What string    `json:"what"`
}

// ClockChange moves, freezes or resumes a clock. Exactly one of its fields is set, but for the last two.
type ClockChange struct {
	Advance       *faults.Duration `json:"advance"`
	AdvanceToNext bool             `json:"advanceToNext"`
	Freeze        bool             `json:"freeze"`
	Resume        bool             `json:"resume"`
	Set           *time.Time       `json:"set"`
	// ExpireMembers lets the sessions of group members that live time out; it goes with a move.
	ExpireMembers bool `json:"expireMembers"`
	// ExpireLocks lets the record locks of members that live end; it goes with a move.
	ExpireLocks bool `json:"expireLocks"`
}

// Moved is what a change of the clock has done.
type Moved struct {
	Clock
	Did     []map[string]any `json:"did"`
	Pending []Transaction    `json:"pending"` // what has fallen due and cannot be finished now
}

func clockCalls() []call {
	return []call{
		on(http.MethodGet, "/clock", "The cluster's clock", func(x *exchange, _ *none) (Clock, error) {
			return clockOf(x.cluster), nil
		}),
		on(http.MethodPost, "/clock", "Move, freeze or resume the cluster's clock", changeClock),
	}
}

func clockOf(of *cluster.Cluster) Clock {
	c := of.Clock()
	state := Clock{Now: c.Now().UTC(), Offset: faults.Duration(c.Offset().Round(time.Millisecond)), Frozen: c.Frozen()}
	state.Next = nextDeadline(of)
	return state
}

// nextDeadline returns the timeout of the transaction that times out first, else the next check.
func nextDeadline(c *cluster.Cluster) *Deadline {
	var next *Deadline
	eachOpen(c, func(v cluster.View, id string) {
		d, err := v.Txns.Describe(id)
		if err != nil || d.StartTimestampMs < 0 {
			return
		}
		at := time.UnixMilli(d.StartTimestampMs + int64(d.TimeoutMs))
		if next == nil || at.Before(next.At) {
			next = &Deadline{at.UTC(), "transaction " + id + " times out"}
		}
	})
	if at, ok := c.Clock().Next(); next == nil && ok {
		next = &Deadline{at.UTC(), "check"}
	}
	return next
}

// openTransactions returns the transactions that are not ended.
func openTransactions(c *cluster.Cluster) (open []Transaction) {
	eachOpen(c, func(v cluster.View, id string) {
		if t, err := transactionIn(c, v, id); err == nil && t.TimeLeft != nil {
			open = append(open, t)
		}
	})
	return open
}

// eachOpen calls f with each transactional ID that has an open transaction.
func eachOpen(c *cluster.Cluster, f func(v cluster.View, id string)) {
	v, ok := c.View()
	if !ok {
		return
	}
	defer v.End()
	listed, _, _ := v.Txns.List(txncoordinator.ListFilter{DurationMs: -1})
	for _, l := range listed {
		if !l.State.Idle() {
			f(v, l.TransactionalID)
		}
	}
}

// latestClock is as far as the clock goes: behind it times in nanoseconds would end, and begin again in the past.
var latestClock = time.Date(2200, 1, 1, 0, 0, 0, 0, time.UTC)

func changeClock(x *exchange, change *ClockChange) (Moved, error) {
	c := x.cluster.Clock()
	if err := exactlyOne(change.Advance != nil, change.AdvanceToNext, change.Freeze, change.Resume,
		change.Set != nil); err != nil {
		return Moved{}, wrong("", "%v of advance, advanceToNext, freeze, resume, set", err)
	}
	for name, given := range map[string]bool{"expireMembers": change.ExpireMembers, "expireLocks": change.ExpireLocks} {
		if given && (change.Freeze || change.Resume) {
			return Moved{}, wrong(name, "goes with a move only")
		}
	}
	var events []clock.Event
	advance := func(d time.Duration) {
		events = x.cluster.AdvanceClock(d, cluster.MoveOptions{ExpireMembers: change.ExpireMembers,
			ExpireLocks: change.ExpireLocks})
	}
	switch {
	case change.Advance != nil && *change.Advance < 0:
		return Moved{}, wrong("advance", "must not be negative: time does not go back")
	case change.Advance != nil && time.Duration(*change.Advance) > latestClock.Sub(c.Now()):
		return Moved{}, wrong("advance", "must not go beyond %s", latestClock.Format(time.RFC3339))
	case change.Set != nil && change.Set.After(latestClock):
		return Moved{}, wrong("set", "must not be later than %s", latestClock.Format(time.RFC3339))
	case change.Advance != nil:
		advance(time.Duration(*change.Advance))
	case change.AdvanceToNext:
		if next := nextDeadline(x.cluster); next != nil {
			advance(next.At.Sub(c.Now()) + 2*time.Millisecond) // it times out when its time is over, in whole milliseconds
		}
	case change.Freeze:
		c.Freeze()
	case change.Resume:
		c.Resume()
	case change.Set.Before(c.Now()):
		return Moved{}, fails(http.StatusConflict, "set: the clock stands at %s, and time does not go back",
			c.Now().UTC().Format(time.RFC3339Nano))
	default:
		advance(change.Set.Sub(c.Now()))
	}
	moved := Moved{Clock: clockOf(x.cluster), Did: []map[string]any{}, Pending: []Transaction{}}
	for _, t := range openTransactions(x.cluster) {
		if *t.TimeLeft <= 0 || t.State == "PrepareCommit" || t.State == "PrepareAbort" {
			moved.Pending = append(moved.Pending, t)
		}
	}
	for _, e := range events {
		moved.Did = append(moved.Did, eventOf(e))
	}
	return moved, nil
}

func eventOf(e clock.Event) map[string]any {
	fields := map[string]any{"at": e.At.UTC(), "what": e.What}
	for _, a := range e.Attributes {
		fields[a.Key] = a.Value.Any()
		if a.Value.Kind() == slog.KindDuration {
			fields[a.Key] = a.Value.Duration().String()
		}
	}
	return fields
}
