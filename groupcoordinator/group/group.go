// Package group is the contract between the group coordinator and the state machines of groups: one type of group is
// one implementation of Group (classic, consumer, share, streams).
//
// The coordinator has the shards with their locks, the offsets, the timers and the appends. A state machine has no
// lock, no clock and no I/O. It works in three steps:
//
//   - Decide: a method returns a Step and leaves the group as it was. A classic group may return a changed copy of
//     itself as Step.Next.
//   - Persist: the coordinator appends Step.Records as one batch. If that fails, nothing has happened, and the step is
//     dropped.
//   - Apply: the coordinator installs Step.Next, gives each record to Group.Apply, and then calls Step.After, which
//     changes what no record holds (timers) and answers parked requests.
//
// A restart calls Apply for each record of the log in order, and then Resume once. So all durable state of a group must
// come from Apply, and Apply must not fail: a decoder refuses a record before.
//
// All calls for one group run under the lock of its shard; now is the cluster's clock. After each step the coordinator
// asks NextWake, and calls Due at that time.
//
// Topics is the topic image. Its Version grows when topics are created or deleted or get partitions; a group that
// assigns partitions remembers the version that it has assigned for, and looks again when another one is there.
//
// A new type of group needs: a Group, a row in the coordinator's table of key types (groupcoordinator/types.go), and
// requests of its own in the coordinator.
package group

import (
	"time"

	"once/durability"
)

// Type is a type of group, by its name on the wire.
type Type string

// The types of groups.
const (
	Classic  Type = "classic"
	Consumer Type = "consumer"
	Share    Type = "share"
	Streams  Type = "streams"
)

// Names of states that all types share. Unknown groups are described as Dead; no group is kept in that state.
const (
	StateEmpty  = "Empty"
	StateStable = "Stable"
	StateDead   = "Dead"
)

// Group is the state machine of one group.
type Group interface {
	ID() string
	Type() Type
	State() string        // Kafka's name of the present state
	ProtocolType() string // as ListGroups shows it
	Members() int

	// IsEmpty says that the group has no members: it may be deleted, and a group of another type may take its place.
	IsEmpty() bool
	// IsUnused says that nothing but offsets keeps the group: without them it is removed.
	IsUnused() bool
	// IsSubscribedTo says that members use the offsets of a topic: they neither expire nor can they be deleted.
	IsSubscribedTo(topic string) bool
	// ExpiryBase returns the time in Unix ms at which the retention of an offset begins, and whether offsets of the topic
	// may expire in the present state.
	ExpiryBase(topic string, commitTimestampMs int64) (baseMs int64, may bool)
	// ValidateCommit says whether a sender may commit offsets. The check, if not nil, then decides about each partition.
	ValidateCommit(c Committer) (CommitCheck, error)
	// ValidateFetch says whether a sender may read committed offsets; memberID nil: not a member.
	ValidateFetch(memberID *string, memberEpoch int32) error

	// Apply applies one record of the group, not a tombstone of the group as a whole; see Record.
	Apply(r Record)
	// Tombstones are the tombstones of all records of the group; offsets are the coordinator's.
	Tombstones() []Record

	// NextWake is the earliest deadline, zero for none.
	NextWake() time.Time
	// Due handles the deadlines that have passed at now. It handles each in at most one step: after a step with records
	// NextWake may still be in the past, and Due is called again.
	Due(now time.Time) Step
	// EachSession calls fn for each member.
	EachSession(fn func(Session))
	// EndSession makes the session of a member end at another time, for Due; it says whether there is such a member.
	EndSession(memberID string, at time.Time) bool
	// Resume starts the timers of a restored group.
	Resume(now time.Time) Step
	// Rebalance makes a group with members assign anew, because a test wants it to.
	Rebalance(now time.Time) Step
	// DropMembers removes all members, in a fork of a cluster.
	DropMembers(now time.Time) Step
	// AnswerParked answers all parked requests with an error.
	AnswerParked(err error)
}

// Session is the session of a member.
type Session struct {
	MemberID, ClientID string
	Ends               time.Time // zero while it does not count
	Timeout            time.Duration
	Waits              bool // a request of the member waits for others
}

// Step is a decided transition.
type Step struct {
	Next    Group // takes the group's place before the records are applied; nil: it stays
	Records []Record
	// After runs after the records have been applied; stored is what an answer that shows them waits for. Nil: nothing.
	After func(stored durability.Ticket)
	// WakeBy, of a step without records and Next, is the earliest deadline that After sets: then NextWake is not asked,
	// which looks at all members. Zero: NextWake is asked.
	WakeBy  time.Time
	Dropped []string // IDs of members that the step removes because they said nothing in time
}

// Record is one record of a group in __consumer_offsets, other than an offset: its key names the group.
type Record interface {
	KeyType() int16
	GroupID() string
	// IsTombstone says that there is no value. EndsGroup says that this tombstone removes the whole group if it is of the
	// record's type; it is not given to Apply then.
	IsTombstone() bool
	EndsGroup() bool
	// GroupType is the type of the groups with such records. A record that is no tombstone makes the group if there is
	// none, or only a simple one without records of its own.
	GroupType() Type

	AppendKey(dst []byte) []byte   // with the key type
	AppendValue(dst []byte) []byte // with the version; not called for a tombstone
	MaxBytes() int                 // an upper bound for the size of the record in a batch
}

// Committer is the sender of an OffsetCommit or TxnOffsetCommit.
type Committer struct {
	MemberID      string
	InstanceID    *string
	Epoch         int32 // generation or member epoch; negative: none
	Transactional bool
	// KnowsMemberEpochs says that the request's version has the errors of KIP-848: OffsetCommit 9, TxnOffsetCommit 6.
	KnowsMemberEpochs bool
	Now               time.Time
}

// CommitCheck decides about the offset of one partition.
type CommitCheck func(topicID [16]byte, topic string, partition int32) error

// Protocol is an assignment protocol that a member of the classic protocol supports, with its metadata for it.
type Protocol struct {
	Name     string
	Metadata []byte
}
