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

// Noted is what a log held at one instant, for a copy of it: its segments with their bounds, and its start.
//
// From Note on until the copy is made nothing of the log may be replaced or deleted: neither Clean, FinishCleaning nor
// DeleteSegments runs. Appends go on.
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

// PrepareImage makes the next copy of the log cheap: what has been written becomes a segment that can be shared. One
// call at a time with Append.
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

// Note returns what the log holds. It is called at an instant at which no append is published (durability.Barrier.AtOneInstant).
func (l *Log) Note() *Noted {
	n := &Noted{log: l, state: durableLog{l}.State()}
	segments := l.list()
	for i, s := range segments {
		_, size := s.bounds()
		at := notedSegment{segment: s, name: s.file(suffixLog), sizeBytes: size}
		// One that no barrier has covered may yet be cut by a start after a power cut.
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

// State is what the barrier record of the copy says of the log.
func (n *Noted) State() durability.StateOf {
	return durability.StateOf{DirBase: n.log.base(), TopicID: n.log.topicID, State: n.state}
}

// CopyTo makes the directory of the log in another data directory, as a clean stop at the instant would have left it, but
// for what is derived from the segment that was written to: the next Open makes that anew. Files that nobody changes any
// more are shared where the file system can do that.
func (n *Noted) CopyTo(dataDir string) error {
	l := n.log
	if len(n.segments) == 0 {
		return nil // there is no directory either
	}
	to := path.Join(dataDir, l.base())
	if err := l.fs.MkdirAll(to); err != nil {
		return err
	}
	if err := files.Replace(l.fs, path.Join(to, metadataFile), encodeMetadata(l.topicID)); err != nil {
		return err
	}
	for _, s := range n.segments {
		copyFile := vfs.CopyFile
		if s.shared {
			copyFile = vfs.LinkOrCopy
		}
		if err := copyFile(l.fs, s.name, path.Join(to, stem(s.base)+suffixLog), s.sizeBytes); err != nil {
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
		// It may be replaced or removed at this moment; without it the next Open takes longer, and that is all.
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

// isDerived says whether a file was derived from what the copy has. Each is checked against the batches by the next Open.
func (n *Noted) isDerived(name string) bool {
	if name == epochCheckpointFile || name == txnCheckpointFile {
		return true
	}
	offset, suffix, ok := parseName(name)
	switch {
	case !ok:
		return false
	case suffix == suffixSnapshot:
		return offset <= n.state.EndOffset
	case suffix == suffixTxnIndex:
		return offset < n.state.EndOffset
	case suffix == suffixIndex || suffix == suffixTimeIndex:
		last := len(n.segments) - 1
		return slices.ContainsFunc(n.segments[:last], func(s notedSegment) bool {
			return s.base == offset && s.name == s.file(suffixLog) // those of a replaced segment lie under its name
		})
	}
	return false
}
