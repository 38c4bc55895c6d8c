package consumergroup

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"once/durability"
	"once/groupcoordinator/assignment"
	"once/groupcoordinator/group"
	"once/groupcoordinator/group/grouptest"
)

func configForTest(topics group.Topics) *Config {
	ids := 0
	return &Config{
		Topics: topics, MaxSize: 1000, Assignors: []string{"uniform", "range"}, AllowsClassic: true,
		RegexRefreshInterval: 10 * time.Minute,
		Settings: func(string) Settings {
			return Settings{SessionTimeout: 45 * time.Second, HeartbeatInterval: 5 * time.Second}
		},
		NewMemberID: func() string { ids++; return fmt.Sprint("made-", ids) },
	}
}

// client is a member as it sees itself.
type client struct {
	id    string
	epoch int32
	owned assignment.Set
	// revoking are the partitions that it stops to use at its next step.
	revoking assignment.Set
	topics   []string // that it subscribes to
	changed  bool     // since its last heartbeat
	lost     bool     // an answer: then the next heartbeat says everything, and the answer does too
}

// model is a group with its clients, a second group that is made from the records alone, and the owners of partitions
// as the clients see them.
type model struct {
	t        *testing.T
	g        *Group
	replayed *Group
	now      time.Time
	clients  map[string]*client
}

func (m *model) carryOut(step group.Step) {
	for _, r := range step.Records {
		key, value := r.AppendKey(nil), []byte(nil)
		if !r.IsTombstone() {
			value = r.AppendValue(nil)
		}
		if size := len(key) + len(value); size > r.MaxBytes() {
			m.t.Fatalf("%v takes %d bytes, more than %d", r, size, r.MaxBytes())
		}
		again, err := DecodeRecord(key, value)
		if err != nil {
			m.t.Fatal(err)
		}
		if wrong := m.replayed.Contradiction(again); wrong != "" {
			m.t.Fatalf("%s: %s", again.(Record).Text(), wrong)
		}
		m.g.Apply(r)
		m.replayed.Apply(again)
	}
	if step.After != nil {
		step.After(durability.Ticket{})
	}
}

// heartbeat is one heartbeat of a client. The answer may get lost.
func (m *model) heartbeat(c *client, lost bool) {
	r := &HeartbeatRequest{
		GroupID: "g", MemberID: c.id, MemberEpoch: c.epoch, MemberIDRequired: true, RebalanceTimeoutMs: -1,
		Owned: c.owned,
	}
	if c.epoch == epochJoin {
		c.owned, r.Owned = assignment.Set{}, assignment.Set{}
	}
	if c.epoch == epochJoin || c.lost {
		r.RebalanceTimeoutMs = 60_000
	}
	if c.epoch == epochJoin || c.lost || c.changed {
		r.Topics = c.topics
	}
	if c.changed { // it does what the last answer said before it subscribes otherwise
		m.obey(c)
		r.Owned = c.owned
	}
	if c.revoking != nil && r.Topics == nil {
		r.Owned = nil // it says what it owns when it has done what the last answer said
	}
	c.lost, c.changed = lost, false
	if err := m.g.cfg.Validate(r); err != nil {
		m.t.Fatal(err)
	}
	result, step, err := m.g.Heartbeat(r, m.now)
	if errors.Is(err, group.ErrFencedMemberEpoch) || errors.Is(err, group.ErrUnknownMember) {
		c.epoch, c.owned, c.revoking = epochJoin, assignment.Set{}, nil
		return
	}
	if err != nil {
		m.t.Fatalf("%+v: %v", r, err)
	}
	m.carryOut(step)
	if lost {
		c.revoking = nil // the next answer says everything
		return
	}
	c.epoch = result.MemberEpoch
	if c.epoch == epochLeave {
		delete(m.clients, c.id)
		return
	}
	if result.Assignment != nil {
		keep := assignment.Set{}
		for topic, partitions := range result.Assignment {
			keep.Add(topic, partitions...)
		}
		c.revoking = keep // what it has after it gave the others up
	}
}

// obey gives up and takes over what the last answer says, and looks that nobody else has it.
func (m *model) obey(c *client) {
	if c.revoking == nil {
		return
	}
	c.owned, c.revoking = c.revoking, nil
	for _, other := range m.clients {
		if other != c && other.epoch > 0 && c.owned.Intersects(other.owned) {
			m.t.Fatalf("%s and %s own the same partitions: %v and %v", c.id, other.id, c.owned, other.owned)
		}
	}
}

// Members that join, leave, subscribe otherwise and lose answers never own a partition together, and come to rest with
// every partition owned. A group made of the records is the same.
func TestMembersNeverShareAPartition(t *testing.T) {
	for range 20 {
		seed := rand.Uint64()
		r := rand.New(rand.NewPCG(seed, 1))
		topics := &grouptest.Topics{}
		partitions := int32(5)
		topics.Set("x", partitions)
		topics.Set("y", 3)
		m := &model{
			t: t, g: New(configForTest(topics), "g"), replayed: New(configForTest(topics), "g"), clients: map[string]*client{},
			now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC),
		}
		subscriptions := [][]string{{"x"}, {"y"}, {"x", "y"}, {"x", "none"}}
		t.Logf("seed %d", seed)
		for step := range 300 {
			m.now = m.now.Add(time.Second)
			ids := slices.Sorted(maps.Keys(m.clients))
			switch n := r.IntN(20); {
			case n == 0 || len(ids) == 0:
				id := fmt.Sprint("m", step)
				m.clients[id] = &client{id: id, topics: subscriptions[r.IntN(len(subscriptions))]}
			case n == 1 && len(ids) > 1:
				c := m.clients[ids[r.IntN(len(ids))]]
				if c.epoch > 0 {
					c.epoch, c.owned = epochLeave, nil
					m.heartbeat(c, false)
				}
			case n == 2:
				partitions++
				topics.Set("x", partitions)
			case n == 3:
				c := m.clients[ids[r.IntN(len(ids))]]
				c.topics, c.changed = subscriptions[r.IntN(len(subscriptions))], true
			default:
				c := m.clients[ids[r.IntN(len(ids))]]
				m.heartbeat(c, r.IntN(10) == 0)
				if r.IntN(3) > 0 {
					m.obey(c)
				}
			}
		}
		for range 20 {
			for _, id := range slices.Sorted(maps.Keys(m.clients)) {
				m.obey(m.clients[id])
				m.heartbeat(m.clients[id], false)
				m.obey(m.clients[id])
			}
		}
		m.isAtRest()
	}
}

func (m *model) isAtRest() {
	m.t.Helper()
	if m.g.State() != group.StateStable {
		m.t.Fatalf("group is %s: %+v", m.g.State(), m.g.Describe())
	}
	if one, other := fmt.Sprintf("%+v", m.g.Describe()), fmt.Sprintf("%+v", m.replayed.Describe()); one != other {
		m.t.Fatalf("a group of the records is another one:\n%s\n%s", one, other)
	}
	owned := map[string]int{}
	for _, c := range m.clients {
		for topic, partitions := range c.owned {
			t, _ := m.g.cfg.Topics.LookupID(topic)
			owned[t.Name] += len(partitions)
		}
	}
	for _, name := range []string{"x", "y"} {
		topic, _ := m.g.cfg.Topics.Lookup(name)
		if m.g.IsSubscribedTo(name) && owned[name] != int(topic.Partitions) {
			m.t.Fatalf("%d of %d partitions of %s are owned", owned[name], topic.Partitions, name)
		}
	}
}
