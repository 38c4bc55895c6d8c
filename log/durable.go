package log

import (
	"errors"
	"io/fs"
	"time"

	"once/durability"
)

// durableLog implements durability.Log for a log.
type durableLog struct{ log *Log }

// State implements durability.Log.
func (d durableLog) State() durability.State {
	l := d.log
	return durability.State{EndOffset: l.end.Load(), StartOffset: l.start.Load(), Gaps: l.gaps.Load()}
}

// FlushWithin implements durability.Log: flush.ms, at most an hour, which a Duration can hold.
func (d durableLog) FlushWithin() time.Duration {
	return time.Duration(min(d.log.config.Load().FlushMs, time.Hour.Milliseconds())) * time.Millisecond
}

// UnsyncedSegments implements durability.Log. They are the last segments of the log.
func (d durableLog) UnsyncedSegments() []durability.File {
	var files []durability.File
	segments := d.log.list()
	for i := len(segments) - 1; i >= 0; i-- {
		s := segments[i]
		_, size := s.bounds()
		if size == 0 && i < len(segments)-1 {
			continue // compaction removed all its batches
		}
		if s.synced.Load() == size && size > 0 {
			break
		}
		files = append(files, unsyncedSegment{d.log, s, size})
	}
	return files
}

// TakeNewFiles implements durability.Log: the topic ID, and the snapshots written since the last barrier. A snapshot is
// no longer derived once retention has deleted the batches below it, and a start may need any of them.
func (d durableLog) TakeNewFiles() []durability.File {
	files := []durability.File{namedFile{d.log, MetadataFile}}
	for _, offset := range d.log.takeNewSnapshots() {
		files = append(files, snapshotFile{namedFile{d.log, stem(offset) + SnapshotSuffix}})
	}
	return files
}

// Covered implements durability.Log.
func (d durableLog) Covered(endOffset int64) {
	if d.log.onDurable != nil {
		d.log.onDurable(endOffset)
	}
	d.log.flushed.Store(endOffset)
}

// WriteIndexes implements durability.Log: it writes the index entries of the last segment when there are enough of
// them.
func (d durableLog) WriteIndexes() {
	l := d.log
	l.structure.Lock()
	defer l.structure.Unlock()
	segments := l.list()
	if len(segments) == 0 || l.closed.Load() {
		return
	}
	s := segments[len(segments)-1]
	s.flushed.Lock()
	waiting := len(s.offsets.view()) - s.flushed.offsets
	s.flushed.Unlock()
	if waiting < l.sizes.FlushIndexEntries {
		return
	}
	if err := s.flushIndexes(); err != nil {
		l.logger.Warn("index not written; it will be made anew when needed", "file", s.file(IndexSuffix), "error", err)
	}
}

// unsyncedSegment is a segment's file up to a size.
type unsyncedSegment struct {
	log     *Log
	segment *segment
	size    int64
}

// Sync implements durability.File. It uses the writer's handle if that is open, because the kernel reports a failed
// write-back to the handles that were open at that time.
func (u unsyncedSegment) Sync() error {
	if !u.segment.acquire() {
		return u.log.syncFile(stem(u.segment.base) + LogSuffix)
	}
	defer u.segment.release()
	f, err := u.segment.handle()
	if err != nil {
		return u.log.ignoreIfRemoved(err)
	}
	return f.Sync()
}

// Synced implements durability.File.
func (u unsyncedSegment) Synced() { u.segment.synced.Store(u.size) }

// namedFile is a file of the log that is written as a whole.
type namedFile struct {
	log  *Log
	name string
}

// Sync implements durability.File.
func (n namedFile) Sync() error { return n.log.syncFile(n.name) }

// Synced implements durability.File.
func (n namedFile) Synced() {}

// snapshotFile is a snapshot, which may have been removed since.
type snapshotFile struct{ namedFile }

// Sync implements durability.File.
func (s snapshotFile) Sync() error {
	if err := s.namedFile.Sync(); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

func (l *Log) syncFile(name string) error {
	f, err := l.fs.OpenReadWrite(l.path(name)) // Windows syncs nothing else
	if err != nil {
		return l.ignoreIfRemoved(err)
	}
	err = f.Sync()
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return err
}

// ignoreIfRemoved drops the error of a missing file when the log has been removed meanwhile.
func (l *Log) ignoreIfRemoved(err error) error {
	if errors.Is(err, fs.ErrNotExist) && l.removed.Load() {
		return nil
	}
	return err
}
