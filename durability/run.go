package durability

import (
	"errors"
	"fmt"
	"io/fs"
	"path"

	"once/internal/fault"
	"once/internal/vfs"
)

// fail makes all later barriers fail.
func (b *Barrier) fail(err error) {
	err = fmt.Errorf("durability: barrier failed: %w", err)
	if !b.broken.CompareAndSwap(nil, &err) {
		return
	}
	b.o.Logger.Error("barrier failed; nothing is acknowledged as durable any more", "error", err)
	b.mu.Lock()
	b.wakeAllLocked()
	b.mu.Unlock()
	if b.o.OnFailure != nil {
		b.o.OnFailure(err)
	}
}

// wakeWaitersLocked wakes the waiters of the barrier that has ended.
func (b *Barrier) wakeWaitersLocked() {
	if b.mu.running != nil {
		close(b.mu.running)
		b.mu.running = nil
	}
}

// wakeAllLocked wakes all waiters because the service has failed.
func (b *Barrier) wakeAllLocked() {
	b.wakeWaitersLocked()
	close(b.mu.next)
	b.mu.next = make(chan struct{})
}

// captured is the state of a dirty log at the barrier's instant.
type captured struct {
	member   *Member
	state    State
	newDir   bool
	newNames bool
}

// coverage is what one barrier covers.
type coverage struct {
	logs       []captured
	generation uint64 // of the waiters
	group      []byte // for the journal
	journaled  bool   // the group is all that has to be written
	nothing    bool
	recovered  bool // all logs had been opened
	onDone     []func()
}

// capture notes the ends of the dirty logs at one instant, and decides whether the journal can be used.
func (b *Barrier) capture() (at coverage) {
	b.instant.Lock()
	defer b.instant.Unlock()
	b.mu.Lock()
	defer b.mu.Unlock()
	dirty := b.mu.dirty
	at.generation, at.recovered = b.mu.collecting, b.mu.recovered
	at.nothing = len(dirty) == 0 && !b.mu.recordDirty && (len(b.mu.journaled) == 0 || !b.mu.due && !b.mu.ending)
	b.mu.collecting++
	b.mu.running, b.mu.next = b.mu.next, make(chan struct{})
	b.mu.dirty, b.mu.stalled = nil, false
	if at.nothing {
		b.mu.due = false
		return at
	}
	for _, m := range dirty {
		m.dirty.Store(false)
		if !m.inGroup {
			m.inGroup = true
			b.mu.journaled = append(b.mu.journaled, m)
		}
	}
	if b.journal != nil && !b.mu.due && !b.mu.recordDirty && !b.mu.ending {
		at.group, at.journaled = b.journal.takeGroup(b.space.full.Load())
	}
	if at.journaled {
		for _, m := range dirty {
			at.logs = append(at.logs, captured{member: m, state: m.log.State()})
		}
		return at
	}
	for _, m := range b.mu.journaled {
		m.inGroup = false
		at.logs = append(at.logs, captured{
			member: m, state: m.log.State(), newDir: m.newDir.Swap(false), newNames: m.newNames.Swap(false),
		})
	}
	b.mu.journaled = nil
	b.unsyncedBytes.Store(0)
	b.mu.recordDirty, b.mu.due = false, false
	at.onDone, b.mu.onDone = b.mu.onDone, nil
	if b.mu.timer != nil {
		b.mu.timer.Stop()
		b.mu.timer = nil
	}
	if b.mu.recovered {
		b.journal.restart()
	}
	return at
}

// run is one barrier.
func (b *Barrier) run() {
	switch at := b.capture(); {
	case at.nothing:
		b.finish(at.generation, nil)
	case at.journaled:
		b.runJournaled(at)
	default:
		b.runFull(at)
	}
}

// runJournaled writes one group to the journal. If the journal has no room, it syncs all files instead.
func (b *Barrier) runJournaled(at coverage) {
	began := b.o.RealTime.Now()
	final, err := true, b.o.Faults.Hit(fault.DiskSync, fault.Attributes{})
	if err == nil {
		final, err = b.journal.write(at.group)
	}
	if err != nil && !final {
		b.putBack(at, false)
		return
	}
	if err == nil {
		err = b.o.Faults.Hit(fault.DiskJournaled, fault.Attributes{})
	}
	if err != nil {
		b.fail(err)
		return
	}
	b.metrics.syncSeconds.Observe(b.o.RealTime.Now().Sub(began).Seconds())
	b.metrics.barriers.WithLabelValues(toJournal).Inc()
	at.callCovered()
	b.finish(at.generation, nil)
}

// runFull syncs files and writes the record.
func (b *Barrier) runFull(at coverage) {
	err := b.o.Faults.Hit(fault.DiskSync, fault.Attributes{})
	if err == nil {
		err = b.syncAll(at.logs)
	}
	if err == nil {
		err = b.o.Faults.Hit(fault.DiskSynced, fault.Attributes{})
	}
	if err != nil {
		b.fail(err)
		return
	}
	generation, err := b.prepareJournal(at.recovered)
	if err != nil {
		b.fail(err)
		return
	}
	continues := generation != 0 && at.recovered // the journal continues the record
	b.mu.Lock()
	b.mu.record.Generation, b.mu.record.Restore = generation, b.mu.record.Restore && !at.recovered
	if continues {
		b.mu.record.key = b.journal.key
	}
	for _, c := range at.logs {
		if m := c.member; !m.removed.Load() {
			b.mu.record.Entries[m.dirBase] = RecordEntry{
				TopicID: m.topicID, RecoveryPoint: c.state.EndOffset, StartOffset: c.state.StartOffset, Gaps: c.state.Gaps,
			}
		}
	}
	b.mu.Unlock()
	if final, err := b.writeRecord(); err != nil && final {
		b.fail(err)
		return
	} else if err != nil {
		b.postpone(at, err)
		return
	}
	if continues {
		if err := b.journal.begin(generation); err != nil {
			b.fail(err)
			return
		}
	}
	b.metrics.barriers.WithLabelValues(toFiles).Inc()
	at.callCovered()
	b.finish(at.generation, at.onDone)
	for _, c := range at.logs {
		c.member.log.WriteIndexes()
	}
}

// prepareJournal returns the journal generation for the next record. Before all logs have been opened that is the old
// one: the journal of an earlier process may still be needed.
func (b *Barrier) prepareJournal(recovered bool) (generation uint64, err error) {
	b.mu.Lock()
	generation = b.mu.record.Generation
	b.mu.Unlock()
	if !recovered {
		return generation, nil
	}
	if b.journal == nil {
		return 0, nil
	}
	if err := b.journal.create(); errors.Is(err, vfs.ErrNoSpace) {
		return 0, nil // the next one tries again
	} else if err != nil {
		return 0, err
	}
	// The number of the record that is about to be written: no earlier record had it.
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.mu.record.Sequence + 1, nil
}

// callCovered calls Covered of the logs, before waiters are woken.
func (at *coverage) callCovered() {
	for _, c := range at.logs {
		c.member.log.Covered(c.state.EndOffset)
	}
}

// finish runs the functions of AfterNext, and then wakes the waiters of tickets.
func (b *Barrier) finish(generation uint64, onDone []func()) {
	for _, fn := range onDone {
		fn()
	}
	b.mu.Lock()
	b.mu.done = generation
	b.wakeWaitersLocked()
	b.mu.Unlock()
}

// postpone is called when the record found no room on the disk. Nothing is lost: the bytes are synced, the last record
// is valid, nobody has been answered. The journal of the last record lacks the batches of this barrier, so the next
// barrier syncs files.
func (b *Barrier) postpone(at coverage, cause error) {
	b.mu.Lock()
	ending := b.mu.ending
	b.mu.Unlock()
	if ending {
		b.fail(cause)
		return
	}
	b.o.Logger.Warn("the disk is full: the barrier is tried again", "error", cause)
	b.putBack(at, true)
}

// putBack makes the next barrier cover the same logs again and sync files. With stall it waits for the timer.
func (b *Barrier) putBack(at coverage, stall bool) {
	for _, c := range at.logs {
		if c.newDir {
			c.member.newDir.Store(true)
		}
		if c.newNames {
			c.member.newNames.Store(true)
		}
		c.member.Changed()
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.mu.recordDirty, b.mu.stalled = true, stall && !b.mu.ending
	b.mu.onDone = append(at.onDone, b.mu.onDone...)
	b.wakeWaitersLocked()
	b.armLocked()
}

// writeRecord writes the next record to the older slot and syncs it. After an error that is not final the newer slot
// is unchanged, and the next try takes the same slot.
func (b *Barrier) writeRecord() (final bool, err error) {
	b.mu.Lock()
	b.mu.record.Sequence++
	raw, sequence := b.mu.record.encode(), b.mu.record.Sequence
	b.mu.Unlock()
	written, err := writeSlot(b.o.FS, b.o.Dir, sequence, raw)
	if err == nil || written {
		return true, err
	}
	b.mu.Lock()
	b.mu.record.Sequence--
	b.mu.Unlock()
	return !errors.Is(err, vfs.ErrNoSpace), err
}

// writeSlot writes an encoded record to its file and syncs it. written says that an error came after the write.
func writeSlot(under vfs.FS, dir string, sequence uint64, raw []byte) (written bool, err error) {
	name := path.Join(dir, slotName(sequence))
	f, err := under.OpenReadWrite(name)
	created := errors.Is(err, fs.ErrNotExist)
	if created {
		f, err = under.Create(name)
	}
	if err != nil {
		return false, err
	}
	if _, err := f.WriteAt(raw, 0); err != nil {
		return false, errors.Join(err, f.Close())
	}
	if err = errors.Join(f.Sync(), f.Close()); err == nil && created {
		err = under.SyncDir(dir)
	}
	return true, err
}

// hardenRecord makes the newest record durable as it was read: the process that wrote it may have died before its sync.
// The other file, which is about to be overwritten, may be the only one on the disk. Writing the same bytes in the same
// place cannot tear. So are all names in the data directory: directories of topics that the earlier process has removed
// must not come back under a new topic of the same name.
func hardenRecord(under vfs.FS, dir string, newest *Record) error {
	_, err := writeSlot(under, dir, newest.Sequence, newest.raw)
	if err == nil {
		err = under.SyncDir(dir)
	}
	if err != nil {
		return fmt.Errorf("make the newest barrier record durable: %w", err)
	}
	return nil
}

// SyncNames makes the names in the data directory durable. After a failure all later barriers fail.
func (b *Barrier) SyncNames() error {
	if err := b.failure(); err != nil {
		return fmt.Errorf("%w: %w", ErrFailed, err)
	}
	if err := b.o.FS.SyncDir(b.o.Dir); err != nil {
		b.fail(err)
		return fmt.Errorf("%w: %w", ErrFailed, err)
	}
	return nil
}
