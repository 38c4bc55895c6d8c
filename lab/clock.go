package lab

import (
	"log/slog"
	"net/http"
	"time"

	"once/faults"
	"once/internal/clock"
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
	At time.Time `json:"at"`
}

// ClockChange moves, freezes or resumes a clock. Exactly one of its fields is set.
type ClockChange struct {
	Advance *faults.Duration `json:"advance"`
	Freeze  bool             `json:"freeze"`
	Resume  bool             `json:"resume"`
	Set     *time.Time       `json:"set"`
}

// Moved is what a change of the clock has done.
type Moved struct {
	Clock
	Did []map[string]any `json:"did"`
}

func clockCalls() []call {
	return []call{
		on(http.MethodGet, "/clock", "The cluster's clock", func(x *exchange, _ *none) (Clock, error) {
			return clockOf(x.cluster.Clock()), nil
		}),
		on(http.MethodPost, "/clock", "Move, freeze or resume the cluster's clock", changeClock),
	}
}

func clockOf(c *clock.Movable) Clock {
	state := Clock{Now: c.Now().UTC(), Offset: faults.Duration(c.Offset().Round(time.Millisecond)), Frozen: c.Frozen()}
	if at, ok := c.Next(); ok {
		state.Next = &Deadline{At: at.UTC()}
	}
	return state
}

func changeClock(x *exchange, change *ClockChange) (Moved, error) {
	c := x.cluster.Clock()
	if err := exactlyOne(change.Advance != nil, change.Freeze, change.Resume, change.Set != nil); err != nil {
		return Moved{}, wrong("", "%v of advance, freeze, resume, set", err)
	}
	var events []clock.Event
	switch {
	case change.Advance != nil && *change.Advance < 0:
		return Moved{}, wrong("advance", "must not be negative: time does not go back")
	case change.Advance != nil:
		events = c.Advance(time.Duration(*change.Advance))
	case change.Freeze:
		c.Freeze()
	case change.Resume:
		c.Resume()
	case change.Set.Before(c.Now()):
		return Moved{}, fails(http.StatusConflict, "set: the clock stands at %s, and time does not go back", c.Now().UTC().Format(time.RFC3339Nano))
	default:
		events = c.AdvanceTo(*change.Set)
	}
	moved := Moved{Clock: clockOf(c), Did: []map[string]any{}}
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
