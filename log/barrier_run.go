package log

import (
	"errors"
	"fmt"
	"io/fs"
	"path"

	"once/internal/fault"
)

// fail ends the service's promises.
func (b *Barrier) fail(err error) {
	err = fmt.Errorf("log: barrier failed: %w", err)
	if !b.broken.CompareAndSwap(nil, &err) {
		return
	}
	b.o.Logger.Error("barrier failed; nothing is acknowledged as durable any more", "error", err)
	b.mu.Lock()
	close(b.mu.changed)
	b.mu.changed = make(chan struct{})
	b.mu.Unlock()
	if b.o.OnFailure != nil {
		b.o.OnFailure(err)
	}
}

// captured is a dirty log as of the barrier's instant.
type captured struct {
	log        *Log
	end, start int64
	dir, names bool
}

// capture notes the instant.
func (b *Barrier) capture() (logs []captured, generation uint64, onDone []func(), recordDirty bool) {
	b.cut.Lock()
	defer b.cut.Unlock()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, l := range b.mu.dirty {
		l.dirty.Store(false)
		logs = append(logs, captured{l, l.end.Load(), l.start.Load(), l.dirNew.Swap(false), l.namesNew.Swap(false)})
	}
	generation, recordDirty = b.mu.collecting, b.mu.recordDirty
	b.mu.collecting++
	b.mu.dirty, b.mu.recordDirty, b.mu.due = nil, false, false
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
	if len(logs) == 0 && !recordDirty {
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
			b.mu.record.entries[c.log.base()] = recordEntry{topicID: c.log.topicID, recoveryPoint: c.end, startOffset: c.start}
		}
	}
	b.mu.Unlock()
	if err := b.writeRecord(); err != nil {
		b.fail(err)
		return
	}
	b.finish(generation, onDone)
	for _, c := range logs {
		c.log.flushTail()
	}
}

func (b *Barrier) finish(generation uint64, onDone []func()) {
	b.mu.Lock()
	b.mu.done = generation
	close(b.mu.changed)
	b.mu.changed = make(chan struct{})
	b.mu.Unlock()
	for _, fn := range onDone {
		fn()
	}
}

// writeRecord writes the next record to the older slot and syncs it.
func (b *Barrier) writeRecord() error {
	b.mu.Lock()
	b.mu.record.sequence++
	raw, sequence := b.mu.record.encode(), b.mu.record.sequence
	b.mu.Unlock()
	name := path.Join(b.o.Dir, slotName(sequence))
	f, err := b.o.FS.OpenReadWrite(name)
	created := errors.Is(err, fs.ErrNotExist)
	if created {
		f, err = b.o.FS.Create(name)
	}
	if err != nil {
		return err
	}
	if _, err = f.WriteAt(raw, 0); err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	if err == nil && created {
		err = b.o.FS.SyncDir(b.o.Dir)
	}
	return err
}
