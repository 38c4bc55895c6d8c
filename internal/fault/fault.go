// Package fault has the points of a cluster at which a test may intervene: make a call fail, delay it, hold it, or kill
// the cluster. Points belong to a cluster; a nil *Points has nothing armed. They are in every build: a point without an
// armed fault costs one atomic load, no lock and no allocation.
//
// A hold is a state, not a sleeping goroutine. A caller of a point that can hold gets a Hold, remembers the work that
// is left, and continues with other work; Hold.Then sets the function for the release.
//
// Point's table has the names of the points. A test fails on a point that the program never asks.
package fault

import (
	"errors"
	"fmt"
	"time"
)

var (
	// ErrInjected is the error of a failed call if the fault has no error of its own.
	ErrInjected = errors.New("fault: injected")
	// ErrOffline is the error of a failed call that takes its partition offline.
	ErrOffline = errors.New("fault: offline")
	// ErrKilled is the error of a call in which the cluster was killed.
	ErrKilled = errors.New("fault: killed")
)

// Point is a place in the program. A name in the past tense stands after the step that it names, any other one before
// it.
type Point uint8

// The points. Attributes that a point has are in brackets.
const (
	// the end of a transaction is decided, the Prepare record is not written [transactional ID]
	TxnPrepare  Point = iota
	TxnPrepared       // it is written, no marker is [transactional ID]
	// this partition's marker is not written; offsets have theirs in __consumer_offsets [transactional ID, topic,
	// partition]
	TxnMarker
	TxnMarked         // it is written [transactional ID, topic, partition]
	TxnComplete       // all markers are written, the Complete record is not [transactional ID]
	TxnCompleted      // it is written [transactional ID]
	TxnExpire         // a transaction's timeout has passed, it is not aborted [transactional ID]
	TxnInitialized    // the epoch of an InitProducerId is written, not answered [transactional ID]
	TxnAdded          // partitions are added to a transaction, not answered [transactional ID]
	PartitionAppend   // a batch, which may be a marker, is not written [topic, partition]
	PartitionAppended // it is written, not answered [topic, partition]
	PartitionMarked   // a marker is written and readers see it [topic, partition]
	GroupAppend       // offsets or members of a group are not written [group, topic, partition]
	GroupAppended     // they are written, not answered [group, topic, partition]
	LogWritten        // the bytes of a batch are in the file, its log does not know
	LogRollCreated    // the file of a new segment is made, its log does not know
	LogRollPublished  // the log knows, the batch is not written
	TopicOpen         // a topic is about to be opened at a start [topic]
	DiskSync          // a barrier is about to sync
	DiskSynced        // it has synced the files, its record is not written
	DiskJournaled     // it has written the journal, nobody is told
	numPoints
)

// Actions is a set of kinds of actions.
type Actions uint8

// The kinds of actions. A kill can be armed at all points but TxnExpire, at which nothing is under way.
const (
	CanFail Actions = 1 << iota
	CanDelay
	CanHold
	CanKill
	CanGoOffline
)

var table = [numPoints]struct {
	name string
	can  Actions
}{
	TxnPrepare:        {"txn.prepare", CanFail | CanDelay | CanHold | CanKill},
	TxnPrepared:       {"txn.prepared", CanKill},
	TxnMarker:         {"txn.marker", CanFail | CanDelay | CanHold | CanKill},
	TxnMarked:         {"txn.marked", CanKill},
	TxnComplete:       {"txn.complete", CanFail | CanDelay | CanHold | CanKill},
	TxnCompleted:      {"txn.completed", CanKill},
	TxnExpire:         {"txn.expire", CanDelay | CanHold},
	TxnInitialized:    {"txn.initialized", CanKill},
	TxnAdded:          {"txn.added", CanKill},
	PartitionAppend:   {"partition.append", CanFail | CanKill | CanGoOffline},
	PartitionAppended: {"partition.appended", CanKill},
	PartitionMarked:   {"partition.marked", CanKill},
	GroupAppend:       {"group.append", CanFail | CanKill},
	GroupAppended:     {"group.appended", CanKill},
	LogWritten:        {"log.written", CanFail | CanKill},
	LogRollCreated:    {"log.roll.created", CanFail | CanKill},
	LogRollPublished:  {"log.roll.published", CanFail | CanKill},
	TopicOpen:         {"topic.open", CanFail | CanKill},
	DiskSync:          {"disk.sync", CanFail | CanDelay | CanKill},
	DiskSynced:        {"disk.synced", CanFail | CanKill},
	DiskJournaled:     {"disk.journaled", CanFail | CanKill},
}

// String returns the name.
func (p Point) String() string { return table[p].name }

// Can reports whether a kind of action can be armed at the point.
func (p Point) Can(a Actions) bool { return table[p].can&a == a }

// All returns the points, those only at which all of some kinds of actions can be armed.
func All(that Actions) (all []Point) {
	for p := range numPoints {
		if p.Can(that) {
			all = append(all, p)
		}
	}
	return all
}

// PointOf returns the point of a name.
func PointOf(name string) (Point, error) {
	for p := range numPoints {
		if table[p].name == name {
			return p, nil
		}
	}
	return 0, fmt.Errorf("%q is no point", name)
}

// Attributes describe a call of a point. A point leaves those empty that it does not have.
type Attributes struct {
	TransactionalID string
	Topic           string
	Partition       int32
	Group           string
}

// Action is the action of a fault. Exactly one field is set.
type Action struct {
	Error error // the call fails with it
	// Delay is how long the call waits, in real time. Where a point can hold, it is held so long.
	Delay   time.Duration
	Hold    bool // until the fault is released or disarmed
	Kill    bool // the cluster is killed, or the process where its Points say so
	Offline bool // the partition goes offline, as after a failed write
}
