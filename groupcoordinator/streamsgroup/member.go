package streamsgroup

import (
	"slices"
	"time"
)

// MemberState says what a member still has to do before it runs its target assignment.
type MemberState int8

// The states of a member, as records have them.
const (
	Stable          MemberState = 1
	UnrevokedTasks  MemberState = 2 // it has to report that it runs its pending tasks no more
	UnreleasedTasks MemberState = 3 // it waits for tasks that others have not released
)

// Member epochs with a meaning of their own.
const (
	JoinEpoch        = 0
	LeaveEpoch       = -1
	StaticLeaveEpoch = -2
)

// Endpoint is where the application of a member answers interactive queries.
type Endpoint struct {
	Host string
	Port uint16
}

// Member is a member of a group: one thread of an application. It is immutable: a change makes a new one.
type Member struct {
	ID                 string
	InstanceID         *string
	RackID             *string
	ClientID           string
	ClientHost         string
	RebalanceTimeoutMs int32
	TopologyEpoch      int32
	ProcessID          string
	Endpoint           *Endpoint
	ClientTags         []Config

	Epoch         int32
	PreviousEpoch int32
	State         MemberState
	Assigned      MemberTasks
	Pending       MemberTasks // taken away, and not yet reported as such by the member
}

// MemberTasks are the tasks of a member. Active tasks have their assignment epochs.
type MemberTasks struct {
	Active  ActiveTasks
	Standby TaskSet
	Warmup  TaskSet
}

func newMemberTasks() MemberTasks {
	return MemberTasks{Active: ActiveTasks{}, Standby: TaskSet{}, Warmup: TaskSet{}}
}

func (t MemberTasks) assignment() Assignment {
	return Assignment{Active: keys(t.Active), Standby: t.Standby, Warmup: t.Warmup}
}

func (t MemberTasks) empty() bool {
	return len(t.Active) == 0 && len(t.Standby) == 0 && len(t.Warmup) == 0
}

// contains reports whether the task is there in any role.
func (t MemberTasks) contains(id TaskID) bool {
	return has(t.Active, id) || has(t.Standby, id) || has(t.Warmup, id)
}

func (m *Member) isStatic() bool { return m.InstanceID != nil }

func (m *Member) clone() *Member {
	c := *m
	return &c
}

// missingTags returns those of the wanted client tags that the member does not have.
func (m *Member) missingTags(wanted []string) []string {
	var missing []string
	for _, tag := range wanted {
		if !slices.ContainsFunc(m.ClientTags, func(c Config) bool { return c.Key == tag }) {
			missing = append(missing, tag)
		}
	}
	return missing
}

func equalOptional[T comparable](a, b *T) bool { return a == b || a != nil && b != nil && *a == *b }

// differs reports whether the metadata of two members differs, and whether it differs in what a static member's target
// depends on.
func (m *Member) differs(o *Member) (any, target bool) {
	target = m.TopologyEpoch != o.TopologyEpoch || !equalOptional(m.RackID, o.RackID) ||
		!slices.Equal(m.ClientTags, o.ClientTags) || m.ProcessID != o.ProcessID
	any = target || m.ClientID != o.ClientID || m.ClientHost != o.ClientHost ||
		m.RebalanceTimeoutMs != o.RebalanceTimeoutMs || !equalOptional(m.Endpoint, o.Endpoint) ||
		!equalOptional(m.InstanceID, o.InstanceID)
	return any, target
}

// volatile is what no record holds about a member.
type volatile struct {
	session   time.Time // end of its session
	rebalance time.Time // when it is removed unless it has revoked its tasks; zero: nothing to revoke
	offsets   map[TaskID]int64
	ends      map[TaskID]int64
}
