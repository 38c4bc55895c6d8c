package sharecoordinator

import (
	"fmt"

	"once/durability"
	"once/sharepartition/window"
)

// Each change returns the ticket of its record, for which the caller waits.

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
