package log

import (
	"errors"
	"io/fs"
	"slices"

	"once/internal/files"
)

// WriteSnapshot stores the producer state as of offset: after all batches below it and before any above. The caller
// encodes it and must be able to recognise a damaged one. AppendAborted must have been called for all aborted
// transactions whose marker lies below offset. One call at a time with Append.
func (l *Log) WriteSnapshot(offset int64, data []byte) error {
	if len(l.list()) == 0 {
		return nil // without records there is no directory
	}
	l.snapshotsAtOpen.Store(nil)
	if err := files.Replace(l.fs, l.fileOf(offset, SnapshotSuffix), data); err != nil {
		return err
	}
	l.unsyncedSnapshots.Lock()
	l.unsyncedSnapshots.offsets = append(l.unsyncedSnapshots.offsets, offset)
	l.unsyncedSnapshots.Unlock()
	l.member.NewNames()
	return l.writeAborted(offset)
}

// takeNewSnapshots returns the snapshots that no barrier has synced, and forgets them.
func (l *Log) takeNewSnapshots() []int64 {
	l.unsyncedSnapshots.Lock()
	defer l.unsyncedSnapshots.Unlock()
	offsets := l.unsyncedSnapshots.offsets
	l.unsyncedSnapshots.offsets = nil
	return offsets
}

// Snapshots returns the offsets of the snapshots, newest first. A replay from one above Recovered.AbortedIndexTo misses
// aborted transactions.
func (l *Log) Snapshots() []int64 {
	if found := l.snapshotsAtOpen.Load(); found != nil {
		return *found
	}
	names, err := l.fs.List(l.dir)
	if err != nil {
		return nil
	}
	return snapshotsOf(names)
}

// snapshotsOf picks the snapshots from a sorted list of file names, newest first.
func snapshotsOf(names []string) []int64 {
	var offsets []int64
	for _, name := range names {
		if offset, suffix, ok := ParseFileName(name); ok && suffix == SnapshotSuffix {
			offsets = append(offsets, offset)
		}
	}
	slices.Reverse(offsets)
	return offsets
}

// ReadSnapshot returns the content of a snapshot, which the caller checks.
func (l *Log) ReadSnapshot(offset int64) ([]byte, error) {
	return files.ReadSmall(l.fs, l.fileOf(offset, SnapshotSuffix))
}

// RemoveSnapshot deletes a snapshot; a missing one is no error. The directory is synced with the next append, so that
// the snapshot does not come back after a power cut, when the log has other batches below its offset.
func (l *Log) RemoveSnapshot(offset int64) error {
	l.member.NewNames()
	l.snapshotsAtOpen.Store(nil)
	if err := l.fs.Remove(l.fileOf(offset, SnapshotSuffix)); !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}
