package sharepartition

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	"once/durability"
	"once/internal/clock"
	"once/log"
	"once/log/batch"
	"once/partition"
	"once/settings"
	"once/sharecoordinator"
	"once/sharepartition/window"
)

// SharePartition is one partition for one share group.
//
// Locking: mu orders everything that happens to the window. It is held across an append of the state, and not while the
// log is read: fetching keeps other fetches out meanwhile.
type SharePartition struct {
	m   *Manager // immutable, as is the next one
	key Key
	mu  struct {
		sync.Mutex
		window      *window.Window // nil until it is loaded
		dropped     bool
		fetching    bool
		stateEpoch  int32
		leaderEpoch int32
		waiters     map[*partition.Waiter]struct{}
		turnedAway  []*partition.Waiter // of fetches that came while another one was under way
		timer       clock.Timer         // of the locks; nil when none is set
		timerAt     time.Time
	}
}

func limitsOf(g settings.ShareGroup) window.Limits {
	return window.Limits{
		DeliveryCount: g.DeliveryCountLimit, RecordLocks: g.RecordLocks, LockDuration: g.LockDuration,
		Renew:       g.RenewAcknowledge,
		DeadLetters: g.DeadLetterTopic != "",
	}
}

// Watch registers a waiter that gets a signal when the share partition may have records for it.
func (m *Manager) Watch(k Key, w *partition.Waiter) {
	if sp := m.get(k, true); sp != nil {
		sp.mu.Lock()
		defer sp.mu.Unlock()
		if sp.mu.waiters == nil {
			sp.mu.waiters = map[*partition.Waiter]struct{}{}
		}
		sp.mu.waiters[w] = struct{}{}
	}
}

// Unwatch removes a waiter.
func (m *Manager) Unwatch(k Key, w *partition.Waiter) {
	if sp := m.get(k, false); sp != nil {
		sp.mu.Lock()
		defer sp.mu.Unlock()
		delete(sp.mu.waiters, w)
	}
}

func (sp *SharePartition) wakeLocked() {
	for w := range sp.mu.waiters {
		signal(w)
	}
}

func signal(w *partition.Waiter) {
	select {
	case w.C <- struct{}{}:
	default:
	}
}

// dropLocked forgets the window: the next fetch loads it anew.
func (sp *SharePartition) dropLocked() {
	sp.mu.dropped = true
	sp.mu.window = nil
	sp.stopTimerLocked()
	sp.wakeLocked()
	sp.m.drop(sp)
}

// loadLocked reads the stored state, unless that has been done (spec: share-groups 6).
func (sp *SharePartition) loadLocked(p *partition.Partition, g settings.ShareGroup) error {
	if sp.mu.window != nil {
		return nil
	}
	began := time.Now()
	var state sharecoordinator.State
	err := sp.m.cfg.States.Persist(sp.key, func() (err error) {
		state, _, err = sp.m.cfg.States.Read(sp.key, p.LeaderEpoch())
		return err
	})
	if err != nil {
		return err
	}
	start := state.StartOffset
	if start < 0 {
		if start, err = startOffset(p, g, sp.m.cfg.Clock.Now()); err != nil {
			return err
		}
	}
	w, err := window.New(start, state.Batches)
	if err != nil {
		return fmt.Errorf("share partition %s: %w", sp.key, err)
	}
	sp.mu.window, sp.mu.stateEpoch, sp.mu.leaderEpoch = w, state.StateEpoch, p.LeaderEpoch()
	sp.m.metrics.loadSeconds.Observe(time.Since(began).Seconds())
	sp.writeLettersLocked(w.OpenLetters(limitsOf(g)))
	return nil
}

// startOffset is where a group begins in a partition that it has not read.
func startOffset(p *partition.Partition, g settings.ShareGroup, now time.Time) (int64, error) {
	offsets, err := p.Offsets()
	if err != nil {
		return 0, err
	}
	switch g.OffsetReset {
	case settings.ResetEarliest:
		return offsets.LogStartOffset, nil
	case settings.ResetByDuration:
		at, err := p.OffsetForTimestamp(now.Add(-g.OffsetResetDuration).UnixMilli(), false)
		if err != nil {
			return 0, fmt.Errorf("%w: %w", ErrNoOffset, err)
		}
		if at.Offset >= 0 {
			return at.Offset, nil
		}
	}
	return offsets.HighWatermark, nil
}

// FetchRequest asks for records of one share partition.
type FetchRequest struct {
	Key         Key
	Partition   *partition.Partition
	MemberID    string
	MaxRecords  int64
	BatchSize   int64
	RecordLimit bool
	MaxBytes    int
	AtLeastOne  bool              // a batch is read even if it has more than MaxBytes
	Waiter      *partition.Waiter // gets a signal when a fetch that is in the way has ended; may be nil
}

// Fetched is the result of a fetch. The caller releases Slice, which holds every log batch of Acquired.
type Fetched struct {
	Slice    log.Slice
	Acquired []window.AcquiredRange
	Records  int64 // offsets in Acquired
	// Loading: another fetch holds the share partition; it is as if it had no records.
	Loading bool
}

// maxFetchRounds bounds how often a fetch goes on after it has found only records that nobody may see.
const maxFetchRounds = 100

// Fetch acquires records for a member.
func (m *Manager) Fetch(r FetchRequest) (Fetched, error) {
	sp := m.get(r.Key, true)
	if sp == nil {
		return Fetched{}, sharecoordinator.ErrClosed
	}
	group := m.cfg.Settings(r.Key.Group)
	sp.mu.Lock()
	defer sp.mu.Unlock()
	switch {
	case sp.mu.dropped:
		return Fetched{Loading: true}, nil // the next try finds another one
	case !m.cfg.Enabled():
		return Fetched{Loading: true}, nil // asked under the lock, so that DropAll finds what is loaded before it
	case sp.mu.fetching:
		if r.Waiter != nil {
			sp.mu.turnedAway = append(sp.mu.turnedAway, r.Waiter)
		}
		return Fetched{Loading: true}, nil
	}
	if err := sp.loadLocked(r.Partition, group); err != nil {
		if !errors.Is(err, ErrNoOffset) {
			sp.dropLocked()
		}
		return Fetched{}, err
	}
	sp.mu.fetching = true
	defer func() {
		sp.mu.fetching = false
		for _, w := range sp.mu.turnedAway {
			signal(w)
		}
		sp.mu.turnedAway = nil
	}()
	for range maxFetchRounds {
		fetched, again, err := sp.fetchLocked(&r, group)
		if err != nil || !again {
			return fetched, err
		}
	}
	return Fetched{}, nil
}

// fetchLocked reads the log once. again says that what it found was for nobody. The lock is released while the log is
// read.
func (sp *SharePartition) fetchLocked(r *FetchRequest, group settings.ShareGroup) (_ Fetched, again bool, err error) {
	limits := limitsOf(group)
	w := sp.mu.window
	if w == nil || !w.CanAcquire(limits) {
		return Fetched{}, false, nil
	}
	offset := w.NextFetchOffset()
	reach := w.Reach(offset, r.MaxRecords)
	sp.mu.Unlock()
	read, batches, err := readBatches(r, offset, reach, group.ReadCommitted)
	sp.mu.Lock()
	if sp.mu.dropped {
		read.Slice.Release()
		return Fetched{}, false, nil
	}
	if errors.Is(err, partition.ErrOffsetOutOfRange) && offset < r.Partition.LogStartOffset() {
		w.LogStartMoved(r.Partition.LogStartOffset())
		return Fetched{}, true, nil
	}
	if err != nil || len(batches) == 0 {
		read.Slice.Release()
		return Fetched{}, false, err
	}
	log := make([]window.LogBatch, len(batches))
	for i := range batches {
		log[i] = batches[i].LogBatch
	}
	ranges := w.Acquire(window.Fetch{
		MemberID: strings.Clone(r.MemberID), Offset: offset, MaxRecords: r.MaxRecords, BatchSize: max(1, r.BatchSize),
		RecordLimit: r.RecordLimit,
	}, log, limits, sp.m.cfg.Locks.Now())
	if len(ranges) == 0 {
		read.Slice.Release()
		return Fetched{}, w.NextFetchOffset() != offset, nil
	}
	sp.armLocked()
	fetched := Fetched{Slice: cut(read.Slice, batches, ranges), Acquired: ranges}
	for _, a := range ranges {
		fetched.Records += a.LastOffset - a.FirstOffset + 1
	}
	return fetched, false, nil
}

// readBatch is a record batch in a slice.
type readBatch struct {
	window.LogBatch
	position, size int
}

// readBatches reads the log from an offset on, and the headers of its batches up to another one.
func readBatches(r *FetchRequest, offset, reach int64, committed bool) (partition.ReadResult, []readBatch, error) {
	read, err := r.Partition.Read(partition.ReadRequest{
		Offset: offset, Committed: committed, MaxBytes: r.MaxBytes, AtLeastOne: r.AtLeastOne, CurrentLeaderEpoch: -1,
		LastFetchedEpoch: -1,
	})
	if err != nil {
		return read, nil, err
	}
	var batches []readBatch
	err = read.Slice.Headers(func(h batch.Header, position int) bool {
		batches = append(batches, readBatch{
			LogBatch: window.LogBatch{FirstOffset: h.BaseOffset, LastOffset: h.LastOffset(),
				Aborted: isAborted(h, read.Aborted)},
			position: position, size: h.SizeBytes(),
		})
		return h.LastOffset() < reach
	})
	return read, batches, err
}

// isAborted says whether a batch is part of an aborted transaction.
func isAborted(h batch.Header, aborted []log.AbortedTxn) bool {
	if !h.IsTransactional() || h.IsControl() {
		return false
	}
	for _, a := range aborted {
		if a.ProducerID == h.ProducerID && a.FirstOffset <= h.BaseOffset && h.BaseOffset <= a.LastOffset {
			return true
		}
	}
	return false
}

// cut returns the part of the slice that holds the acquired ranges, in whole batches.
func cut(s log.Slice, batches []readBatch, ranges []window.AcquiredRange) log.Slice {
	first, last := ranges[0].FirstOffset, ranges[len(ranges)-1].LastOffset
	from, to := -1, 0
	for _, b := range batches {
		if b.LastOffset < first {
			continue
		}
		if b.FirstOffset > last {
			break
		}
		if from < 0 {
			from = b.position
		}
		to = b.position + b.size
	}
	return s.Part(max(from, 0), to-max(from, 0))
}

// SizeFrom returns how many bytes, up to a limit, a fetch could read; it acquires nothing.
func (m *Manager) SizeFrom(r FetchRequest) int {
	sp := m.get(r.Key, false)
	if sp == nil {
		return 0
	}
	group := m.cfg.Settings(r.Key.Group)
	sp.mu.Lock()
	w := sp.mu.window
	if w == nil || !w.CanAcquire(limitsOf(group)) {
		sp.mu.Unlock()
		return 0
	}
	offset := w.NextFetchOffset()
	sp.mu.Unlock()
	read, err := r.Partition.Read(partition.ReadRequest{
		Offset: offset, Committed: group.ReadCommitted, MaxBytes: r.MaxBytes, AtLeastOne: true, CurrentLeaderEpoch: -1,
		LastFetchedEpoch: -1,
	})
	if err != nil {
		return r.MaxBytes // the fetch finds out
	}
	defer read.Slice.Release()
	return read.Slice.SizeBytes()
}

// Acknowledge carries out what a member says about records: all of it, or nothing. Their form has been checked. The
// answer waits for the ticket.
func (m *Manager) Acknowledge(k Key, memberID string, list []window.Acknowledgement) (durability.Ticket, error) {
	sp := m.get(k, false)
	if sp == nil {
		return durability.Ticket{}, ErrNotLoaded
	}
	limits := limitsOf(m.cfg.Settings(k.Group))
	sp.mu.Lock()
	defer sp.mu.Unlock()
	if sp.mu.window == nil {
		return durability.Ticket{}, ErrNotLoaded
	}
	change, err := sp.mu.window.Acknowledge(memberID, list, limits)
	if err != nil {
		return durability.Ticket{}, err
	}
	m.metrics.acknowledged(list)
	return sp.changeLocked(change, limits)
}

// changeLocked stores a change and applies it. With an error nothing has changed.
func (sp *SharePartition) changeLocked(c *window.Change, limits window.Limits) (durability.Ticket, error) {
	var ticket durability.Ticket
	if !c.IsEmpty() {
		err := sp.m.cfg.States.Persist(sp.key, func() (err error) {
			ticket, err = sp.m.cfg.States.Write(&sharecoordinator.Write{
				Key: sp.key, StateEpoch: sp.mu.stateEpoch, LeaderEpoch: sp.mu.leaderEpoch, StartOffset: c.StartOffset,
				DeliveryCompleteCount: int32(c.Finished), Batches: c.Batches,
			})
			return err
		})
		if err != nil {
			if errors.Is(err, sharecoordinator.ErrNoState) || errors.Is(err, sharecoordinator.ErrFencedStateEpoch) ||
				errors.Is(err, sharecoordinator.ErrFencedLeaderEpoch) {
				sp.dropLocked()
			}
			return durability.Ticket{}, err
		}
	}
	full, start := sp.mu.window.InFlight() >= limits.RecordLocks, sp.mu.window.StartOffset()
	sp.mu.window.Apply(c, limits, sp.m.cfg.Locks.Now())
	if c.Releases() || full && sp.mu.window.StartOffset() > start {
		sp.wakeLocked()
	}
	sp.writeLettersLocked(c.Letters)
	return ticket, nil
}

// releaseMember gives back all records that a member owns.
func (sp *SharePartition) releaseMember(memberID string) {
	limits := limitsOf(sp.m.cfg.Settings(sp.key.Group))
	sp.mu.Lock()
	defer sp.mu.Unlock()
	if sp.mu.window == nil {
		return
	}
	if change := sp.mu.window.ReleaseMember(memberID, limits); !change.IsEmpty() {
		if _, err := sp.changeLocked(change, limits); err != nil {
			sp.m.cfg.Logger.Warn("records of a closed share session stay locked", "group", sp.key.Group, "error", err)
		}
	}
}

// Locks.

// armLocked sets the timer to the end of the first lock.
func (sp *SharePartition) armLocked() {
	at, ok := sp.mu.window.NextExpiry()
	if !ok || sp.m.isClosed() {
		return
	}
	if sp.mu.timer != nil {
		if !at.Before(sp.mu.timerAt) || !sp.mu.timer.Stop() {
			return // set early enough, or about to run and arm again
		}
		sp.m.running.Done()
	}
	sp.m.running.Add(1)
	sp.mu.timerAt = at
	sp.mu.timer = sp.m.cfg.Locks.AfterFunc(at.Sub(sp.m.cfg.Locks.Now()), func() { sp.locksDue(sp.m.cfg.Locks) })
}

func (sp *SharePartition) stopTimerLocked() {
	if sp.mu.timer != nil && sp.mu.timer.Stop() {
		sp.m.running.Done()
	}
	sp.mu.timer = nil
}

// locksDue ends the locks that are due.
func (sp *SharePartition) locksDue(c clock.Clock) {
	defer sp.m.running.Done()
	limits := limitsOf(sp.m.cfg.Settings(sp.key.Group))
	sp.mu.Lock()
	defer sp.mu.Unlock()
	sp.mu.timer = nil
	if sp.mu.window == nil || sp.m.isClosed() {
		return
	}
	change := sp.mu.window.Expire(sp.m.cfg.Locks.Now(), limits)
	if !change.IsEmpty() {
		if _, err := sp.changeLocked(change, limits); err != nil {
			sp.m.cfg.Logger.Error("end of locks not written; trying again", "group", sp.key.Group, "error", err)
			sp.retryLocked()
			return
		}
		sp.m.metrics.lockTimeouts.Add(float64(len(change.Batches)))
		c.Did("ended record locks", slog.String("group", sp.key.Group), slog.Int("partition", int(sp.key.Partition)))
	}
	if sp.mu.window != nil {
		sp.mu.window.Rearm()
		sp.armLocked()
	}
}

// PassTime lets time pass for the locks of members that are gone, while those of others stay where they are.
func (m *Manager) PassTime(passed time.Duration, gone func(group, member string) bool) {
	m.mu.Lock()
	all := make([]*SharePartition, 0, len(m.mu.loaded))
	for _, sp := range m.mu.loaded {
		all = append(all, sp)
	}
	m.mu.Unlock()
	for _, sp := range all {
		sp.mu.Lock()
		if w := sp.mu.window; w != nil && w.Shorten(passed, func(member string) bool { return gone(sp.key.Group, member) }) {
			sp.armLocked()
		}
		sp.mu.Unlock()
	}
}

// retryLocked tries to end the locks again in a while.
func (sp *SharePartition) retryLocked() {
	if sp.mu.window == nil {
		return
	}
	sp.m.running.Add(1)
	sp.mu.timerAt = time.Time{}
	sp.mu.timer = sp.m.cfg.RealTime.AfterFunc(retryAfterFailedWrite, func() { sp.locksDue(sp.m.cfg.Locks) })
}

func (m *Manager) isClosed() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.mu.closed
}
