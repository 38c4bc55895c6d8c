// Package sharecoordinator stores the state of share partitions: the start offset, and which records above it are
// finished or were delivered how often (spec: share-groups 14, 16).
//
// The state lies in the topic __share_group_state in Kafka's record schemas, a snapshot and then updates for each share
// partition. All changes in one partition of the topic are made under one lock: decide, append, apply. A restart
// replays the log through the same apply. Whoever answers a client waits for the ticket that a change returns.
//
// The package does not use wire codes.
package sharecoordinator

import (
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode/utf16"

	"once/durability"
	"once/internal/clock"
	"once/internal/fault"
	"once/log/batch"
	"once/sharepartition/window"
)

// Topic is the topic with the state.
const Topic = "__share_group_state"

// Key names a share partition.
type Key struct {
	Group     string
	TopicID   [16]byte
	Partition int32
}

// String returns the key as FindCoordinator has it.
func (k Key) String() string {
	return k.Group + ":" + base64.RawURLEncoding.EncodeToString(k.TopicID[:]) + ":" + strconv.Itoa(int(k.Partition))
}

// ParseKey reads a key as FindCoordinator has it; a group may contain colons.
func ParseKey(s string) (Key, error) {
	refuse := func() (Key, error) { return Key{}, fmt.Errorf("%q is no group:topicId:partition", s) }
	last := strings.LastIndexByte(s, ':')
	if last < 0 {
		return refuse()
	}
	middle := strings.LastIndexByte(s[:last], ':')
	if middle <= 0 {
		return refuse()
	}
	id, err := base64.RawURLEncoding.DecodeString(s[middle+1 : last])
	partition, numberErr := strconv.ParseInt(s[last+1:], 10, 32)
	if err != nil || numberErr != nil || len(id) != 16 {
		return refuse()
	}
	return Key{Group: s[:middle], TopicID: [16]byte(id), Partition: int32(partition)}, nil
}

// PartitionOf returns the partition of the topic for a key: the absolute value of Java's String.hashCode, modulo the
// number of partitions. It is 0 for the one hash without an absolute value.
func PartitionOf(k Key, partitions int32) int32 {
	var h int32
	for _, u := range utf16.Encode([]rune(k.String())) {
		h = 31*h + int32(u)
	}
	if h < 0 {
		h = max(0, -h)
	}
	return h % partitions
}

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

// Durable waits are the caller's: every change below returns the ticket of its record.

// Initialize gives a share partition its start offset, and forgets what was stored for it. -1 leaves the start offset
// to the first fetch.
func (c *Coordinator) Initialize(k Key, stateEpoch int32, startOffset int64) (durability.Ticket, error) {
	s, err := c.lock(k)
	if err != nil {
		return durability.Ticket{}, err
	}
	defer s.mu.Unlock()
	r := s.snapshotRecordLocked(k)
	if old := s.mu.states[k]; old != nil {
		if stateEpoch < old.StateEpoch {
			return durability.Ticket{}, fmt.Errorf("%w: %d, stored %d", ErrFencedStateEpoch, stateEpoch, old.StateEpoch)
		}
	}
	r.StateEpoch, r.LeaderEpoch, r.StartOffset, r.Batches = stateEpoch, 0, startOffset, nil
	r.DeliveryCompleteCount = 0
	if startOffset < 0 {
		r.DeliveryCompleteCount = -1
	}
	if err := s.appendLocked(r); err != nil {
		return durability.Ticket{}, err
	}
	return s.mu.durable, nil
}

// snapshotRecordLocked returns the next snapshot of a share partition: of its state, or an empty one.
func (s *shard) snapshotRecordLocked(k Key) *Record {
	nowMs := s.c.cfg.Clock.Now().UnixMilli()
	r := &Record{Key: k, Snapshot: true, CreateTimestampMs: nowMs, WriteTimestampMs: nowMs}
	if old := s.mu.states[k]; old != nil {
		r.SnapshotEpoch, r.StateEpoch, r.LeaderEpoch = old.SnapshotEpoch+1, old.StateEpoch, old.LeaderEpoch
		r.StartOffset, r.DeliveryCompleteCount, r.Batches = old.StartOffset, old.DeliveryCompleteCount, old.Batches
		r.CreateTimestampMs = old.createTimestampMs
	}
	return r
}

// Read returns the state for a leader of the partition, whose newer epoch is stored. leaderEpoch -1 stores nothing.
func (c *Coordinator) Read(k Key, leaderEpoch int32) (State, durability.Ticket, error) {
	s, err := c.lock(k)
	if err != nil {
		return State{}, durability.Ticket{}, err
	}
	defer s.mu.Unlock()
	state := s.mu.states[k]
	switch {
	case state == nil:
		return State{}, durability.Ticket{}, ErrNoState
	case leaderEpoch >= 0 && leaderEpoch < state.LeaderEpoch:
		return State{}, durability.Ticket{}, fmt.Errorf("%w: %d, stored %d", ErrFencedLeaderEpoch, leaderEpoch,
			state.LeaderEpoch)
	case leaderEpoch > state.LeaderEpoch:
		r := &Record{
			Key: k, SnapshotEpoch: state.SnapshotEpoch, LeaderEpoch: leaderEpoch, StartOffset: unchanged,
			DeliveryCompleteCount: state.DeliveryCompleteCount,
		}
		if err := s.appendLocked(r); err != nil {
			return State{}, durability.Ticket{}, err
		}
	}
	return state.copy(), s.mu.durable, nil
}

// Summary returns the state without fencing anything.
func (c *Coordinator) Summary(k Key) (State, durability.Ticket, error) {
	s, err := c.lock(k)
	if err != nil {
		return State{}, durability.Ticket{}, err
	}
	defer s.mu.Unlock()
	state := s.mu.states[k]
	if state == nil {
		return State{}, durability.Ticket{}, ErrNoState
	}
	return state.copy(), s.mu.durable, nil
}

// Write is a change of a share partition.
type Write struct {
	Key                     Key
	StateEpoch, LeaderEpoch int32 // -1: not to be checked
	StartOffset             int64 // -1: as stored
	DeliveryCompleteCount   int32 // finished offsets at or above StartOffset
	Batches                 []window.Batch
}

// Write stores a change.
func (c *Coordinator) Write(w *Write) (durability.Ticket, error) {
	s, err := c.lock(w.Key)
	if err != nil {
		return durability.Ticket{}, err
	}
	defer s.mu.Unlock()
	state := s.mu.states[w.Key]
	switch {
	case state == nil:
		return durability.Ticket{}, ErrNoState
	case w.LeaderEpoch >= 0 && w.LeaderEpoch < state.LeaderEpoch:
		return durability.Ticket{}, fmt.Errorf("%w: %d, stored %d", ErrFencedLeaderEpoch, w.LeaderEpoch, state.LeaderEpoch)
	case w.StateEpoch >= 0 && w.StateEpoch < state.StateEpoch:
		return durability.Ticket{}, fmt.Errorf("%w: %d, stored %d", ErrFencedStateEpoch, w.StateEpoch, state.StateEpoch)
	}
	r := &Record{
		Key: w.Key, SnapshotEpoch: state.SnapshotEpoch, LeaderEpoch: max(w.LeaderEpoch, state.LeaderEpoch),
		StartOffset: w.StartOffset, DeliveryCompleteCount: w.DeliveryCompleteCount, Batches: w.Batches,
	}
	// A state of a later epoch begins with a snapshot, because an update has no state epoch.
	if state.updates >= s.c.cfg.UpdatesPerSnapshot || w.StateEpoch > state.StateEpoch {
		merged := state.copy()
		merged.apply(r)
		snapshot := s.snapshotRecordLocked(w.Key)
		snapshot.StateEpoch = max(state.StateEpoch, w.StateEpoch)
		snapshot.LeaderEpoch, snapshot.StartOffset = merged.LeaderEpoch, merged.StartOffset
		snapshot.DeliveryCompleteCount, snapshot.Batches = merged.DeliveryCompleteCount, merged.Batches
		r = snapshot
	}
	if err := s.appendLocked(r); err != nil {
		return durability.Ticket{}, err
	}
	return s.mu.durable, nil
}

// Delete removes the state of a share partition; it is no error when there is none.
func (c *Coordinator) Delete(k Key) (durability.Ticket, error) {
	s, err := c.lock(k)
	if err != nil {
		return durability.Ticket{}, err
	}
	defer s.mu.Unlock()
	if s.mu.states[k] == nil {
		return durability.Ticket{}, nil
	}
	if err := s.appendLocked(&Record{Key: k, Snapshot: true, Tombstone: true}); err != nil {
		return durability.Ticket{}, err
	}
	return s.mu.durable, nil
}

// Keys returns all share partitions that have state, in no particular order.
func (c *Coordinator) Keys() (keys []Key) {
	for _, s := range c.shards {
		s.mu.Lock()
		for k := range s.mu.states {
			keys = append(keys, k)
		}
		s.mu.Unlock()
	}
	return keys
}

// every does something with each shard at an interval. What fails is logged and done at the next check.
func (c *Coordinator) every(interval time.Duration, failed string, do func(*shard) error) {
	c.checks = append(c.checks, c.cfg.Clock.Every(interval, func() time.Duration { return interval }, func() {
		for _, s := range c.shards {
			if err := do(s); err != nil {
				c.cfg.Logger.Warn(failed+"; tried again at the next check", "partition", s.partition, "error", err)
			}
		}
	}))
}

// hasStateLocked says whether the state of all share partitions is in memory, so that the log may be pruned.
func (s *shard) hasStateLocked() bool { return s.mu.loaded && !s.mu.closed && s.mu.stateLog != nil }

// writeColdSnapshots writes snapshots of share partitions that have updates, but no recent snapshot.
func (s *shard) writeColdSnapshots() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.hasStateLocked() {
		return nil
	}
	nowMs := s.c.cfg.Clock.Now().UnixMilli()
	for k, state := range s.mu.states {
		if state.updates > 0 && nowMs-state.snapshotTimestampMs >= s.c.cfg.ColdSnapshotInterval.Milliseconds() {
			if err := s.appendLocked(s.snapshotRecordLocked(k)); err != nil {
				return err
			}
		}
	}
	return nil
}

// prune deletes the records below the newest snapshots of all share partitions.
func (s *shard) prune() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.hasStateLocked() {
		return nil
	}
	needed := s.mu.stateLog.LogEndOffset()
	for _, state := range s.mu.states {
		needed = min(needed, state.snapshotOffset)
	}
	if needed > s.mu.stateLog.LogStartOffset() {
		return s.mu.stateLog.DeleteRecords(needed)
	}
	return nil
}
