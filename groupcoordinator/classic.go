package groupcoordinator

import (
	"bytes"
	"maps"
	"math"
	"slices"
	"time"

	"once/groupcoordinator/group"
)

// State is the state of a classic group.
type State uint8

// The states of a classic group. Unknown groups are described as Dead; no group is kept in that state.
const (
	Empty               State = iota // no members, perhaps offsets; from PreparingRebalance
	PreparingRebalance               // collecting Joins; from Empty, CompletingRebalance, Stable
	CompletingRebalance              // waiting for the leader's Sync; from PreparingRebalance
	Stable                           // assigned; from CompletingRebalance
	Dead
)

// String returns Kafka's name of the state.
func (s State) String() string {
	switch s {
	case Empty:
		return "Empty"
	case PreparingRebalance:
		return "PreparingRebalance"
	case CompletingRebalance:
		return "CompletingRebalance"
	case Stable:
		return "Stable"
	default:
		return "Dead"
	}
}

// legalFrom lists for each state those that it may be entered from.
var legalFrom = map[State][]State{
	Empty:               {PreparingRebalance},
	PreparingRebalance:  {Empty, CompletingRebalance, Stable},
	CompletingRebalance: {PreparingRebalance},
	Stable:              {CompletingRebalance},
}

// consumerProtocolType is the only protocol type whose metadata the broker reads, for topics.
const consumerProtocolType = "consumer"

// The first generation after a restart is the number of seconds since generationEpoch, if that is more than
// generationReserve above the last one in a record. Generations whose leader never synced are in no record, and no
// (member, generation) may come twice (spec: reliability P25), however often the broker restarts between two Syncs.
// Clients only compare generations.
const (
	generationEpoch   = 1577836800 // 2020-01-01 in Unix seconds; an int32 lasts until 2088
	generationReserve = 1000       // should the wall clock have gone back
	lastGeneration    = math.MaxInt32
)

// Protocol is an assignment protocol that a member supports, with its metadata for it.
type Protocol = group.Protocol

type member struct {
	id               string
	instanceID       *string // of a static member
	clientID         string
	clientHost       string
	rebalanceTimeout time.Duration
	sessionTimeout   time.Duration
	protocols        []Protocol // in the member's order of preference
	assignment       []byte

	// Soft state: no record holds it.
	deadline time.Time // of the session; zero while nothing counts
	isNew    bool      // its first Join is parked
	join     *Future[JoinResult]
	sync     *Future[SyncResult]
}

func (m *member) metadataFor(protocol string) []byte {
	for _, p := range m.protocols {
		if p.Name == protocol {
			return p.Metadata
		}
	}
	return nil
}

func (m *member) supports(protocol string) bool {
	return slices.ContainsFunc(m.protocols, func(p Protocol) bool { return p.Name == protocol })
}

// matches says whether a Join has exactly the protocols of the member.
func (m *member) matches(protocols []Protocol) bool {
	return slices.EqualFunc(m.protocols, protocols, func(a, b Protocol) bool {
		return a.Name == b.Name && bytes.Equal(a.Metadata, b.Metadata)
	})
}

// classicGroup is the state machine of one group of the classic protocol: no lock, no clock, no I/O.
//
// Methods with effects change the group and note the effects: a record to write, parked requests to answer. A caller
// whose event may need a record works on a clone and drops it when the append fails. Members are kept in the order in
// which they joined.
type classicGroup struct {
	cfg            *Config // limits; immutable
	id             string
	state          State
	previous       State
	stateTimestamp int64 // Unix ms at which state was entered; -1 unknown
	generation     int32
	protocolType   string // "" for a group that has never had members
	protocolName   *string
	leaderID       string // "" for none
	members        []*member
	byID           map[string]*member
	static         map[string]string // group instance ID → member ID
	subscribed     map[string]bool   // topics; nil unknown; only for protocol type consumer
	restored       bool              // no phase has been completed since the restart
	given          int32             // the highest generation that was given out before the group was loaded again; 0 none

	pendingJoin map[string]time.Time // member IDs handed out, with the deadline to join with them
	pendingSync map[string]bool      // members that have not synced in this generation

	joinDeadline time.Time // end of the join phase; zero when none runs
	initial      bool      // joinDeadline is the initial rebalance delay
	initialDelay time.Duration
	initialRest  time.Duration // budget that the initial delay may still be extended by
	memberAdded  bool          // during the initial delay
	syncDeadline time.Time     // zero when none runs
}

func newClassicGroup(cfg *Config, id string, nowMs int64) *classicGroup {
	return &classicGroup{cfg: cfg, id: id, state: Empty, previous: Dead, stateTimestamp: nowMs}
}

// clone copies everything that a transition may change. Byte slices and futures are shared: slices are never written
// to, futures are resolved through effects only.
func (g *classicGroup) clone() *classicGroup {
	n := *g
	n.members = make([]*member, len(g.members))
	n.byID = make(map[string]*member, len(g.members))
	for i, m := range g.members {
		c := *m
		n.members[i] = &c
		n.byID[c.id] = &c
	}
	n.static = maps.Clone(g.static)
	n.pendingJoin = maps.Clone(g.pendingJoin)
	n.pendingSync = maps.Clone(g.pendingSync)
	return &n
}

// effects is the part of a transition outside of the group.
type effects struct {
	now        time.Time // of sessions and rebalances
	clockMs    int64     // of the cluster's clock, which a test may have moved further
	cfg        *Config
	write      bool     // the group's record must be appended before anyone may see the change
	rebalanced bool     // an assignment was stored
	dropped    []string // IDs of members that were removed because they said nothing in time
	joins      []joinAnswer
	syncs      []syncAnswer
}

func newEffects(now time.Time, cfg *Config) *effects {
	return &effects{now: now, clockMs: cfg.Clock.Now().UnixMilli(), cfg: cfg}
}

type joinAnswer struct {
	to     *Future[JoinResult]
	result JoinResult
}

type syncAnswer struct {
	to     *Future[SyncResult]
	result SyncResult
}

func (g *classicGroup) answerJoin(e *effects, m *member, r JoinResult) {
	if m.join != nil {
		e.joins = append(e.joins, joinAnswer{m.join, r})
		m.join = nil
	}
}

// answerSync reports whether the member had a parked Sync.
func (g *classicGroup) answerSync(e *effects, m *member, r SyncResult) bool {
	if m.sync == nil {
		return false
	}
	e.syncs = append(e.syncs, syncAnswer{m.sync, r})
	m.sync = nil
	return true
}

func (g *classicGroup) isLeader(memberID string) bool {
	return memberID != "" && g.leaderID == memberID
}

// isSimple says that the group only keeps offsets for consumers that assign themselves.
func (g *classicGroup) isSimple() bool {
	return g.protocolType == "" && g.state == Empty && len(g.pendingJoin) == 0
}

func (g *classicGroup) add(m *member) {
	if g.byID == nil {
		g.byID = make(map[string]*member)
	}
	if m.instanceID != nil {
		if g.static == nil {
			g.static = make(map[string]string)
		}
		g.static[*m.instanceID] = m.id
	}
	if g.leaderID == "" {
		g.leaderID = m.id
	}
	g.members = append(g.members, m)
	g.byID[m.id] = m
	delete(g.pendingJoin, m.id)
}

func (g *classicGroup) remove(memberID string) {
	if m := g.byID[memberID]; m != nil {
		delete(g.byID, memberID)
		g.members = slices.DeleteFunc(g.members, func(x *member) bool { return x == m })
		if m.instanceID != nil {
			delete(g.static, *m.instanceID)
		}
	}
	if g.isLeader(memberID) {
		g.leaderID = ""
		if len(g.members) > 0 {
			g.leaderID = g.members[0].id
		}
	}
	delete(g.pendingJoin, memberID)
	delete(g.pendingSync, memberID)
}

// validate checks a member ID and a group instance ID (spec: groups 3.3, 8).
func (g *classicGroup) validate(memberID string, instanceID *string) error {
	if instanceID != nil {
		switch known, ok := g.static[*instanceID]; {
		case !ok:
			return ErrUnknownMember
		case known != memberID:
			return ErrFencedInstance
		}
	}
	if g.byID[memberID] == nil {
		return ErrUnknownMember
	}
	return nil
}

// supportsProtocols says whether a member with these protocols may join (spec: groups 3.2).
func (g *classicGroup) supportsProtocols(protocolType string, protocols []Protocol) bool {
	if g.state == Empty {
		return protocolType != "" && len(protocols) > 0
	}
	if protocolType != g.protocolType {
		return false
	}
	return slices.ContainsFunc(protocols, func(p Protocol) bool { return g.supportedByAll(p.Name) })
}

func (g *classicGroup) supportedByAll(protocol string) bool {
	for _, m := range g.members {
		if !m.supports(protocol) {
			return false
		}
	}
	return true
}

// selectProtocol lets each member vote for the first of its own protocols that all support. If two have equal votes,
// the one with the first vote wins. "" when there is none.
func (g *classicGroup) selectProtocol() string {
	votes := make(map[string]int)
	var order []string
	for _, m := range g.members {
		for _, p := range m.protocols {
			if votes[p.Name] > 0 || g.supportedByAll(p.Name) {
				if votes[p.Name] == 0 {
					order = append(order, p.Name)
				}
				votes[p.Name]++
				break
			}
		}
	}
	best := ""
	for _, name := range order {
		if best == "" || votes[name] > votes[best] {
			best = name
		}
	}
	return best
}

// rebalanceTimeout is the longest of all members; never zero, so that a phase always makes progress.
func (g *classicGroup) rebalanceTimeout() time.Duration {
	longest := time.Millisecond
	for _, m := range g.members {
		longest = max(longest, m.rebalanceTimeout)
	}
	return longest
}

func (g *classicGroup) awaitingJoin() int {
	n := 0
	for _, m := range g.members {
		if m.join != nil {
			n++
		}
	}
	return n
}

func (g *classicGroup) allJoined() bool {
	return len(g.pendingJoin) == 0 && g.awaitingJoin() == len(g.members)
}
