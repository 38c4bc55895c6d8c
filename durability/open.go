package durability

import (
	"cmp"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"path"

	"once/internal/clock"
	"once/internal/files"
)

func (o Options) withDefaults() Options {
	if o.Interval <= 0 {
		o.Interval = DefaultInterval
	}
	if o.RealTime == nil {
		o.RealTime = clock.Real{}
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	o.Sizes = o.Sizes.withDefaults()
	return o
}

// newestRecord reads the newest record, nil at the very first start, and finds the logs in the data directory
// unless the record is that of a clean stop. A directory with logs and without a valid record is refused, because
// nothing says which of their bytes are valid.
func (o *Options) newestRecord() (newest *Record, logs []string, err error) {
	newest, err = readRecord(o.FS, o.Dir)
	if err == nil && newest != nil && newest.Clean {
		return newest, nil, nil
	}
	logs, lerr := o.FindLogs(o.FS, o.Dir)
	if lerr != nil {
		return nil, nil, lerr
	}
	var damaged *files.DamagedError
	switch {
	case errors.As(err, &damaged) && len(logs) == 0: // torn at the very first start
		return nil, nil, nil
	case err == nil && newest == nil && len(logs) > 0:
		err = &files.DamagedError{
			File: path.Join(o.Dir, slotName(0)), Cause: fmt.Errorf("missing beside %d logs", len(logs)),
		}
	}
	return newest, logs, err
}

// Open reads the newest record in the data directory and starts the goroutine that runs barriers. It refuses a
// record of an unknown version (files.ErrFormat), and a directory that has logs but no valid record
// (*files.DamagedError).
func Open(o Options) (*Barrier, error) {
	if o.FindLogs == nil {
		return nil, errors.New("durability: FindLogs is missing")
	}
	o = o.withDefaults()
	old, logs, err := o.newestRecord()
	if err != nil {
		return nil, err
	}
	disk, err := o.FS.OpenFileSystem(o.Dir)
	if err != nil && !errors.Is(err, errors.ErrUnsupported) {
		return nil, err
	}
	b := &Barrier{
		o: o, disk: disk, sameBoot: true, cleanShutdown: true, wakeup: make(chan struct{}, 1), ended: make(chan struct{}),
	}
	if b.metrics, err = newMetrics(b, o.Registerer); err != nil {
		return nil, errors.Join(err, b.closeDisk())
	}
	b.mu.next = make(chan struct{})
	b.mu.collecting = 1
	b.mu.record = Record{Mode: o.Mode, BootID: o.BootID, Entries: map[string]RecordEntry{}}
	if old != nil {
		b.sameBoot, b.cleanShutdown = old.BootID == o.BootID && !o.PowerCut, old.Clean
		b.mu.record.Sequence, b.mu.record.Generation, b.mu.record.key = old.Sequence, old.Generation, old.key
		b.mu.record.Restore, b.mu.record.Entries = old.Restore, old.Entries
		if !b.cleanShutdown {
			b.cutAfterPowerLoss(logs)
		}
		if err := b.loadJournal(); err != nil {
			return nil, errors.Join(err, b.closeDisk())
		}
	}
	if o.Mode > Page {
		b.journal = newJournal(o, cmp.Or(b.mu.record.key, rand.Uint64()|1))
	}
	b.mu.recovery, b.mu.opening = map[string]RecordEntry{}, map[string]bool{}
	for name, e := range b.mu.record.Entries {
		b.mu.recovery[name] = e
	}
	if old != nil {
		if err := hardenRecord(o.FS, o.Dir, old); err != nil {
			return nil, errors.Join(err, b.closeDisk())
		}
	}
	// From here on a stop without Close is an unclean one.
	if final, err := b.writeRecord(); err != nil && (final || old == nil || old.Clean) {
		return nil, errors.Join(err, b.closeDisk())
	} else if err != nil {
		// The old record says the same, and the next start would decide the same.
		o.Logger.Warn("the disk is full: the first barrier record waits for room", "error", err)
	}
	go b.serve()
	return b, nil
}

// cutAfterPowerLoss decides after an unclean stop whether bytes above the recovery points are cut: they are when the
// machine went down, also in logs without an entry in the record. The record keeps the decision until each log has been
// opened, even if that takes several starts.
func (b *Barrier) cutAfterPowerLoss(logs []string) {
	if b.sameBoot {
		return
	}
	b.mu.record.Restore = true
	for _, name := range logs {
		e := b.mu.record.Entries[name]
		e.Cut = true
		b.mu.record.Entries[name] = e
	}
}

// loadJournal reads the journal groups written after the newest barrier record. Unless the machine went down, all of
// them are in the logs, too, and damage to the journal does no harm.
func (b *Barrier) loadJournal() error {
	if b.cleanShutdown || b.mu.record.Generation == 0 {
		return nil
	}
	found, err := readJournal(b.o.FS, b.o.Dir, &b.mu.record)
	if errors.Is(err, errNewerRecord) {
		err = newerRecordError(b.o.Dir, b.mu.record.Sequence)
	}
	if (errors.Is(err, files.ErrDamaged) || errors.Is(err, files.ErrFormat)) && !b.mu.record.Restore {
		b.o.Logger.Warn("the journal is damaged; nothing of it is needed", "error", err)
		err = nil
	}
	if err != nil {
		return err
	}
	b.setJournaled(found)
	return nil
}

// newerRecordError is the error when the journal belongs to the next record, which was complete and is damaged.
func newerRecordError(dir string, sequence uint64) error {
	return &files.DamagedError{File: path.Join(dir, slotName(sequence+1)), Cause: fmt.Errorf(
		"%w, which was complete: what it covered was acknowledged; restore it, or put a file with the word %s in the "+
			"place of %s "+
			"to go back to the record before", errNewerRecord, journalDiscarded, JournalFile)}
}

func (b *Barrier) setJournaled(found []Journaled) {
	b.mu.restore = map[string][]Journaled{}
	for _, e := range found {
		b.mu.restore[e.DirBase] = append(b.mu.restore[e.DirBase], e)
	}
}
