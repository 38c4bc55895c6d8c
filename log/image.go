package log

import (
	"errors"
	"io/fs"
	"path"
	"slices"

	"once/durability"
	"once/internal/files"
	"once/internal/vfs"
)

// Noted is the content of a log at one instant, for a copy of it: its start, and its segments with their bounds.
//
// Until the copy is made, neither Clean, FinishCleaning nor DeleteSegments may run. Appends go on.
type Noted struct {
	log      *Log
	state    durability.State
	segments []notedSegment
}

type notedSegment struct {
	*segment
	name      string // of its file
	sizeBytes int64
	shared    bool // nobody changes the file any more
}

// PrepareImage makes the next copy of the log cheap: it seals a large active segment, so that the copy can share it.
// One call at a time with Append.
func (l *Log) PrepareImage() error {
	segments := l.list()
	if len(segments) == 0 {
		return nil
	}
	if _, size := segments[len(segments)-1].bounds(); size < l.sizes.ImageRollBytes {
		return nil
	}
	return l.Roll()
}

// Note returns the content of the log. It is called while no append is published (durability.Barrier.AtOneInstant).
func (l *Log) Note() *Noted {
	n := &Noted{log: l, state: durableLog{l}.State()}
	segments := l.list()
	for i, s := range segments {
		_, size := s.bounds()
		at := notedSegment{segment: s, name: s.file(LogSuffix), sizeBytes: size}
		// A start after a power cut may still truncate a segment that no barrier has covered.
		at.shared = i < len(segments)-1 && l.covered(s)
		n.segments = append(n.segments, at)
	}
	for _, sw := range l.swaps {
		for i := range n.segments {
			if n.segments[i].segment == sw.segment {
				n.segments[i].name = l.fileOf(sw.base, swapSuffix(sw.end))
			}
		}
	}
	return n
}

// SizeBytes is the size of all segments.
func (n *Noted) SizeBytes() (total int64) {
	for _, s := range n.segments {
		total += s.sizeBytes
	}
	return total
}

// State returns the log's part of the copy's barrier record.
func (n *Noted) State() durability.StateOf {
	return durability.StateOf{DirBase: n.log.base(), TopicID: n.log.topicID, State: n.state}
}

// CopyTo makes the directory of the log in another data directory, as a clean stop at the instant would have left it,
// but without the derived files of the active segment: the next Open makes them anew. Files that no longer change
// are shared where the file system can do that.
func (n *Noted) CopyTo(dataDir string) error {
	l := n.log
	if len(n.segments) == 0 {
		return nil // there is no directory either
	}
	to := path.Join(dataDir, l.base())
	if err := l.fs.MkdirAll(to); err != nil {
		return err
	}
	if err := files.Replace(l.fs, path.Join(to, MetadataFile), encodeMetadata(l.topicID)); err != nil {
		return err
	}
	for _, s := range n.segments {
		copyFile := vfs.CopyFile
		if s.shared {
			copyFile = vfs.LinkOrCopy
		}
		if err := copyFile(l.fs, s.name, path.Join(to, stem(s.base)+LogSuffix), s.sizeBytes); err != nil {
			return err
		}
	}
	names, err := l.fs.List(l.dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		if !n.isDerived(name) {
			continue
		}
		// The file is derived and may be replaced or removed at this moment; without it the next Open takes longer.
		content, err := files.ReadSmall(l.fs, l.path(name))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err == nil {
			err = files.Replace(l.fs, path.Join(to, name), content)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// isDerived says whether a file is derived from segments in the copy. The next Open checks each against the batches.
func (n *Noted) isDerived(name string) bool {
	if name == EpochCheckpointFile || name == TxnCheckpointFile {
		return true
	}
	offset, suffix, ok := ParseFileName(name)
	switch {
	case !ok:
		return false
	case suffix == SnapshotSuffix:
		return offset <= n.state.EndOffset
	case suffix == TxnIndexSuffix:
		return offset < n.state.EndOffset
	case suffix == IndexSuffix || suffix == TimeIndexSuffix:
		last := len(n.segments) - 1
		return slices.ContainsFunc(n.segments[:last], func(s notedSegment) bool {
			return s.base == offset && s.name == s.file(LogSuffix) // else it is that of a replaced segment
		})
	}
	return false
}
