package log

import (
	"errors"
	"io/fs"
	"slices"
	"strings"

	"once/internal/files"
)

// Retention holds the limits of a log (spec: log 9). A negative limit is none.
type Retention struct {
	NowMs          int64
	RetentionMs    int64 // retention.ms: age of a segment's largest timestamp
	RetentionBytes int64 // retention.bytes: at least this much stays
	HighWatermark  int64 // segments that reach above stay
}

// Expired returns the start of the log after the deletion of all segments that are due by size or by time, oldest
// first; StartOffset if none is. When it returns EndOffset, the active segment is due too, and Roll must come before
// SetStartOffset. Segments below StartOffset must have been deleted.
func (l *Log) Expired(r Retention) (newStartOffset int64, err error) {
	newStartOffset = l.start.Load()
	excess := int64(-1)
	if r.RetentionBytes >= 0 {
		excess = l.size.Load() - r.RetentionBytes
	}
	for _, s := range l.list() {
		end, size := s.bounds()
		if end > r.HighWatermark || size == 0 && end == l.end.Load() || !l.covered(s) {
			break
		}
		if excess < size {
			old, err := l.olderThan(s, r)
			if err != nil || !old {
				return newStartOffset, err
			}
		}
		excess -= size
		newStartOffset = max(newStartOffset, end)
	}
	return newStartOffset, nil
}

// covered says whether a barrier has covered all of a segment. Until then it is not deleted: a power cut after the
// barrier that moves the start, and before the removal of the file, would leave a torn one.
func (l *Log) covered(s *segment) bool {
	_, size := s.bounds()
	return l.member == nil || s.synced.Load() >= size
}

// olderThan compares a segment's largest timestamp, or its file's time if no batch has one, with retention.ms. A
// timestamp in the future keeps the segment until it has passed.
func (l *Log) olderThan(s *segment, r Retention) (bool, error) {
	if r.RetentionMs < 0 {
		return false, nil
	}
	largestMs, err := l.largestTimestamp(s)
	return err == nil && r.NowMs-largestMs > r.RetentionMs, err
}

func (l *Log) largestTimestamp(s *segment) (int64, error) {
	if !s.acquire() {
		return 0, ErrClosed
	}
	defer s.release()
	if _, err := s.timeIndex(); err != nil {
		return 0, err
	}
	s.largest.Lock()
	largestMs := s.largest.timestampMs
	s.largest.Unlock()
	if largestMs >= 0 {
		return largestMs, nil
	}
	st, err := l.fs.Stat(s.file(LogSuffix))
	return st.ModTime.UnixMilli(), err
}

// DropAborted forgets aborted transactions whose marker is in no segment any more. Like AppendAborted, one call at a
// time with Append.
func (l *Log) DropAborted() {
	if segments, all := l.list(), l.abortedView(); len(segments) > 0 && len(all) > 0 &&
		all[0].LastOffset < segments[0].base {
		l.replaceAborted(slices.DeleteFunc(slices.Clone(all),
			func(a AbortedTxn) bool { return a.LastOffset < segments[0].base }))
	}
}

// replaceAborted replaces the list that readers see. The list is never empty in between: a reader that missed an entry
// would take aborted records for committed ones.
func (l *Log) replaceAborted(entries []AbortedTxn) {
	list := &growing[AbortedTxn]{}
	list.reset(entries)
	l.aborted.Store(list)
}

// ReplayOffset is the offset from which the producer state can be replayed: the first one still stored, which can lie
// below StartOffset. The snapshot of that offset holds the state before it.
func (l *Log) ReplayOffset() int64 {
	if segments := l.list(); len(segments) > 0 {
		return segments[0].base
	}
	return l.start.Load()
}

// DeleteSegments takes the segments out of the log that lie below StartOffset and that a barrier has covered. It
// returns their number and size. Their files are deleted after the next barrier, because the last barrier record still
// refers to them; readers of a Slice may finish. The active segment always stays: call Roll first to delete its data.
// It may run beside Append, but not beside Clean.
func (l *Log) DeleteSegments() (segments int, sizeBytes int64) {
	gone, base, sizeBytes := l.detachSegments()
	if len(gone) == 0 {
		return 0, 0
	}
	l.member.AfterNext(func() {
		l.removeBelow(base, gone)
		for _, s := range gone {
			s.release()
		}
	})
	return len(gone), sizeBytes
}

// DeletableTo is the start of the first segment that DeleteSegments would keep.
func (l *Log) DeletableTo() int64 {
	all := l.list()
	if n := l.deletable(all); n < len(all) {
		return all[n].base
	}
	return l.start.Load()
}

// deletable returns the number of segments that DeleteSegments would delete.
func (l *Log) deletable(all []*segment) int {
	start, n := l.start.Load(), 0
	for n < len(all)-1 && all[n+1].base <= start && l.covered(all[n]) {
		n++
	}
	return n
}

// detachSegments takes them off the list; base is the base offset of the first one that stays.
func (l *Log) detachSegments() (gone []*segment, base, sizeBytes int64) {
	l.structure.Lock()
	defer l.structure.Unlock()
	all := l.list()
	n := l.deletable(all)
	if n == 0 {
		return nil, 0, 0
	}
	for _, s := range all[:n] {
		_, size := s.bounds()
		sizeBytes += size
	}
	rest := all[n:len(all):len(all)]
	l.segments.Store(&rest)
	l.size.Add(-sizeBytes)
	return all[:n], rest[0].base, sizeBytes
}

// removeBelow deletes the files of detached segments, and the snapshots that only they needed. A power cut may undo
// the deletion of some files and not of others, so an empty file `<base>.below` is written first.
func (l *Log) removeBelow(base int64, gone []*segment) {
	l.structure.Lock() // a topic of the same name may follow as soon as Remove has had this lock
	defer l.structure.Unlock()
	if l.removed.Load() {
		return
	}
	if err := l.announceBelow(base); err != nil {
		l.logger.Warn("files of deleted segments stay until the next start deletes them", "dir", l.dir, "error", err)
		return
	}
	for _, s := range gone {
		l.removeFiles(s)
	}
	for _, offset := range l.Snapshots() {
		if offset >= base {
			continue
		}
		if err := l.RemoveSnapshot(offset); err != nil {
			l.logger.Warn("producer snapshot stays until the next start", "dir", l.dir, "offset", offset, "error", err)
		}
	}
	err := l.fs.SyncDir(l.dir)
	if err == nil {
		err = files.RemoveIfThere(l.fs, l.fileOf(base, BelowSuffix))
	}
	if err != nil {
		l.logger.Warn("deleting segments is finished by the next start", "dir", l.dir, "error", err)
	}
}

// announceBelow writes and syncs `<base>.below`: segments below base do not count any more.
func (l *Log) announceBelow(base int64) error {
	f, err := files.CreateAnew(l.fs, l.fileOf(base, BelowSuffix))
	if err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	return l.fs.SyncDir(l.dir)
}

// finishDeletions finishes, at a start, what removeBelow began.
func (rc *recoverer) finishDeletions() error {
	l := rc.log
	base := int64(-1)
	for _, name := range rc.names {
		if offset, suffix, ok := ParseFileName(name); ok && suffix == BelowSuffix {
			base = max(base, offset)
		}
	}
	if base < 0 {
		return nil
	}
	var rest, announced []string
	for _, name := range rc.names {
		switch offset, suffix, ok := ParseFileName(name); {
		case ok && suffix == BelowSuffix:
			announced = append(announced, name)
		case ok && offset < base && isOfSegment(suffix):
			if err := files.RemoveIfThere(l.fs, l.path(name)); err != nil {
				return err
			}
		default:
			rest = append(rest, name)
		}
	}
	if err := l.fs.SyncDir(l.dir); err != nil {
		return err
	}
	for _, name := range announced {
		if err := files.RemoveIfThere(l.fs, l.path(name)); err != nil {
			return err
		}
	}
	rc.names = rest
	return nil
}

func isOfSegment(suffix string) bool {
	return slices.Contains([]string{IndexSuffix, TimeIndexSuffix, TxnIndexSuffix, SnapshotSuffix, LogSuffix, CleanedSuffix,
		RepairedSuffix}, suffix) || strings.HasPrefix(suffix, suffixSwap)
}

func (l *Log) removeFiles(s *segment) {
	for _, suffix := range []string{IndexSuffix, TimeIndexSuffix, TxnIndexSuffix, SnapshotSuffix, LogSuffix} {
		if err := l.fs.Remove(s.file(suffix)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			l.logger.Warn("file of a deleted segment stays until the next try", "file", s.file(suffix), "error", err)
		}
	}
}

// Roll begins a new segment if the last one has batches. Like Append, one call at a time with it.
func (l *Log) Roll() error {
	if err := l.writable(); err != nil {
		return err
	}
	segments := l.list()
	if len(segments) == 0 {
		return nil
	}
	last := segments[len(segments)-1]
	if _, size := last.bounds(); size == 0 {
		return nil
	}
	_, err := l.roll(last, l.end.Load())
	return err
}
