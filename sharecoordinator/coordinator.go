// Package sharecoordinator stores the state of share partitions: the start offset, and which records above it are
// finished or were delivered how often (spec: share-groups 14, 16).
//
// The state lies in the topic __share_group_state in Kafka's record schemas, a snapshot and then updates for each share
// partition. All changes in one partition of the topic are made under one lock: decide, append, apply. A restart
// replays the log through the same apply. Before a client is answered, the caller
// waits for the ticket that a change returns.
//
// The package does not use wire codes.
package sharecoordinator

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"once/durability"
	"once/internal/clock"
	"once/internal/fault"
	"once/log/batch"
)

// Topic is the topic with the state.
const Topic = "__share_group_state"

// The errors of requests.
var (
	// ErrNoState: the share partition was never initialized, or its state was deleted.
	ErrNoState = errors.New("share partition has no state")
	// ErrFencedStateEpoch: the state epoch is older than the stored one.
	ErrFencedStateEpoch = errors.New("state epoch is older than the share partition's")
	// ErrFencedLeaderEpoch: the leader epoch is older than the stored one.
	ErrFencedLeaderEpoch = errors.New("leader epoch is older than the share partition's")
	// ErrLoading and ErrClosed: the coordinator has not loaded yet, or is stopping.
	ErrLoading = errors.New("share coordinator is loading")
	ErrClosed  = errors.New("share coordinator is stopping")
	// ErrNotCoordinator: the partition of __share_group_state that the share partition belongs to is offline.
	ErrNotCoordinator = errors.New("partition of the share group state is offline")
	// ErrNotWritten wraps the error of a state log that appended nothing: memory and log are unchanged.
	ErrNotWritten = errors.New("share group state was not written")
)

// Appended is the result of an append.
type Appended struct {
	BaseOffset int64
	Durable    durability.Ticket // what the answer waits for
}

// StateLog is a partition of __share_group_state. After an error of an append nothing was stored.
type StateLog interface {
	AppendCoordinator(raw []byte, answer durability.Answer) (Appended, error)
	// Scan gives the whole batches of [from, to) in order; raw is valid during the call.
	Scan(from, to int64, fn func(h batch.Header, raw []byte) error) error
	LogStartOffset() int64
	LogEndOffset() int64
	// DeleteRecords moves the log start offset up to an offset.
	DeleteRecords(offset int64) error
}

// Config is the configuration of a Coordinator. Zero means the default in the comment.
type Config struct {
	// StateLogs gives the state log of a partition of __share_group_state; nil while the topic does not exist.
	StateLogs func(partition int32) StateLog
	// CreateTopic creates the topic. It is called without a lock of this package.
	CreateTopic          func() error
	Partitions           int32         // 50, never to change while the data directory lives
	UpdatesPerSnapshot   int           // share.coordinator.snapshot.update.records.per.snapshot; 500; -1: no updates
	ColdSnapshotInterval time.Duration // share.coordinator.cold.partition.snapshot.interval.ms; 5 min
	PruneInterval        time.Duration // share.coordinator.state.topic.prune.interval.ms; 5 min
	MaxInflatedBytes     int           // largest record batch, inflated, that Load reads; 256 MiB

	Clock  clock.Clock   // the cluster's; nil means the machine's
	Logger *slog.Logger  // nil discards
	Faults *fault.Points // nil: none
}

// Defaults of Config, as in Kafka where it has them.
const (
	DefaultPartitions           = 50
	DefaultUpdatesPerSnapshot   = 500
	DefaultColdSnapshotInterval = 5 * time.Minute
	DefaultPruneInterval        = 5 * time.Minute
	DefaultMaxInflatedBytes     = 256 << 20
)

func (c Config) withDefaults() Config {
	if c.Partitions == 0 {
		c.Partitions = DefaultPartitions
	}
	if c.UpdatesPerSnapshot == 0 {
		c.UpdatesPerSnapshot = DefaultUpdatesPerSnapshot
	}
	if c.ColdSnapshotInterval == 0 {
		c.ColdSnapshotInterval = DefaultColdSnapshotInterval
	}
	if c.PruneInterval == 0 {
		c.PruneInterval = DefaultPruneInterval
	}
	if c.MaxInflatedBytes == 0 {
		c.MaxInflatedBytes = DefaultMaxInflatedBytes
	}
	if c.Clock == nil {
		c.Clock = clock.Real{}
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

// Coordinator keeps the state of all share partitions. All methods may be called from any goroutine. Before the end of
// Load they return ErrLoading, after Close ErrClosed.
type Coordinator struct {
	cfg    Config // immutable, with defaults
	shards []*shard
	checks []*clock.Check // set at the end of Load

	reloading sync.Mutex // held while state is loaded again

	present  atomic.Bool // the topic exists
	creating sync.Mutex  // held while the topic is created
}

// shard holds the share partitions of one partition of the topic.
//
// Locking: mu is held across an append, never across a wait for its durability. It is taken below the locks of groups
// and share partitions.
type shard struct {
	c         *Coordinator
	partition int32
	mu        struct {
		sync.Mutex
		loaded, closed bool
		offline        bool          // the partition is offline: nothing is loaded
		loading        chan struct{} // closed at the end of a load after the first one; nil before
		stateLog       StateLog
		states         map[Key]*State    // nil until the first one
		durable        durability.Ticket // of the last append
	}
}

// New makes a coordinator without state; Load gives it the state of the log.
func New(cfg Config) *Coordinator {
	c := &Coordinator{cfg: cfg.withDefaults()}
	c.shards = make([]*shard, c.cfg.Partitions)
	for i := range c.shards {
		c.shards[i] = &shard{c: c, partition: int32(i)}
	}
	return c
}

// Load reads the log and then serves requests. An unreadable record is logged and skipped; an unreadable state log ends
// Load with its error.
func (c *Coordinator) Load() error {
	for _, s := range c.shards {
		if err := s.load(); err != nil {
			return fmt.Errorf("load share group state of partition %d: %w", s.partition, err)
		}
	}
	c.present.Store(c.cfg.StateLogs(0) != nil)
	// Cold snapshots come first: what they replace can be pruned in the same move of the clock.
	c.every(c.cfg.ColdSnapshotInterval, "cold share partitions get no snapshot", (*shard).writeColdSnapshots)
	c.every(c.cfg.PruneInterval, "old share group state is not deleted", (*shard).prune)
	return nil
}

func (s *shard) load() error {
	stateLog := s.c.cfg.StateLogs(s.partition)
	building := &shard{c: s.c, partition: s.partition}
	if stateLog != nil { // else nothing is stored yet
		err := stateLog.Scan(stateLog.LogStartOffset(), stateLog.LogEndOffset(), building.replayBatchLocked)
		if err != nil {
			return err
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.closed {
		return ErrClosed
	}
	if stateLog != nil { // the topic may have been created meanwhile
		s.mu.stateLog = stateLog
	}
	s.mu.states, s.mu.loaded, s.mu.offline = building.mu.states, true, false
	return nil
}

// Ensure creates the topic if it does not exist. It must be called, without any lock held, before state is stored: a
// broker without share groups has no such topic.
func (c *Coordinator) Ensure() error {
	if c.present.Load() {
		return nil
	}
	c.creating.Lock()
	defer c.creating.Unlock()
	if c.present.Load() {
		return nil
	}
	if err := c.cfg.CreateTopic(); err != nil {
		return err
	}
	for _, s := range c.shards {
		s.mu.Lock()
		s.mu.stateLog = c.cfg.StateLogs(s.partition)
		s.mu.Unlock()
	}
	c.present.Store(true)
	return nil
}

func (s *shard) replayBatchLocked(h batch.Header, raw []byte) error {
	if h.IsControl() {
		return nil
	}
	for b, err := range batch.Records(raw, s.c.cfg.MaxInflatedBytes) {
		if err != nil {
			return fmt.Errorf("batch at offset %d: %w", h.BaseOffset, err)
		}
		offset := h.BaseOffset + int64(b.OffsetDelta)
		r, err := DecodeRecord(b.Key, b.Value)
		if err != nil {
			s.c.cfg.Logger.Error("record passed over", "topic", Topic, "partition", s.partition, "offset", offset, "error", err)
			continue
		}
		s.applyLocked(&r, offset)
	}
	return nil
}

// Close ends the periodic work.
func (c *Coordinator) Close() {
	for _, check := range c.checks {
		check.Stop()
	}
	for _, s := range c.shards {
		s.mu.Lock()
		s.mu.closed = true
		s.mu.Unlock()
	}
}

// Partitions returns the number of partitions of the topic that keys belong to. One that was added since the start has
// none.
func (c *Coordinator) Partitions() int32 { return c.cfg.Partitions }

// PartitionFor returns the partition of the topic for a key.
func (c *Coordinator) PartitionFor(k Key) int32 { return PartitionOf(k, c.cfg.Partitions) }

// lock locks the shard of a key, and the caller unlocks it. With an error nothing is locked.
func (c *Coordinator) lock(k Key) (*shard, error) {
	s := c.shards[c.PartitionFor(k)]
	s.mu.Lock()
	var err error
	switch {
	case s.mu.closed:
		err = ErrClosed
	case s.mu.offline:
		err = ErrNotCoordinator
	case !s.mu.loaded:
		err = ErrLoading
	default:
		return s, nil
	}
	s.mu.Unlock()
	return nil, err
}

// appendLocked writes a record and applies it. With an error nothing has changed.
func (s *shard) appendLocked(r *Record) error {
	if s.mu.stateLog == nil {
		return fmt.Errorf("%w: the topic does not exist", ErrNotWritten)
	}
	at := fault.Attributes{Topic: Topic, Partition: s.partition, Group: r.Key.Group}
	if err := s.c.cfg.Faults.Hit(fault.GroupAppend, at); err != nil {
		return fmt.Errorf("%w: %w", ErrNotWritten, err)
	}
	appended, err := s.mu.stateLog.AppendCoordinator(r.batch(s.c.cfg.Clock.Now().UnixMilli()), durability.GroupChanged)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNotWritten, err)
	}
	_ = s.c.cfg.Faults.Hit(fault.GroupAppended, at) // what is stored is stored
	s.mu.durable = appended.Durable
	s.applyLocked(r, appended.BaseOffset)
	return nil
}

// applyLocked applies one stored record, just appended or replayed.
func (s *shard) applyLocked(r *Record, offset int64) {
	old := s.mu.states[r.Key]
	switch {
	case r.Tombstone:
		delete(s.mu.states, r.Key)
	case r.Snapshot:
		key := r.Key
		key.Group = strings.Clone(key.Group)
		if s.mu.states == nil {
			s.mu.states = make(map[Key]*State)
		}
		s.mu.states[key] = &State{
			SnapshotEpoch: r.SnapshotEpoch, StateEpoch: r.StateEpoch, LeaderEpoch: r.LeaderEpoch, StartOffset: r.StartOffset,
			DeliveryCompleteCount: r.DeliveryCompleteCount, Batches: r.Batches, createTimestampMs: r.CreateTimestampMs,
			snapshotTimestampMs: r.WriteTimestampMs, snapshotOffset: offset,
		}
	case old != nil:
		old.apply(r)
	}
}
