package faults

import (
	"slices"
	"strings"
	"time"

	"once/wire"
)

// Request is what rules ask about a request. Names is called at most once for a request, and only when a rule needs it.
type Request struct {
	Key, Version int16
	API          string
	ClientID     string
	User         string
	Connection   int64
	Close        func()        // the connection
	Names        func() *Named // what the request names

	matches []bool // by rule; used again with the Request
}

// Named is what a request names.
type Named struct {
	Topics           []Topic
	AllTopics        bool
	Groups           []string
	TransactionalIDs []string
	Members          []string // member IDs and group instance IDs
}

// Topic is a topic that a request names, or partitions of it.
type Topic struct {
	Name       string
	Partitions []int32 // nil: the topic as a whole
}

// Decision is what a rule does with a request.
type Decision struct {
	RuleID string
	Do     Do
	Code   wire.Code // of Do.Error
	// Part says whether a partition is part of what an error is for; nil: all of the request is. A topic as a whole is
	// asked for with partition -1.
	Part func(topic string, partition int32) bool
	// Swallow: the request is not carried out, and gets no answer.
	Swallow bool
	Hold    *Hold // for the actions that wait
}

// Concern says whether there is a rule that may decide on a request. It takes no lock.
func (r *Rules) Concern(key int16, clientID string) bool {
	if r == nil {
		return false
	}
	armed := r.armed.Load()
	if armed == nil {
		return false
	}
	for _, a := range *armed {
		if a.rule.Do.Blackhole || a.keys[key/64]>>(key%64)&1 != 0 && a.rule.Match.ClientID.Match(clientID) {
			return true
		}
	}
	return false
}

// Decide counts the request with the rules that match it, in their order. It returns what the first one that fires
// does; nil when none does.
func (r *Rules) Decide(q *Request) *Decision {
	armed := r.armed.Load()
	if armed == nil {
		return nil
	}
	var names *Named
	matches := q.matches[:0]
	for range *armed {
		matches = append(matches, false)
	}
	q.matches = matches
	for i, a := range *armed {
		if a.keys[q.Key/64]>>(q.Key%64)&1 == 0 || !a.rule.Match.ClientID.Match(q.ClientID) ||
			!a.rule.Match.User.Match(q.User) {
			continue
		}
		if names == nil {
			names = q.Names()
		}
		matches[i] = a.rule.Match.matchesNames(names)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if b, ok := r.mu.blackholes[q.Connection]; ok {
		return &Decision{RuleID: b.of.id, Swallow: true}
	}
	for i, a := range *armed {
		_, again := a.clients[q.ClientID]
		switch {
		case a.removed: // since armed was loaded: nobody would let go of what it holds
			continue
		case again && a.rule.When != nil && a.rule.When.Always && a.rule.Do.Blackhole:
			// each connection of the client
			if matches[i] {
				a.matched++
			}
			a.triggered++
		case !matches[i]:
			continue
		case a.rule.Do.waits() && r.mu.suspended:
			continue
		case !a.firesLocked():
			r.changedLocked()
			continue
		}
		if names == nil {
			names = &Named{}
		}
		return r.fireLocked(a, q, names)
	}
	return nil
}

// waits says whether the action makes the request wait.
func (d *Do) waits() bool { return d.Hold || d.HoldAnswer || d.Delay > 0 || d.DelayAnswer > 0 }

func (r *Rules) fireLocked(a *Armed, q *Request, names *Named) *Decision {
	d := &Decision{RuleID: a.id, Do: a.rule.Do, Code: a.code}
	m := &a.rule.Match
	if d.Do.Error != "" && (len(m.Topic) > 0 || m.Partition != nil) {
		d.Part = func(topic string, partition int32) bool {
			return m.Topic.Match(topic) && (m.Partition == nil || partition == *m.Partition)
		}
	}
	if d.Do.waits() {
		d.Hold = r.holdLocked(a)
	}
	if d.Do.Blackhole {
		d.Swallow = true
		r.mu.blackholes[q.Connection] = blackhole{a, q.Close}
		if len(a.clients) < maxClients {
			a.clients[q.ClientID] = struct{}{}
		}
	}
	a.firedLocked(firingOf(q, names, m))
	r.changedLocked()
	return d
}

func firingOf(q *Request, names *Named, m *Match) Firing {
	f := Firing{At: time.Now(), API: q.API, Version: q.Version, Connection: q.Connection, ClientID: q.ClientID}
	f.TransactionalID, f.Group = firstMatch(names.TransactionalIDs, m.TransactionalID), firstMatch(names.Groups, m.Group)
	for _, t := range names.Topics {
		if m.matchesTopic(t) {
			f.Topic = strings.Clone(t.Name)
			for _, p := range t.Partitions {
				if m.Partition == nil || *m.Partition == p {
					f.Partition = &p
					break
				}
			}
			break
		}
	}
	return f
}

func firstMatch(names []string, of Names) string {
	if i := slices.IndexFunc(names, of.Match); i >= 0 {
		return strings.Clone(names[i]) // it points into the request
	}
	return ""
}

// matchesNames says whether a request names what the rule is for. Of several subjects one is enough.
func (m *Match) matchesNames(n *Named) bool {
	for _, kind := range []struct {
		of    Names
		given []string
	}{{m.Group, n.Groups}, {m.TransactionalID, n.TransactionalIDs}, {m.Member, n.Members}} {
		if len(kind.of) > 0 && !slices.ContainsFunc(kind.given, kind.of.Match) {
			return false
		}
	}
	return len(m.Topic) == 0 && m.Partition == nil || n.AllTopics || slices.ContainsFunc(n.Topics, m.matchesTopic)
}

func (m *Match) matchesTopic(t Topic) bool {
	return m.Topic.Match(t.Name) &&
		(m.Partition == nil || t.Partitions == nil || slices.Contains(t.Partitions, *m.Partition))
}

// Forget forgets a connection that has ended.
func (r *Rules) Forget(connection int64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.mu.blackholes, connection)
	r.publishLocked()
}

// ActsOn says whether a blackhole acts on a client: to its group it looks dead.
func (r *Rules) ActsOn(clientID string) bool {
	if r == nil || r.armed.Load() == nil {
		return false
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.ContainsFunc(r.mu.all, func(a *Armed) bool {
		_, acts := a.clients[clientID]
		return acts
	})
}
