package txncoordinator

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// State is the state of a transactional ID (spec: transactions 4). The numbers are those of the log.
type State int8

// The states. Dead and PrepareEpochFence never reach the log: Dead is only ever pending, and fencing
// goes from Ongoing to PrepareAbort in one step, so PrepareEpochFence is never seen at all.
const (
	NoState           State = -1 // only as Transaction.Pending: nothing is under way
	Empty             State = 0
	Ongoing           State = 1
	PrepareCommit     State = 2
	PrepareAbort      State = 3
	CompleteCommit    State = 4
	CompleteAbort     State = 5
	Dead              State = 6
	PrepareEpochFence State = 7
)

var stateNames = [...]string{"Empty", "Ongoing", "PrepareCommit", "PrepareAbort", "CompleteCommit", "CompleteAbort",
	"Dead", "PrepareEpochFence"}

// String returns Kafka's name of the state.
func (s State) String() string {
	if s < 0 || int(s) >= len(stateNames) {
		return "None"
	}
	return stateNames[s]
}

// parseState returns the state with Kafka's name; false for an unknown name.
func parseState(name string) (State, bool) {
	i := slices.Index(stateNames[:], name)
	return State(i), i >= 0
}

func setOf(states ...State) (set uint16) {
	for _, s := range states {
		set |= 1 << s
	}
	return set
}

// previous lists the states before each state. PrepareAbort after Empty and Complete* is the empty abort of
// transactions V2.
var previous = [...]uint16{
	Empty:             setOf(Empty, CompleteCommit, CompleteAbort),
	Ongoing:           setOf(Ongoing, Empty, CompleteCommit, CompleteAbort),
	PrepareCommit:     setOf(Ongoing),
	PrepareAbort:      setOf(Ongoing, Empty, CompleteCommit, CompleteAbort),
	CompleteCommit:    setOf(PrepareCommit),
	CompleteAbort:     setOf(PrepareAbort),
	Dead:              setOf(Empty, CompleteCommit, CompleteAbort),
	PrepareEpochFence: 0,
}

// mayFollow says whether a transaction may go from one state to another.
func mayFollow(next, from State) bool { return previous[next]&(1<<from) != 0 }

// prepared says whether the outcome is decided and markers are owed.
func (s State) prepared() bool { return s == PrepareCommit || s == PrepareAbort }

// idle says whether no transaction is open.
func (s State) idle() bool { return s == Empty || s == CompleteCommit || s == CompleteAbort }

// Values that stand for "none".
const (
	NoProducerID    int64 = -1
	NoProducerEpoch int16 = -1
	noTimestampMs   int64 = -1
)

const (
	// lastUsableEpoch is the last one a client may use; the one above is kept for fencing (spec: idempotence 1).
	lastUsableEpoch int16 = 32766
	reservedEpoch   int16 = 32767
	// epochBumpVersion is the transaction version from which every end of a transaction raises the epoch.
	epochBumpVersion int16 = 2
	// maxTransactionalIDBytes is the longest ID in a record key.
	maxTransactionalIDBytes = 1<<15 - 1
)

// TopicPartition names one partition.
type TopicPartition struct {
	Topic     string
	Partition int32
}

// String returns the usual topic-partition form.
func (p TopicPartition) String() string { return fmt.Sprintf("%s-%d", p.Topic, p.Partition) }

// compare orders by topic, then partition.
func (p TopicPartition) compare(q TopicPartition) int {
	if c := strings.Compare(p.Topic, q.Topic); c != 0 {
		return c
	}
	return cmp.Compare(p.Partition, q.Partition)
}

// Transaction is the image of one transactional ID. It is a value: the Prepare functions return a new
// one and leave theirs alone, and slices are never changed in place. Times are Unix ms.
//
// All fields but Pending, LastProducerEpoch, FailedFence and TransactionalID stand in the log record.
type Transaction struct {
	TransactionalID string // immutable
	State           State
	// Pending is the state that a running operation will reach, or NoState. After Prepare* it is Complete* until the
	// last marker and the Complete record are written.
	Pending State

	ProducerID         int64
	PreviousProducerID int64 // held before the last transition; other than ProducerID only after a rotation
	NextProducerID     int64 // taken over with the Complete record; -1 none
	ProducerEpoch      int16 // -1: the ID was never answered
	LastProducerEpoch  int16 // the epoch that a retry of the last bump may carry; -1 after a reload

	TimeoutMs                int32
	Partitions               []TopicPartition // sorted, without doubles
	StartTimestampMs         int64            // first partition added; kept by Prepare* and Complete*; -1 in Empty
	LastUpdateTimestampMs    int64
	ClientTransactionVersion int16

	// FailedFence says that an epoch was raised in memory for a fence whose record could not be
	// written; the next fence takes the same epoch (KAFKA-9666).
	FailedFence bool
}

// newTransaction is the image of a new ID.
func newTransaction(transactionalID string, producerID int64, timeoutMs int32, nowMs int64) Transaction {
	return Transaction{
		TransactionalID: transactionalID, State: Empty, Pending: NoState,
		ProducerID: producerID, PreviousProducerID: NoProducerID, NextProducerID: NoProducerID,
		ProducerEpoch: NoProducerEpoch, LastProducerEpoch: NoProducerEpoch,
		TimeoutMs: timeoutMs, StartTimestampMs: noTimestampMs, LastUpdateTimestampMs: nowMs,
	}
}

// exhausted says whether the producer ID has no epoch left for a client.
func (t *Transaction) exhausted() bool { return t.ProducerEpoch >= lastUsableEpoch }

// contains says whether all of parts are in the transaction.
func (t *Transaction) contains(parts []TopicPartition) bool {
	for i := range parts {
		if !t.has(parts[i]) {
			return false
		}
	}
	return true
}

func (t *Transaction) has(p TopicPartition) bool {
	_, found := slices.BinarySearchFunc(t.Partitions, p, TopicPartition.compare)
	return found
}

// transition copies the image for a next state. The previous producer ID is the one held now, whether
// or not the transition rotates (spec: transactions 3).
func (t *Transaction) transition(to State, nowMs int64) Transaction {
	next := *t
	next.State = to
	next.PreviousProducerID = t.ProducerID
	next.LastUpdateTimestampMs = nowMs
	return next
}

// apply takes over the image in the log. It cannot fail; replay uses it, too. After Prepare* the completion is pending
// at once, so that no other operation comes between.
func (t *Transaction) apply(next Transaction) {
	next.FailedFence = false
	switch next.State {
	case PrepareCommit:
		next.Pending = CompleteCommit
	case PrepareAbort:
		next.Pending = CompleteAbort
	default:
		next.Pending = NoState
	}
	*t = next
}

// outcome returns the state that completes a prepared transaction.
func (s State) outcome() State {
	if s == PrepareCommit {
		return CompleteCommit
	}
	return CompleteAbort
}

// union returns the sorted union of have, which is sorted without doubles, and more. Strings of more are copied,
// because they point into a request. It takes time in proportion to both lists, but for the sorting of more.
func union(have, more []TopicPartition) []TopicPartition {
	all := make([]TopicPartition, 0, len(have)+len(more))
	add := func(p TopicPartition, isRequests bool) {
		if n := len(all); n > 0 && all[n-1] == p {
			return
		} else if n > 0 && all[n-1].Topic == p.Topic {
			p.Topic = all[n-1].Topic
		} else if isRequests {
			p.Topic = strings.Clone(p.Topic)
		}
		all = append(all, p)
	}
	if !slices.IsSortedFunc(more, TopicPartition.compare) {
		more = slices.SortedFunc(slices.Values(more), TopicPartition.compare)
	}
	for len(have) > 0 || len(more) > 0 {
		if len(more) == 0 || len(have) > 0 && have[0].compare(more[0]) <= 0 {
			add(have[0], false)
			have = have[1:]
		} else {
			add(more[0], true)
			more = more[1:]
		}
	}
	return all
}
