package durability

import (
	"context"
	"sync/atomic"
	"time"
)

// Log is the barrier's view of a log that has joined it. All methods but State and FlushWithin are called by the
// goroutine that runs barriers, one call at a time.
type Log interface {
	// State returns the log's part of the barrier record. No append is published meanwhile.
	State() State
	// FlushWithin is the longest time that an append may stay unsynced (flush.ms).
	FlushWithin() time.Duration
	// UnsyncedSegments returns the segments with bytes that no barrier has covered.
	UnsyncedSegments() []File
	// TakeNewFiles returns the other files made since the last call that must be durable.
	TakeNewFiles() []File
	// Covered is called when everything below an offset is durable, before waiters are woken. It must not wait for a
	// barrier.
	Covered(endOffset int64)
	// WriteIndexes is called after a barrier over the files, so that the log can write derived files.
	WriteIndexes()
}

// State is the state of a log in a barrier record.
type State struct {
	EndOffset, StartOffset int64
	Gaps                   bool // it has been compacted: offsets may be missing in it
}

// File is a file of a log, with the size that it had when the barrier asked for it.
type File interface {
	Sync() error
	// Synced is called when a barrier has synced the file, by Sync or with the whole file system.
	Synced()
}

// Member is a log's place in its barrier. A nil Member belongs to a log without a barrier, which is never synced.
type Member struct {
	barrier *Barrier // immutable, as are the next four
	log     Log
	dir     string
	dirBase string
	topicID [16]byte

	dirty    atomic.Bool // it is in Barrier.mu.dirty
	inGroup  bool        // it is in Barrier.mu.journaled; under Barrier.mu
	newNames atomic.Bool // names in its directory are not synced yet
	newDir   atomic.Bool // the directory's own name is not synced yet
	removed  atomic.Bool
}

// Join makes a log a member, before its recovery begins. A nil Barrier gives a nil Member.
func (b *Barrier) Join(l Log, dir, dirBase string, topicID [16]byte) *Member {
	if b == nil {
		return nil
	}
	return &Member{barrier: b, log: l, dir: dir, dirBase: dirBase, topicID: topicID}
}

// Restored is the result of a log's recovery.
type Restored struct {
	TruncatedBytes, ZeroBytes, RestoredBytes int64
	Changed                                  bool // the next barrier has something to sync
}

// Opened says that the recovery of the log is complete.
func (m *Member) Opened(r Restored) {
	if m == nil {
		return
	}
	b, end := m.barrier, m.log.State().EndOffset
	b.metrics.recovered(r)
	b.mu.Lock()
	if r.RestoredBytes > 0 {
		b.mu.restored.sizeBytes += r.RestoredBytes
		b.mu.restored.logs++
	}
	e, ok := b.mu.record.Entries[m.dirBase]
	ours := ok && (e.TopicID == m.topicID || e.TopicID == [16]byte{})
	outdated := ok != ours || ours && (e.RecoveryPoint != end || e.Cut)
	if !ours {
		delete(b.mu.record.Entries, m.dirBase)
	}
	delete(b.mu.recovery, m.dirBase)
	delete(b.mu.opening, m.dirBase)
	b.mu.Unlock()
	if r.Changed || outdated {
		m.Changed()
	}
}

// BeginPublish begins the publishing of an append: no barrier notes its instant before EndPublish.
func (m *Member) BeginPublish() {
	if m != nil {
		m.barrier.instant.RLock()
	}
}

// EndPublish ends the publishing of an append.
func (m *Member) EndPublish() {
	if m != nil {
		m.barrier.instant.RUnlock()
	}
}

// Appended notes a batch that has just become visible, between BeginPublish and EndPublish.
func (m *Member) Appended(raw []byte) {
	if m == nil {
		return
	}
	m.barrier.journal.add(m.dirBase, m.topicID, raw)
	m.barrier.mark(m)
	m.barrier.appended(len(raw))
}

// Changed notes a change of the log other than an append: the next barrier syncs files and writes the record, because
// the journal holds batches only.
func (m *Member) Changed() {
	if m == nil {
		return
	}
	m.barrier.instant.RLock()
	defer m.barrier.instant.RUnlock()
	m.barrier.mark(m)
	m.barrier.needRecord()
}

// NewNames notes that names in the log's directory have changed. They are synced with the next append or change.
func (m *Member) NewNames() {
	if m != nil {
		m.newNames.Store(true)
	}
}

// NewDirectory notes that the directory itself may be new.
func (m *Member) NewDirectory(isNew bool) {
	if m != nil {
		m.newDir.Store(isNew)
	}
}

// Failure returns the error of all later barriers, nil if there is none.
func (m *Member) Failure() error {
	if m == nil {
		return nil
	}
	return m.barrier.failure()
}

// Fail makes the barrier fail for good, because a sync by the log itself failed.
func (m *Member) Fail(err error) {
	if m != nil {
		m.barrier.fail(err)
	}
}

// AfterNext runs fn when a barrier that begins from now on has completed. It is for deleting files to which the last
// record still refers. Without a barrier fn runs at once.
func (m *Member) AfterNext(fn func()) {
	if m == nil {
		fn()
		return
	}
	m.Changed()
	b := m.barrier
	b.mu.Lock()
	defer b.mu.Unlock()
	b.mu.onDone = append(b.mu.onDone, fn)
	b.mu.recordDirty = true
	b.armLocked()
}

// Checkpoint makes everything appended so far durable in the files of the logs.
func (m *Member) Checkpoint(ctx context.Context) error { return m.barrier.Checkpoint(ctx) }

// TicketFor is Barrier.TicketFor.
func (m *Member) TicketFor(a Answer) Ticket {
	if m == nil {
		return Ticket{}
	}
	return m.barrier.TicketFor(a)
}

// Remove drops the log from the barrier record.
func (m *Member) Remove() {
	if m == nil {
		return
	}
	m.removed.Store(true)
	m.barrier.Forget(m.dirBase)
}
