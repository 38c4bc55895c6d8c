package durability

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"path"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"once/internal/clock"
	"once/internal/fault"
	"once/internal/files"
	"once/internal/vfs"
)

const (
	// DefaultInterval is flush.interval.ms.
	DefaultInterval = time.Second
	// maxUnsyncedBytes is how much may be appended before a barrier runs ahead of its time: it is what a start has
	// to read, and to write once more, after the process died.
	maxUnsyncedBytes = 32 << 20
)

// Options are what a barrier is made of. FS, Dir, BootID and FindLogs must be set.
type Options struct {
	FS  vfs.FS
	Dir string // the data directory
	// FindLogs returns the base names of the directories in the data directory that hold a log: directory.Logs.
	FindLogs func(f vfs.FS, dir string) ([]string, error)
	BootID   string // of the kernel: another one means that the page cache is gone
	Mode     Mode
	Interval time.Duration // longest time that something stays unsynced; 0 means DefaultInterval
	// ReserveBytes of free space are left to the broker's own records; see Admit. 0 reserves nothing.
	ReserveBytes int64
	RealTime     clock.Clock   // paces barriers; nil: the machine's
	Logger       *slog.Logger  // nil: silent
	Faults       *fault.Points // nil: none
	OnFailure    func(error)   // called once, when a barrier failed; nothing becomes durable after that
	// SyncWorkers is how many files are synced side by side where the file system cannot be synced as a whole. 0
	// means one after the other, in an order that a test can repeat.
	SyncWorkers int
	// JournalBytes is how large the journal may grow; 0 means DefaultJournalBytes. In the mode page there is none.
	JournalBytes int64
	Sizes        Sizes                 // where the code takes another path
	Registerer   prometheus.Registerer // of metrics; nil: none
}

// Barrier makes all logs durable up to one instant. It is the only place that syncs in normal
// operation. A barrier notes the end offsets of the dirty logs at one instant, syncs their files and
// new names, and records the ends; or, in the modes in which somebody waits, it writes what has been appended
// since the last one to the journal, and leaves the files to a later one. All who wait while one runs share the
// next. A failed one is final: its waiters and all later ones get the error, and no log is written any more.
//
// Locking: instant is held for reading while an append becomes visible and for writing while the ends are noted; mu is
// taken after it. docs/architecture.md has the order of all locks.
type Barrier struct {
	o             Options        // immutable, as are the next two
	sameBoot      bool           // the machine has been up since the last record
	cleanShutdown bool           // the last process closed the barrier in order
	disk          vfs.FileSystem // nil where the whole cannot be synced; used by serve alone

	journal *journal // immutable; nil in page
	metrics *metrics // immutable

	instant       sync.RWMutex
	broken        atomic.Pointer[error]
	wakeup        chan struct{}
	unsyncedBytes atomic.Int64 // appended since the last barrier over the files, more or less
	ended         chan struct{}
	space         space

	mu struct {
		sync.Mutex
		dirty       []*Member
		journaled   []*Member // covered by the journal only, until the next record
		recordDirty bool      // the record must be written although no log is dirty
		collecting  uint64
		done        uint64
		wanted      uint64
		running     chan struct{} // closed when the barrier that runs has ended; nil while none does
		next        chan struct{} // becomes running
		timer       clock.Timer
		timerAt     time.Time
		due         bool
		stalled     bool // the disk is full: the next try waits for the timer
		ending      bool // Close has begun: a barrier that finds no room is not tried again
		closing     bool
		record      record
		recovery    map[string]recordEntry // as read at the start, until the log is opened
		onDone      []func()

		recovered bool                            // Recovered has been called, and the journal is not needed any more
		restore   map[string][]Journaled          // of the journal, by directory; nil once all logs have been opened
		restored  struct{ sizeBytes, logs int64 } // from it, so far
		opening   map[string]bool                 // directories whose log is not open yet; true: the journal has something of it
	}
}

// Open reads the newest record in the data directory and begins to serve. It refuses a record
// of an unknown version (files.ErrFormat), and a directory that has logs but no valid record
// (*files.DamagedError): it cannot be told which of their bytes to trust.
func Open(o Options) (*Barrier, error) {
	if o.FindLogs == nil {
		return nil, errors.New("durability: FindLogs is missing")
	}
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
	old, err := readRecord(o.FS, o.Dir)
	var logs []string // needed, and worth looking for, only where the record does not say it all
	if err != nil || old == nil || !old.clean {
		var lerr error
		if logs, lerr = o.FindLogs(o.FS, o.Dir); lerr != nil {
			return nil, lerr
		}
	}
	var damaged *files.DamagedError
	switch {
	case errors.As(err, &damaged) && len(logs) == 0: // torn at the very first start
		old, err = nil, nil
	case err == nil && old == nil && len(logs) > 0:
		err = &files.DamagedError{File: path.Join(o.Dir, slotName(0)), Cause: fmt.Errorf("missing beside %d logs", len(logs))}
	}
	if err != nil {
		return nil, err
	}
	disk, err := o.FS.OpenFileSystem(o.Dir)
	if err != nil && !errors.Is(err, errors.ErrUnsupported) {
		return nil, err
	}
	b := &Barrier{o: o, disk: disk, sameBoot: true, cleanShutdown: true, wakeup: make(chan struct{}, 1), ended: make(chan struct{})}
	if b.metrics, err = newMetrics(b, o.Registerer); err != nil {
		return nil, errors.Join(err, b.closeDisk())
	}
	b.mu.next = make(chan struct{})
	b.mu.collecting = 1
	b.mu.record = record{mode: o.Mode, bootID: o.BootID, entries: map[string]recordEntry{}}
	if old != nil {
		b.sameBoot, b.cleanShutdown = old.bootID == o.BootID, old.clean
		b.mu.record.sequence, b.mu.record.generation, b.mu.record.key = old.sequence, old.generation, old.key
		b.mu.record.restore, b.mu.record.entries = old.restore, old.entries
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
	b.mu.recovery, b.mu.opening = map[string]recordEntry{}, map[string]bool{}
	for name, e := range b.mu.record.entries {
		b.mu.recovery[name] = e
	}
	if old != nil {
		if err := hardenRecord(o.FS, o.Dir, old); err != nil {
			return nil, errors.Join(err, b.closeDisk())
		}
	}
	// From here on a death is an unclean one.
	if final, err := b.writeRecord(); err != nil && (final || old == nil || old.clean) {
		return nil, errors.Join(err, b.closeDisk())
	} else if err != nil {
		// The old record says the same, and the next start would come to the same judgement.
		o.Logger.Warn("the disk is full: the first barrier record waits for room", "error", err)
	}
	go b.serve()
	return b, nil
}

// cutAfterPowerLoss decides after an unclean stop whether bytes above the recovery points are cut: they are when the
// machine went down, also in logs that no record knows. The record keeps the decision until each log has been opened,
// however many starts that takes.
func (b *Barrier) cutAfterPowerLoss(logs []string) {
	if b.sameBoot {
		return
	}
	b.mu.record.restore = true
	for _, name := range logs {
		e := b.mu.record.entries[name]
		e.cut = true
		b.mu.record.entries[name] = e
	}
}

// loadJournal reads the journal groups written after the newest barrier record. Unless the machine went down, all of
// them are in the logs, too, and damage to the journal does no harm.
func (b *Barrier) loadJournal() error {
	if b.cleanShutdown || b.mu.record.generation == 0 {
		return nil
	}
	found, err := readJournal(b.o.FS, b.o.Dir, &b.mu.record)
	if errors.Is(err, errNewerRecord) {
		err = newerRecordLost(b.o.Dir, b.mu.record.sequence)
	}
	if (errors.Is(err, files.ErrDamaged) || errors.Is(err, files.ErrFormat)) && !b.mu.record.restore {
		b.o.Logger.Warn("the journal is damaged; nothing of it is needed", "error", err)
		err = nil
	}
	if err != nil {
		return err
	}
	b.setJournaled(found)
	return nil
}

// newerRecordLost is the error where the record behind this one was complete and is damaged.
func newerRecordLost(dir string, sequence uint64) error {
	return &files.DamagedError{File: path.Join(dir, slotName(sequence+1)), Cause: fmt.Errorf(
		"%w, which was complete: what it covered was acknowledged; restore it, or put an empty file in the place of %s to go back to the record before", errNewerRecord, journalFile)}
}

func (b *Barrier) setJournaled(found []Journaled) {
	b.mu.restore = map[string][]Journaled{}
	for _, e := range found {
		b.mu.restore[e.DirBase] = append(b.mu.restore[e.DirBase], e)
	}
}

// Recovery says how to open the log of this directory. An entry of another topic, deleted since, does
// not count.
func (b *Barrier) Recovery(dirBase string, topicID [16]byte) Recovery {
	b.mu.Lock()
	defer b.mu.Unlock()
	e, ok := b.mu.recovery[dirBase]
	if ok && e.topicID != topicID && e.topicID != [16]byte{} {
		e = recordEntry{}
	}
	r := Recovery{
		Clean:         ok && b.cleanShutdown && !e.cut,
		RecoveryPoint: e.recoveryPoint,
		StartOffset:   e.startOffset,
		Cut:           e.cut,
		Gaps:          e.gaps,
	}
	for _, j := range b.mu.restore[dirBase] {
		if j.TopicID == topicID {
			r.Journaled = append(r.Journaled, j)
		}
	}
	b.mu.opening[dirBase] = len(r.Journaled) > 0
	return r
}

// Recovered ends a start: every log has been opened. What it holds is made durable, and from then on the
// journal serves those who wait, unless it holds something yet of a log that could not be opened: then it stays
// for a later start, and all barriers sync files.
func (b *Barrier) Recovered(ctx context.Context) error {
	b.mu.Lock()
	if b.mu.restored.logs > 0 {
		b.o.Logger.Warn("what logs had lost came back from the journal", "same_boot", b.SameBoot(), "size_bytes", b.mu.restored.sizeBytes, "logs", b.mu.restored.logs)
	}
	b.mu.restore, b.mu.recovered = nil, true
	for dirBase, needed := range b.mu.opening {
		if needed {
			b.mu.recovered = false
			b.o.Logger.Error("a log could not be opened, and the journal holds records of it: it is kept for a later start, and until then what waits for the disk waits longer", "dir", dirBase)
		}
	}
	b.mu.Unlock()
	return b.Checkpoint(ctx)
}

// SameBoot says whether the machine has been up since the last record; a first start counts as so.
func (b *Barrier) SameBoot() bool { return b.sameBoot }

// Clean says whether the last stop was a clean one; a first start counts as so.
func (b *Barrier) Clean() bool { return b.cleanShutdown }

// Mode is the durability mode.
func (b *Barrier) Mode() Mode { return b.o.Mode }

// failure says why nothing becomes durable any more, nil if it does.
func (b *Barrier) failure() error {
	if b == nil {
		return nil
	}
	if err := b.broken.Load(); err != nil {
		return *err
	}
	return nil
}

// mark puts the log on the list for the next barrier. The caller holds instant for reading.
func (b *Barrier) mark(m *Member) {
	if m.dirty.Load() {
		return
	}
	b.mu.Lock()
	if !m.dirty.Swap(true) { // under mu: who sees the flag finds the log on the list, too
		b.mu.dirty = append(b.mu.dirty, m)
		b.armWithinLocked(min(b.o.Interval, m.log.FlushWithin()))
	}
	b.mu.Unlock()
}

// appended counts bytes that no barrier has covered.
func (b *Barrier) appended(sizeBytes int) {
	if n := b.unsyncedBytes.Add(int64(sizeBytes)); n >= maxUnsyncedBytes && n-int64(sizeBytes) < maxUnsyncedBytes {
		b.onTimer()
	}
}

func (b *Barrier) armLocked() { b.armWithinLocked(b.o.Interval) }

// armWithinLocked makes a barrier run after a time at most.
func (b *Barrier) armWithinLocked(d time.Duration) {
	at := b.o.RealTime.Now().Add(d)
	if b.mu.closing || b.mu.timer != nil && !at.Before(b.mu.timerAt) {
		return
	}
	if b.mu.timer != nil {
		b.mu.timer.Stop()
	}
	b.mu.timer, b.mu.timerAt = b.o.RealTime.AfterFunc(d, b.onTimer), at
}

// needRecord makes the next barrier sync files and write its record, whatever the mode.
func (b *Barrier) needRecord() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.mu.recordDirty = true
	b.armLocked()
}

func (b *Barrier) onTimer() {
	b.mu.Lock()
	b.mu.due = true
	b.mu.Unlock()
	b.wake()
}

func (b *Barrier) wake() {
	select {
	case b.wakeup <- struct{}{}:
	default:
	}
}

// Forget drops a log that is gone from the record.
func (b *Barrier) Forget(dirBase string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.mu.recovery, dirBase)
	delete(b.mu.opening, dirBase)
	if _, ok := b.mu.record.entries[dirBase]; ok {
		delete(b.mu.record.entries, dirBase)
		b.mu.recordDirty = true
		b.armLocked()
	}
}

// serve is the goroutine that runs barriers; Close ends it.
func (b *Barrier) serve() {
	defer close(b.ended)
	for range b.wakeup {
		for b.pending() {
			b.run()
		}
		b.mu.Lock()
		closing := b.mu.closing
		b.mu.Unlock()
		if closing {
			return
		}
	}
}

func (b *Barrier) pending() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.failure() == nil && (b.mu.due || b.mu.wanted > b.mu.done && !b.mu.stalled)
}

func (b *Barrier) closeDisk() error {
	if b.disk == nil {
		return nil
	}
	return b.disk.Close()
}

// Close runs a last barrier and stops the service. With clean set the record says that the process
// ended in order: all logs must have been closed, and nothing may have failed. It does not say so where an unclean
// stop came before and a log could not be opened since: what that has above the last barrier is not judged yet.
func (b *Barrier) Close(clean bool) error {
	b.mu.Lock()
	b.mu.ending, b.mu.stalled = true, false
	b.mu.recordDirty = b.mu.recordDirty || len(b.mu.journaled) > 0
	b.mu.Unlock()
	err := b.Sync(context.Background())
	b.mu.Lock()
	if b.mu.closing {
		b.mu.Unlock()
		<-b.ended
		return err
	}
	b.mu.closing = true
	if b.mu.timer != nil {
		b.mu.timer.Stop()
		b.mu.timer = nil
	}
	b.mu.Unlock()
	b.wake()
	<-b.ended
	if err == nil && clean && (b.cleanShutdown || len(b.mu.opening) == 0) {
		b.mu.record.clean = true
		_, err = b.writeRecord()
	}
	err = errors.Join(err, b.journal.close(), b.closeDisk())
	closed := error(ErrClosed)
	if b.broken.CompareAndSwap(nil, &closed) {
		b.mu.Lock()
		b.wakeAllLocked()
		b.mu.Unlock()
	}
	return err
}

// Kill stops the service as the death of the process would: nothing more is written or synced, and those who wait get
// ErrClosed. A barrier that runs may still be at work on the files, until Kill returns.
func (b *Barrier) Kill() {
	killed := error(ErrClosed)
	b.broken.CompareAndSwap(nil, &killed) // no barrier begins, and no late error is a failure
	b.mu.Lock()
	b.wakeAllLocked()
	b.mu.closing = true
	if b.mu.timer != nil {
		b.mu.timer.Stop()
		b.mu.timer = nil
	}
	b.mu.Unlock()
	b.wake()
	<-b.ended
	_ = b.journal.close()
	_ = b.closeDisk()
}
