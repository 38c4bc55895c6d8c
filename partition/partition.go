// Package partition is the one place that decides the order of a topic-partition's records. A Partition joins a log,
// the producers that write to it and the transactions open on it, and decides each append: stored at this offset,
// already stored at that one, or refused.
//
// All state of a Partition can be rebuilt from its log: Open loads the newest producer state snapshot and replays the
// batches above it through the same apply that live appends use.
package partition

import (
	"errors"
	"fmt"
	"log/slog"
	"path"
	"strconv"
	"sync"
	"sync/atomic"

	"once/durability"
	"once/internal/clock"
	"once/internal/fault"
	"once/internal/files"
	"once/internal/invariant"
	"once/internal/vfs"
	"once/log"
	"once/log/batch"
	"once/log/directory"
	"once/lso"
	"once/pidmanager"
)

// The errors of a partition. Those of producers are pidmanager's; those of record batches are batch's.
var (
	ErrFencedEpoch        = pidmanager.ErrFencedEpoch
	ErrOutOfOrderSequence = pidmanager.ErrOutOfOrderSequence
	ErrInvalidTxnState    = pidmanager.ErrInvalidTxnState
	ErrCoordinatorFenced  = pidmanager.ErrCoordinatorFenced
	// ErrOffsetOutOfRange: the offset is below the log start offset or above the log end offset.
	ErrOffsetOutOfRange = errors.New("offset is outside of the log")
	// ErrOffline: a failed write leaves the end of the log unknown, or the log is damaged. The partition answers
	// nothing until the broker is started again.
	ErrOffline = errors.New("partition is offline")
	// ErrFencedLeaderEpoch and ErrUnknownLeaderEpoch: the client's leader epoch is older, or newer,
	// than the partition's.
	ErrFencedLeaderEpoch  = errors.New("leader epoch is older than the partition's")
	ErrUnknownLeaderEpoch = errors.New("leader epoch is newer than the partition's")
)

// Guard is the proof that a transaction was verified; see pidmanager.
type Guard = pidmanager.Guard

// ID names a partition.
type ID struct {
	Topic   string
	TopicID [16]byte
	Index   int32
}

// String returns the partition's name as Kafka writes it and as its directory is called: topic-index.
func (id ID) String() string { return id.Topic + "-" + strconv.Itoa(int(id.Index)) }

// Config is the part of a topic's configuration that a partition uses. It can be replaced while running.
type Config struct {
	Log        log.Config
	Rules      batch.Rules // ProduceVersion is filled in by each append
	Retention  Retention
	Compaction Compaction
}

// Options are the options of Open.
type Options struct {
	FS      vfs.FS
	Dir     string // data directory; the partition's own lies in it
	Config  Config
	Barrier *durability.Barrier
	// LeaderEpoch is stamped into every batch. It grows with every start of the broker.
	LeaderEpoch int32
	// Unverified: the first append of a transaction needs no verification, because
	// transaction.partition.verification.enable is off.
	Unverified bool
	// InflatedBytes and LogSizes are for log.Options.
	InflatedBytes int
	LogSizes      *log.Sizes
	Clock         clock.Clock
	Logger        *slog.Logger
	Faults        *fault.Points // nil: none
}

// Partition is one topic-partition: a log, the producers writing to it and the transactions open on
// it. Offsets count records; sizes are bytes; times are Unix ms.
// Always: LogStartOffset <= LastStableOffset <= HighWatermark <= LogEndOffset.
//
// Locking: mu orders appends. No call leaves partition, log, durability, lso or pidmanager while it is held, and it is
// not held across a sync. Readers take no lock; they load view. docs/architecture.md has the order of all locks.
// Errors: see above. After a failed write or sync the partition answers ErrOffline until it is opened again: bytes that
// may not be on the disk are never acknowledged.
type Partition struct {
	id     ID      // immutable
	opts   Options // immutable, but for Config and Unverified, which stand below
	config atomic.Pointer[Config]
	// unverified: see Options.Unverified
	unverified atomic.Bool
	log        *log.Log // immutable
	view       atomic.Pointer[view]
	mu         struct {
		sync.Mutex
		producers pidmanager.Producers
		open      lso.Tracker
		offline   error // why the partition is offline; nil while it is not
		snapshot  int64 // offset of the newest producer snapshot; -1 for none
	}
	waiters waiters
	// tidying is held while segments are deleted or compacted, and is taken before mu. Once ending is set no deletion
	// or pass begins, and a running one stops.
	tidying sync.Mutex
	ending  atomic.Bool
	// highestProducerID is the highest producer ID seen while opening; -1 for none.
	highestProducerID int64
}

// view is an immutable snapshot of the offsets, replaced under mu.
type view struct {
	logStart, logEnd, highWatermark, lastStable int64
	offline                                     bool
	intact                                      bool // it is offline because of a test: the log is as it was
}

// Open opens a partition and rebuilds its state. A damaged log gives a Partition that is offline, with
// the damage as error: the broker goes on without it.
func Open(id ID, o Options) (*Partition, error) {
	p := &Partition{id: id, opts: o, highestProducerID: -1}
	p.mu.snapshot = -1
	config := o.Config
	p.config.Store(&config)
	p.unverified.Store(o.Unverified)
	var onDurable func(int64)
	if o.Barrier.Waits(durability.RecordsShown) { // what is not durable is not shown (reliability P5)
		onDurable = p.becameDurable
	}
	var err error
	var found log.Recovered
	p.log, found, err = log.Open(log.Options{
		FS: o.FS, Dir: path.Join(o.Dir, id.String()), TopicID: id.TopicID, Config: config.Log,
		Barrier: o.Barrier, Clock: o.Clock, Logger: o.Logger, OnRoll: p.snapshotAtRoll, OnDurable: onDurable,
		InflatedBytes: o.InflatedBytes, Sizes: o.LogSizes, Faults: o.Faults,
	}, o.Barrier.Recovery(id.String(), id.TopicID))
	if err == nil {
		err = p.rebuild(found.AbortedIndexTo)
	}
	if err != nil {
		p.mu.offline = err
		p.view.Store(&view{offline: true})
		return p, fmt.Errorf("opening partition %s: %w", id, err)
	}
	p.publish(p.log.EndOffset())
	return p, nil
}

// ID returns the partition's name and topic ID.
func (p *Partition) ID() ID { return p.id }

// SetConfig replaces the configuration. It applies from the next append on.
func (p *Partition) SetConfig(c Config) {
	p.config.Store(&c)
	if p.log != nil {
		p.log.SetConfig(c.Log)
	}
}

// SetUnverified says whether the first append of a transaction needs no verification, from now on.
func (p *Partition) SetUnverified(unverified bool) { p.unverified.Store(unverified) }

// LeaderEpoch returns the epoch that the partition stamps into its batches.
func (p *Partition) LeaderEpoch() int32 { return p.opts.LeaderEpoch }

// Offsets is one consistent look at a partition's offsets.
type Offsets struct {
	LogStartOffset, LastStableOffset, HighWatermark, LogEndOffset int64
}

// Offsets returns the offsets at this moment, or ErrOffline.
func (p *Partition) Offsets() (Offsets, error) {
	v := p.view.Load()
	if v.offline {
		return Offsets{}, p.offlineError()
	}
	return Offsets{LogStartOffset: v.logStart, LastStableOffset: v.lastStable, HighWatermark: v.highWatermark,
		LogEndOffset: v.logEnd}, nil
}

// LogStartOffset returns the first offset that can still be read.
func (p *Partition) LogStartOffset() int64 { return p.view.Load().logStart }

// LogEndOffset returns the offset that the next record will get.
func (p *Partition) LogEndOffset() int64 { return p.view.Load().logEnd }

// HighWatermark returns the first offset that no reader may see yet.
func (p *Partition) HighWatermark() int64 { return p.view.Load().highWatermark }

// LastStableOffset returns the first offset that read_committed may not see yet.
func (p *Partition) LastStableOffset() int64 { return p.view.Load().lastStable }

// SizeBytes returns the size of the partition's segments.
func (p *Partition) SizeBytes() int64 {
	if p.view.Load().offline {
		return 0
	}
	return p.log.SizeBytes()
}

// HighestProducerID returns the highest producer ID that the log held when it was opened, or -1.
func (p *Partition) HighestProducerID() int64 { return p.highestProducerID }

func (p *Partition) offlineError() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.offlineErrorLocked()
}

func (p *Partition) offlineErrorLocked() error {
	return fmt.Errorf("%w: %s: %w", ErrOffline, p.id, p.mu.offline)
}

// failLocked takes the partition offline when the log cannot be written any more.
func (p *Partition) failLocked(err error) error {
	if !errors.Is(err, log.ErrFailed) {
		return err
	}
	p.goOfflineLocked(err)
	return fmt.Errorf("%w: %w", p.offlineErrorLocked(), err)
}

func (p *Partition) goOfflineLocked(cause error) {
	if p.mu.offline == nil || takenOffline(p.mu.offline) && !takenOffline(cause) {
		p.opts.Logger.Error("partition goes offline", "partition", p.id.String(), "error", cause)
		p.endLocked(cause)
	}
}

// endLocked ends the partition's work, for good unless a test has taken it offline (BringOnline). Only the first cause
// other than a test is kept.
func (p *Partition) endLocked(cause error) {
	if p.mu.offline == nil || takenOffline(p.mu.offline) {
		p.mu.offline = cause
	}
	v := *p.view.Load()
	v.offline, v.intact = true, takenOffline(p.mu.offline)
	p.view.Store(&v)
}

// offlineIfDamaged takes the partition offline if err reports damaged bytes, and returns the error for the client.
// One damaged place makes others likely (reliability P8). The bytes stay as they are.
func (p *Partition) offlineIfDamaged(err error) error {
	if !errors.Is(err, files.ErrDamaged) {
		return err
	}
	p.mu.Lock()
	p.goOfflineLocked(err)
	err = p.offlineErrorLocked()
	p.mu.Unlock()
	p.waiters.wake(wakeUp{uncommitted: true, committed: true})
	return err
}

// publish lets readers see the log up to its end, and everything below highWatermark as durable.
func (p *Partition) publish(highWatermark int64) {
	p.mu.Lock()
	wake := p.publishLocked(highWatermark)
	p.mu.Unlock()
	p.waiters.wake(wake)
}

// becameDurable lets readers see the records that a barrier has covered. It does nothing while the partition is being
// opened or offline, but for one that comes back with what has become durable meanwhile.
func (p *Partition) becameDurable(endOffset int64) {
	if v := p.view.Load(); v != nil && (!v.offline || v.intact) {
		p.publish(endOffset)
	}
}

func (p *Partition) publishLocked(highWatermark int64) wakeUp {
	start, end := p.log.StartOffset(), p.log.EndOffset()
	next := &view{logStart: start, logEnd: end, highWatermark: min(max(highWatermark, start), end),
		offline: p.mu.offline != nil, intact: takenOffline(p.mu.offline)}
	old := p.view.Load()
	if old != nil {
		next.highWatermark = max(next.highWatermark, old.highWatermark)
	}
	next.lastStable = p.mu.open.LastStableOffset(start, next.highWatermark)
	invariant.Check(start <= next.lastStable && next.lastStable <= next.highWatermark && next.highWatermark <= end,
		"%s: offsets out of order: log start %d, last stable %d, high watermark %d, log end %d", p.id, start, next.lastStable,
		next.highWatermark, end)
	if old != nil {
		invariant.Check(next.lastStable >= old.lastStable, "%s: last stable offset goes back from %d to %d", p.id,
			old.lastStable, next.lastStable)
	}
	p.view.Store(next)
	moved := old == nil || old.logStart != next.logStart
	return wakeUp{uncommitted: moved || old.highWatermark != next.highWatermark,
		committed: moved || old.lastStable != next.lastStable}
}

// Close writes the producer state snapshot and the derived files and closes the files. No other call may follow.
func (p *Partition) Close() error {
	if p.log == nil {
		return nil
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if end := p.log.EndOffset(); p.mu.offline == nil && end > 0 && end != p.mu.snapshot {
		err := p.log.WriteSnapshot(end, p.mu.producers.Snapshot())
		if errors.Is(err, vfs.ErrNoSpace) { // the next start replays more, and that is all
			p.opts.Logger.Warn("no room for a producer snapshot", "partition", p.id.String(), "error", err)
		} else if err != nil {
			return errors.Join(fmt.Errorf("closing partition %s: %w", p.id, err), p.log.Close())
		}
	}
	p.endLocked(errors.New("closed"))
	return p.log.Close()
}

// Delete takes the partition of a deleted topic offline and removes its files. The directory of a log that could not be
// opened is set aside.
func (p *Partition) Delete() error {
	p.mu.Lock()
	p.endLocked(errors.New("deleted"))
	p.mu.Unlock()
	p.waiters.wake(wakeUp{uncommitted: true, committed: true})
	if p.log == nil {
		p.opts.Barrier.Forget(p.id.String())
		return directory.Abandon(p.opts.FS, p.opts.Dir, p.id.String())
	}
	p.ending.Store(true)
	p.tidying.Lock()
	defer p.tidying.Unlock()
	return p.log.Remove()
}
