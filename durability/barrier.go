package durability

import (
	"context"
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"once/internal/clock"
	"once/internal/fault"
	"once/internal/vfs"
)

const (
	// DefaultInterval is flush.interval.ms.
	DefaultInterval = time.Second
	// maxUnsyncedBytes may be appended before a barrier runs ahead of its time: after a crash a start reads and
	// rewrites about that much.
	maxUnsyncedBytes = 32 << 20
)

// Options are the options of Open. FS, Dir, BootID and FindLogs must be set.
type Options struct {
	FS  vfs.FS
	Dir string // the data directory
	// FindLogs returns the base names of the directories in the data directory that hold a log: directory.Logs.
	FindLogs func(f vfs.FS, dir string) ([]string, error)
	BootID   string // of the kernel: another one means that the page cache is gone
	PowerCut bool   // a test has cut the power: the page cache counts as gone although the kernel is the same
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
	// JournalBytes is the largest size of the journal; 0 means DefaultJournalBytes. In the mode page there is none.
	JournalBytes int64
	Sizes        Sizes                 // where the code takes another path
	Registerer   prometheus.Registerer // of metrics; nil: none
}

// Barrier makes all logs durable up to one instant. It is the only place that syncs in normal operation.
//
// One barrier notes the end offsets of the dirty logs at one instant, syncs their files and new names, and writes
// the ends to the barrier record. In the modes txn and fsync, most barriers write the batches appended since the
// last one to the journal instead; a later one syncs the files. All tickets given while one barrier runs are
// covered by the next. A failed barrier is final: its waiters and all later ones get the error, and no log is
// written any more.
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
	wakeup        chan struct{} // receives when serve has to look for work
	unsyncedBytes atomic.Int64  // appended since the last barrier over the files, more or less
	ended         chan struct{} // closed when serve has returned
	space         space

	mu struct {
		sync.Mutex
		dirty       []*Member
		journaled   []*Member     // covered by the journal only, until the next record
		recordDirty bool          // the record must be written although no log is dirty
		collecting  uint64        // generation: the number of the barrier that will begin next
		done        uint64        // the newest generation that is durable
		wanted      uint64        // the newest generation that somebody waits for
		running     chan struct{} // closed when the barrier that runs has ended; nil while none does
		next        chan struct{} // becomes running
		timer       clock.Timer
		timerAt     time.Time
		due         bool // the timer has fired: the next barrier syncs files
		stalled     bool // the disk is full: the next try waits for the timer
		ending      bool // Close has begun: a barrier that finds no room is not tried again
		closing     bool
		record      Record                 // the newest one, and what the next one will say
		recovery    map[string]RecordEntry // as read at the start, until the log is opened
		onDone      []func()               // of AfterNext

		recovered bool                            // Recovered has been called, and the journal is not needed any more
		restore   map[string][]Journaled          // of the journal, by directory; nil once all logs have been opened
		restored  struct{ sizeBytes, logs int64 } // from it, so far
		opening   map[string]bool                 // directories whose log is not open yet; true: it is in the journal
	}
}

// SameBoot says whether the machine has been up since the last record; a first start counts as so.
func (b *Barrier) SameBoot() bool { return b.sameBoot }

// Clean says whether the last stop was a clean one; a first start counts as so.
func (b *Barrier) Clean() bool { return b.cleanShutdown }

// failure returns the error of all later barriers, nil if there is none.
func (b *Barrier) failure() error {
	if b == nil {
		return nil
	}
	if err := b.broken.Load(); err != nil {
		return *err
	}
	return nil
}

// mark adds the log to those that the next barrier covers. The caller holds instant for reading.
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

// appended counts appended bytes, and runs a barrier ahead of its time when there are too many.
func (b *Barrier) appended(sizeBytes int) {
	if n := b.unsyncedBytes.Add(int64(sizeBytes)); n >= maxUnsyncedBytes && n-int64(sizeBytes) < maxUnsyncedBytes {
		b.onTimer()
	}
}

func (b *Barrier) armLocked() { b.armWithinLocked(b.o.Interval) }

// armWithinLocked makes a barrier run within a time.
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

// Forget drops a removed log from the record.
func (b *Barrier) Forget(dirBase string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.mu.recovery, dirBase)
	delete(b.mu.opening, dirBase)
	if _, ok := b.mu.record.Entries[dirBase]; ok {
		delete(b.mu.record.Entries, dirBase)
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

// Close runs a last barrier and stops the service. With clean set the record says that the process ended in order:
// all logs must have been closed, and nothing may have failed. It does not say so if the start was unclean and a log
// has not been opened since: a later start has to recover that log.
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
		b.mu.record.Clean = true
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

// Kill stops the service like the death of the process: nothing more is written or synced, and waiters get ErrClosed. A
// barrier that runs may still write until Kill returns.
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
