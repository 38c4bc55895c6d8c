package log

import (
	"errors"
	"fmt"
	"io/fs"
	"path"

	"once/internal/fault"
	"once/internal/vfs"
)

// fail ends the service's promises.
func (b *Barrier) fail(err error) {
	err = fmt.Errorf("log: barrier failed: %w", err)
	if !b.broken.CompareAndSwap(nil, &err) {
		return
	}
	b.o.Logger.Error("barrier failed; nothing is acknowledged as durable any more", "error", err)
	b.mu.Lock()
	b.tellAllLocked()
	b.mu.Unlock()
	if b.o.OnFailure != nil {
		b.o.OnFailure(err)
	}
}

// tellLocked wakes those who wait for the barrier that ran, to look again.
func (b *Barrier) tellLocked() {
	if b.mu.running != nil {
		close(b.mu.running)
		b.mu.running = nil
	}
}

// tellAllLocked wakes all who wait, to find that the service is broken.
func (b *Barrier) tellAllLocked() {
	b.tellLocked()
	close(b.mu.next)
	b.mu.next = make(chan struct{})
}

// captured is a dirty log as of the barrier's instant.
type captured struct {
	log        *Log
	end, start int64
	dir, names bool
	gaps       bool
}

// capture notes the instant.
func (b *Barrier) capture() (logs []captured, generation uint64, onDone []func(), recordDirty bool) {
	b.cut.Lock()
	defer b.cut.Unlock()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, l := range b.mu.dirty {
		l.dirty.Store(false)
		logs = append(logs, captured{l, l.end.Load(), l.start.Load(), l.dirNew.Swap(false), l.namesNew.Swap(false), l.gaps.Load()})
	}
	b.behind.Store(0)
	generation, recordDirty = b.mu.collecting, b.mu.recordDirty
	b.mu.collecting++
	b.mu.running, b.mu.next = b.mu.next, make(chan struct{})
	b.crowd.beginLocked()
	b.mu.dirty, b.mu.recordDirty, b.mu.due, b.mu.stalled = nil, false, false, false
	onDone, b.mu.onDone = b.mu.onDone, nil
	if b.mu.timer != nil {
		b.mu.timer.Stop()
		b.mu.timer = nil
	}
	return logs, generation, onDone, recordDirty
}

// run is one barrier.
func (b *Barrier) run() {
	logs, generation, onDone, recordDirty := b.capture()
	if len(logs) == 0 && !recordDirty && !b.recordIsLate() {
		b.finish(generation, nil)
		return
	}
	err := b.syncAll(logs)
	if err == nil {
		err = fault.Hit("barrier.synced")
	}
	if err != nil {
		b.fail(err)
		return
	}
	b.mu.Lock()
	for _, c := range logs {
		if !c.log.removed.Load() {
			// What was judged of an earlier life must not be said of this one's bytes: until the record on
			// disk is another one, a power cut would cut them, though the mode is fsync now.
			recordDirty = recordDirty || b.mu.record.entries[c.log.base()].endangers()
			b.mu.record.entries[c.log.base()] = recordEntry{topicID: c.log.topicID, recoveryPoint: c.end, startOffset: c.start, gaps: c.gaps}
		}
	}
	b.mu.Unlock()
	for _, c := range logs {
		if c.log.onDurable != nil {
			c.log.onDurable(c.end)
		}
	}
	if !recordDirty && len(logs) > 0 && b.recordCanWait() {
		flushed(logs)
		b.finish(generation, onDone)
		return
	}
	if final, err := b.writeRecord(); err != nil && final {
		b.fail(err)
		return
	} else if err != nil {
		b.postpone(logs, onDone, err)
		return
	}
	flushed(logs)
	b.finish(generation, onDone)
	for _, c := range logs {
		c.log.flushTail()
	}
}

func flushed(logs []captured) {
	for _, c := range logs {
		c.log.flushed.Store(c.end)
	}
}

// recordCanWait says whether a barrier may do without its record, which costs a sync of its own. In fsync
// mode the bytes themselves are what has been promised, and a start keeps what is valid above the last
// record; the record only bounds what a start has to read. So one an Interval is enough.
func (b *Barrier) recordCanWait() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.o.Mode != Fsync || b.mu.ending || b.o.Clock.Now().Sub(b.mu.recordAt) >= b.o.Interval {
		return false
	}
	b.mu.recordLate = true
	b.armLocked()
	return true
}

func (b *Barrier) recordIsLate() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.mu.recordLate
}

// finish answers those who wait, when what was put off until this barrier has been done.
func (b *Barrier) finish(generation uint64, onDone []func()) {
	for _, fn := range onDone {
		fn()
	}
	b.mu.Lock()
	b.mu.done = generation
	b.crowd.endLocked()
	b.tellLocked()
	b.mu.Unlock()
}

// postpone puts back what a barrier was to cover whose record found no room on the disk. Nothing is
// lost: the bytes are synced, the last record is whole, nobody has been told anything.
func (b *Barrier) postpone(logs []captured, onDone []func(), cause error) {
	b.mu.Lock()
	ending := b.mu.ending
	b.mu.Unlock()
	if ending {
		b.fail(cause)
		return
	}
	b.o.Logger.Warn("the disk is full: the barrier is tried again", "error", cause)
	for _, c := range logs {
		if c.dir {
			c.log.dirNew.Store(true)
		}
		if c.names {
			c.log.namesNew.Store(true)
		}
		c.log.markDirty()
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.mu.recordDirty, b.mu.stalled = true, !b.mu.ending
	b.mu.onDone = append(onDone, b.mu.onDone...)
	b.tellLocked()
	b.armLocked()
}

// writeRecord writes the next record to the older slot and syncs it. An error that is not final left
// the newer slot as it was, and the next try takes the same one.
func (b *Barrier) writeRecord() (final bool, err error) {
	b.mu.Lock()
	b.mu.record.sequence++
	b.mu.recordLate, b.mu.recordAt = false, b.o.Clock.Now()
	raw, sequence := b.mu.record.encode(), b.mu.record.sequence
	b.mu.Unlock()
	name := path.Join(b.o.Dir, slotName(sequence))
	f, err := b.o.FS.OpenReadWrite(name)
	created := errors.Is(err, fs.ErrNotExist)
	if created {
		f, err = b.o.FS.Create(name)
	}
	if err == nil {
		if _, err = f.WriteAt(raw, 0); err != nil {
			f.Close()
		}
	}
	if err != nil {
		b.mu.Lock()
		b.mu.record.sequence--
		b.mu.Unlock()
		return !errors.Is(err, vfs.ErrNoSpace), err
	}
	err = f.Sync()
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil && created {
		err = b.o.FS.SyncDir(b.o.Dir)
	}
	return true, err
}
