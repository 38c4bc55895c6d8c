package faults

import (
	"fmt"
	"slices"
	"strings"

	"once/internal/fault"
	"once/wire"
)

// Kinds is a set of kinds of subjects.
type Kinds uint8

// The kinds of subjects that a request can name.
const (
	Topics Kinds = 1 << iota
	Partitions
	Groups
	TransactionalIDs
	Members
)

// API is what rules have to know of an API that is served.
type API struct {
	Key      int16
	Name     string
	Names    Kinds // in its requests
	Throttle bool  // its answers have a throttle time
}

// FieldError says which field of a rule is wrong, and what is allowed.
type FieldError struct {
	Field, Reason string
}

func (e *FieldError) Error() string { return e.Field + ": " + e.Reason }

func wrong(field, format string, args ...any) error {
	return &FieldError{field, fmt.Sprintf(format, args...)}
}

// check returns what is wrong with a rule, so that nothing shows only when it does not fire.
func (r *Rule) check(apis []API) error {
	for _, part := range []func() error{
		r.checkText,
		func() error { return r.checkMatch(apis) },
		func() error { return r.checkNames(apis) },
		r.When.check,
		func() error { return r.Do.check() },
		func() error { return r.checkAction(apis) },
	} {
		if err := part(); err != nil {
			return err
		}
	}
	return nil
}

func (r *Rule) checkText() error {
	m := &r.Match
	sum := len(r.Name) + len(m.Point) + len(r.Do.Error)
	for _, list := range []struct {
		field string
		names Names
	}{
		{"match.api", m.API}, {"match.transactionalId", m.TransactionalID}, {"match.clientId", m.ClientID},
		{"match.group", m.Group}, {"match.topic", m.Topic}, {"match.user", m.User}, {"match.member", m.Member},
	} {
		if list.names != nil && len(list.names) == 0 {
			return wrong(list.field, "must have a name; leave it out to match everything")
		}
		for _, name := range list.names {
			sum += 1 + len(name)
		}
	}
	if sum > maxTextBytes {
		return wrong("match", "must not have more than %d bytes of names, with the name of the rule", maxTextBytes)
	}
	if slices.Contains(m.Topic, "") {
		return wrong("match.topic", "must not be empty: no topic is")
	}
	return nil
}

func (r *Rule) checkMatch(apis []API) error {
	m := &r.Match
	if m.Point != "" {
		if len(m.API) > 0 {
			return wrong("match.api", "cannot stand beside match.point")
		}
		if _, ok := innerPoints[m.Point]; !ok {
			return wrong("match.point", "there is no %q; allowed are %s", m.Point, strings.Join(pointNames(), ", "))
		}
	}
	for _, name := range m.API {
		if !slices.ContainsFunc(apis, func(a API) bool { return a.Name == name }) {
			return wrong("match.api", "%q is not served; names are those of Kafka's API table", name)
		}
	}
	if m.Partition != nil && *m.Partition < 0 {
		return wrong("match.partition", "must not be negative")
	}
	return nil
}

// checkNames refuses names that the requests or the point of the rule do not have.
func (r *Rule) checkNames(apis []API) error {
	m := &r.Match
	for _, n := range []struct {
		field string
		given bool
		kind  Kinds
	}{
		{"match.topic", len(m.Topic) > 0, Topics},
		{"match.partition", m.Partition != nil, Partitions},
		{"match.group", len(m.Group) > 0, Groups},
		{"match.transactionalId", len(m.TransactionalID) > 0, TransactionalIDs},
		{"match.member", len(m.Member) > 0, Members},
	} {
		if !n.given {
			continue
		}
		if m.Point != "" && innerPoints[m.Point].names&n.kind == 0 {
			return wrong(n.field, "%s has none", m.Point)
		}
		for _, api := range apis {
			if slices.Contains(m.API, api.Name) && api.Names&n.kind == 0 {
				return wrong(n.field, "%s has none", api.Name)
			}
		}
	}
	switch {
	case m.Point == "":
		return nil
	case len(m.ClientID) > 0:
		return wrong("match.clientId", "%s has none", m.Point)
	case len(m.User) > 0:
		return wrong("match.user", "%s has none", m.Point)
	case m.Point == fault.TxnMarker.String() && len(m.Group) > 0:
		return m.checkMarkerGroup()
	}
	return nil
}

// checkMarkerGroup: a group stands for its partition of __consumer_offsets.
func (m *Match) checkMarkerGroup() error {
	if len(m.Group) > 1 || strings.Contains(m.Group[0], "*") {
		return wrong("match.group", "must be one group without a wildcard: it stands for its partition of __consumer_offsets")
	}
	if len(m.Topic) > 0 || m.Partition != nil {
		return wrong("match.group", "cannot stand beside match.topic and match.partition here")
	}
	return nil
}

func (w *When) check() error {
	if w == nil {
		return nil
	}
	rows := 0
	for _, given := range []bool{w.Nth != nil, w.Times != nil && w.Probability == nil, w.Always, w.Probability != nil} {
		if given {
			rows++
		}
	}
	switch {
	case rows != 1:
		return wrong("when", "must be one of nth; times; after and times; always; probability, with seed and times if "+
			"need be")
	case w.After != nil && (w.Times == nil || w.Probability != nil):
		return wrong("when.after", "goes with times only")
	case w.Seed != nil && w.Probability == nil:
		return wrong("when.seed", "goes with probability only")
	case w.Nth != nil && *w.Nth < 1:
		return wrong("when.nth", "must be at least 1")
	case w.Times != nil && *w.Times < 1:
		return wrong("when.times", "must be at least 1")
	case w.After != nil && *w.After < 0:
		return wrong("when.after", "must not be negative")
	case w.Probability != nil && (*w.Probability <= 0 || *w.Probability > 1):
		return wrong("when.probability", "must be above 0 and at most 1")
	}
	return nil
}

// actions returns the names of the actions that are set.
func (d *Do) actions() (set []string) {
	for _, a := range []struct {
		name string
		set  bool
	}{
		{"error", d.Error != ""}, {"loseRequest", d.LoseRequest}, {"loseAnswer", d.LoseAnswer},
		{"delay", d.Delay != 0}, {"delayAnswer", d.DelayAnswer != 0}, {"hold", d.Hold}, {"holdAnswer", d.HoldAnswer},
		{"duplicate", d.Duplicate}, {"blackhole", d.Blackhole}, {"disconnect", d.Disconnect}, {"throttle", d.Throttle != 0},
		{"kill", d.Kill}, {"offline", d.Offline}, {"fail", d.Fail},
	} {
		if a.set {
			set = append(set, a.name)
		}
	}
	return set
}

func (d *Do) check() error {
	set := d.actions()
	switch {
	case len(set) != 1:
		return wrong("do", "must have one action, it has %d: %s", len(set), strings.Join(set, ", "))
	case d.CarriedOut && d.Error == "":
		return wrong("do.carriedOut", "goes with error only")
	case d.Delay < 0:
		return wrong("do.delay", "must not be negative")
	case d.DelayAnswer < 0:
		return wrong("do.delayAnswer", "must not be negative")
	case d.Throttle < 0:
		return wrong("do.throttle", "must not be negative")
	}
	if d.Error == "" {
		return nil
	}
	if code, ok := wire.CodeNamed(d.Error); !ok || code == wire.NoError {
		return wrong("do.error", "%q is no error of Kafka's", d.Error)
	}
	return nil
}

// onlyPoints are the actions that no request can have.
var onlyPoints = []string{"kill", "offline", "fail"}

// checkAction refuses an action that is not possible where the rule is.
func (r *Rule) checkAction(apis []API) error {
	action := r.Do.actions()[0]
	if r.Match.Point != "" {
		if can := innerPoints[r.Match.Point].can; !slices.Contains(can, action) || r.Do.CarriedOut {
			return wrong("do."+action, "is not possible at %s; allowed are %s", r.Match.Point, strings.Join(can, ", "))
		}
		return nil
	}
	if slices.Contains(onlyPoints, action) {
		return wrong("do."+action, "is for inner points only, match.point")
	}
	if action != "throttle" {
		return nil
	}
	for _, api := range apis {
		if slices.Contains(r.Match.API, api.Name) && !api.Throttle {
			return wrong("do.throttle", "the answer of %s has no throttle time", api.Name)
		}
	}
	return nil
}

// innerPoints are the points that rules may name: what can happen there, and what a call of it names.
var innerPoints = map[string]struct {
	point fault.Point
	can   []string
	names Kinds
}{
	fault.TxnPrepare.String(): {fault.TxnPrepare, []string{"error", "hold", "delay", "kill"}, TransactionalIDs},
	fault.TxnMarker.String(): {fault.TxnMarker, []string{"hold", "delay", "kill"},
		TransactionalIDs | Topics | Partitions | Groups},
	fault.TxnComplete.String():       {fault.TxnComplete, []string{"hold", "delay", "kill"}, TransactionalIDs},
	fault.TxnExpire.String():         {fault.TxnExpire, []string{"hold"}, TransactionalIDs},
	fault.PartitionAppend.String():   {fault.PartitionAppend, []string{"error", "kill", "offline"}, Topics | Partitions},
	fault.PartitionAppended.String(): {fault.PartitionAppended, []string{"kill"}, Topics | Partitions},
	fault.GroupAppend.String():       {fault.GroupAppend, []string{"error", "kill"}, Groups | Topics | Partitions},
	fault.DiskSync.String():          {fault.DiskSync, []string{"delay", "fail"}, 0},
}

func pointNames() (names []string) {
	for name := range innerPoints {
		names = append(names, name)
	}
	slices.Sort(names)
	return names
}
