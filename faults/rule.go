// Package faults has the rules by which a test makes requests of clients, and steps inside of the broker, go wrong.
// A rule says where, when and what: a Match, a When and a Do.
//
// Rules belong to a cluster. They know API names, error names and the names in a request, and carry out nothing:
// package handlers asks them about each request and does what they decide; package internal/fault has the inner
// points. Without rules a request costs one atomic load.
package faults

import (
	"errors"
	"strings"
	"time"
)

// Rule is what a test asks for.
type Rule struct {
	Name  string `json:"name,omitempty"` // for people
	Match Match  `json:"match"`
	When  *When  `json:"when,omitempty"` // nil: once
	Do    Do     `json:"do"`
}

// Match says which requests a rule is for, or which calls of an inner point. What is absent matches everything.
type Match struct {
	API             Names  `json:"api,omitempty"`
	Point           string `json:"point,omitempty"` // in place of API
	TransactionalID Names  `json:"transactionalId,omitempty"`
	ClientID        Names  `json:"clientId,omitempty"`
	Group           Names  `json:"group,omitempty"`
	Topic           Names  `json:"topic,omitempty"`
	Partition       *int32 `json:"partition,omitempty"`
	User            Names  `json:"user,omitempty"`
	Member          Names  `json:"member,omitempty"` // member ID or group instance ID
}

// When says at which of the matches a rule fires. At most one of them is set, but for those that go with another.
type When struct {
	Nth         *int     `json:"nth,omitempty"`
	Times       *int     `json:"times,omitempty"`
	After       *int     `json:"after,omitempty"` // with Times
	Always      bool     `json:"always,omitempty"`
	Probability *float64 `json:"probability,omitempty"` // with Seed and Times
	Seed        *int64   `json:"seed,omitempty"`
}

// Do says what happens. Exactly one action is set; CarriedOut stands beside Error.
type Do struct {
	Error       string   `json:"error,omitempty"` // Kafka's name
	CarriedOut  bool     `json:"carriedOut,omitempty"`
	LoseRequest bool     `json:"loseRequest,omitempty"`
	LoseAnswer  bool     `json:"loseAnswer,omitempty"`
	Delay       Duration `json:"delay,omitzero"`
	DelayAnswer Duration `json:"delayAnswer,omitzero"`
	Hold        bool     `json:"hold,omitempty"`
	HoldAnswer  bool     `json:"holdAnswer,omitempty"`
	Duplicate   bool     `json:"duplicate,omitempty"`
	Blackhole   bool     `json:"blackhole,omitempty"`
	Disconnect  bool     `json:"disconnect,omitempty"`
	Throttle    Duration `json:"throttle,omitzero"`
	Kill        bool     `json:"kill,omitempty"`    // inner points only, as are the next two
	Offline     bool     `json:"offline,omitempty"` // the partition
	Fail        bool     `json:"fail,omitempty"`    // the sync
}

// Names is a list of names, any of which matches; nil matches everything. A name may have the wildcard *, which stands
// for any text.
type Names []string

// Match says whether a name is in the list; an empty list has every name.
func (n Names) Match(name string) bool {
	if len(n) == 0 {
		return true
	}
	for _, pattern := range n {
		if matches(pattern, name) {
			return true
		}
	}
	return false
}

// matches compares piece by piece between the wildcards: the first and the last are fixed, each of the others is taken
// where it comes first.
func matches(pattern, name string) bool {
	first, rest, wild := strings.Cut(pattern, "*")
	if !wild {
		return pattern == name
	}
	if !strings.HasPrefix(name, first) {
		return false
	}
	name = name[len(first):]
	for {
		piece, more, wild := strings.Cut(rest, "*")
		if !wild {
			return strings.HasSuffix(name, piece)
		}
		at := strings.Index(name, piece)
		if at < 0 {
			return false
		}
		name, rest = name[at+len(piece):], more
	}
}

// Duration is a duration that is written as Go and people write it: 61s, 500ms, 15m.
type Duration time.Duration

var errDuration = errors.New("must be a duration like 500ms, 61s or 15m")

// MarshalText implements encoding.TextMarshaler.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// String writes a whole number of hours or minutes without zeros behind: 15m.
func (d Duration) String() string {
	text := time.Duration(d).String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *Duration) UnmarshalText(text []byte) error {
	parsed, err := time.ParseDuration(string(text))
	if err != nil {
		return errDuration
	}
	*d = Duration(parsed)
	return nil
}
