package lab

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"once/faults"
)

const (
	defaultWait = 5 * time.Second  // for a wait without timeout
	maxWait     = 60 * time.Second // the longest timeout
)

// Released says how much a rule has let go of.
type Released struct {
	ID       string `json:"id"`
	Released int    `json:"released"`
}

// NeverFired is the answer when rules that were to fire did not.
type NeverFired struct {
	Problem
	NeverTriggered []RuleName `json:"neverTriggered"`
	Faults         []Fault    `json:"faults"`
}

// Fault is a rule with its counts.
type Fault = faults.State

// RuleName names a rule.
type RuleName struct {
	ID   string `json:"id"`
	Name string `json:"name,omitempty"`
}

func faultCalls() []call {
	return []call{
		on(http.MethodGet, "/faults", "All rules with their counts, or the first limit ones; held=true: those that hold "+
			"something; brief=true: without the requests that they fired on", listFaults).takes("held", "brief", "limit"),
		on(http.MethodPost, "/faults", "Make a rule, behind the others", addFault).withStatus(http.StatusCreated),
		on(http.MethodPut, "/faults", "Replace all rules by a list", replaceFaults),
		on(http.MethodDelete, "/faults", "End all rules", endFaults).takes("requireTriggered"),
		on(http.MethodGet, "/faults/{id}", "A rule; wait for it to be triggered, held or matched", getFault).takes("wait",
			"timeout"),
		on(http.MethodDelete, "/faults/{id}", "End a rule", endFault).takes("requireTriggered"),
		on(http.MethodPost, "/faults/{id}/release", "Let go of what a rule holds", releaseFault),
	}
}

func listFaults(x *exchange, _ *none) ([]Fault, error) {
	held, err := x.flag("held")
	if err != nil {
		return nil, err
	}
	brief, err := x.flag("brief")
	if err != nil {
		return nil, err
	}
	all := slices.DeleteFunc(x.cluster.Rules().States(), func(f Fault) bool { return held && f.Held == 0 })
	x.countAll(len(all))
	for i := range all {
		if brief {
			all[i].Last = []faults.Firing{}
		}
	}
	return firstOf(x, all)
}

func addFault(x *exchange, rule *faults.Rule) (Fault, error) {
	state, err := x.cluster.Rules().Add(*rule)
	return state, ruleError("", err)
}

func replaceFaults(x *exchange, rules *[]faults.Rule) ([]Fault, error) {
	states, at, err := x.cluster.Rules().Replace(*rules)
	if states == nil {
		states = []Fault{}
	}
	return states, ruleError(fmt.Sprintf("[%d].", at), err)
}

// ruleError makes the field of a rule that is wrong one of the body.
func ruleError(before string, err error) error {
	var field *faults.FieldError
	switch {
	case errors.As(err, &field):
		return wrong(before+field.Field, "%s", field.Reason)
	case errors.Is(err, faults.ErrTooManyRules):
		return fails(http.StatusConflict, "%v", err)
	}
	return err
}

func (x *exchange) noSuchFault() error {
	return fails(http.StatusNotFound, "there is no fault %q", x.request.PathValue("id"))
}

// flag returns a parameter of the query that is true or false.
func (x *exchange) flag(name string) (bool, error) {
	switch x.query.Get(name) {
	case "true":
		return true, nil
	case "", "false":
		return false, nil
	}
	return false, wrong("?"+name, "must be true or false")
}

func endFaults(x *exchange, _ *none) ([]Fault, error) {
	required, err := x.flag("requireTriggered")
	if err != nil {
		return nil, err
	}
	return ended(x.cluster.Rules().RemoveAll(), required)
}

func endFault(x *exchange, _ *none) (Fault, error) {
	required, err := x.flag("requireTriggered")
	if err != nil {
		return Fault{}, err
	}
	state, ok := x.cluster.Rules().Remove(x.request.PathValue("id"))
	if !ok {
		return Fault{}, x.noSuchFault()
	}
	_, err = ended([]Fault{state}, required)
	return state, err
}

// ended is the answer for rules that are gone: an error when they were to fire and one never did.
func ended(states []Fault, required bool) ([]Fault, error) {
	never := NeverFired{Faults: states}
	for _, s := range states {
		if s.Triggered == 0 {
			never.NeverTriggered = append(never.NeverTriggered, RuleName{s.ID, s.Name})
		}
	}
	if !required || len(never.NeverTriggered) == 0 {
		return states, nil
	}
	detail := "never triggered:"
	for _, n := range never.NeverTriggered {
		detail += fmt.Sprintf(" %s (%s)", n.ID, n.Name)
	}
	never.Problem = Problem{Title: http.StatusText(http.StatusConflict), Status: http.StatusConflict, Detail: detail}
	return nil, withStatus(http.StatusConflict, never)
}

func getFault(x *exchange, _ *none) (Fault, error) {
	id := x.request.PathValue("id")
	var enough func(Fault) bool
	switch x.query.Get("wait") {
	case "":
		if x.query.Has("timeout") {
			return Fault{}, wrong("?timeout", "goes with ?wait only")
		}
		state, ok := x.cluster.Rules().State(id)
		if !ok {
			return Fault{}, x.noSuchFault()
		}
		return state, nil
	case "triggered":
		enough = func(f Fault) bool { return f.Triggered > 0 }
	case "held":
		enough = func(f Fault) bool { return f.Held > 0 }
	case "matched":
		enough = func(f Fault) bool { return f.Matched > 0 }
	default:
		return Fault{}, wrong("?wait", "must be triggered, held or matched")
	}
	ctx, done, err := x.waitUntil(x.query.Get("timeout"), "?timeout")
	if err != nil {
		return Fault{}, err
	}
	defer done()
	state, ok := x.cluster.Rules().Await(ctx, id, enough)
	switch {
	case !ok:
		return Fault{}, x.noSuchFault()
	case !enough(state):
		return Fault{}, withStatus(http.StatusRequestTimeout, state)
	}
	return state, nil
}

// waitUntil begins a wait of a request, of at most its timeout.
func (x *exchange) waitUntil(timeout, field string) (context.Context, func(), error) {
	limit := defaultWait
	if timeout != "" {
		d, err := time.ParseDuration(timeout)
		if err != nil || d < 0 || d > maxWait {
			return nil, nil, wrong(field, "must be a duration of at most %s", maxWait)
		}
		limit = d
	}
	release, err := x.wait()
	if err != nil {
		return nil, nil, err
	}
	ctx, cancel := context.WithTimeout(x.request.Context(), limit)
	return ctx, func() { cancel(); release() }, nil
}

func releaseFault(x *exchange, _ *none) (Released, error) {
	id := x.request.PathValue("id")
	n, ok := x.cluster.Rules().Release(id)
	if !ok {
		return Released{}, x.noSuchFault()
	}
	return Released{id, n}, nil
}
