package log

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"once/durability"
	"once/internal/files"
	"once/internal/vfs"
)

// Recovered is the result of the recovery in Open.
type Recovered struct {
	ScannedBytes   int64    // read and checked
	TruncatedBytes int64    // moved aside; if not 0, bump the leader epoch (spec: reliability P12)
	ZeroBytes      int64    // dropped from the end because they were all zero: never written
	RewrittenBytes int64    // kept above the recovery point, in a new file
	RestoredBytes  int64    // appended from the journal
	TornFiles      []string // where the truncated bytes are
	// AbortedIndexTo is the offset below which all markers of aborted transactions are known. For markers above, the
	// caller replays the log from the newest of Snapshots, or StartOffset, and calls AppendAborted again.
	AbortedIndexTo int64

	changed bool // something is to be synced by the next barrier
}

// Open opens the log in o.Dir, which need not exist, and recovers it. After an error, or a crash at any point, the next
// Open comes to the same result. *files.DamagedError reports damage below the recovery point.
func Open(o Options, r durability.Recovery) (*Log, Recovered, error) {
	l := &Log{}
	l.fill(o)
	l.gaps.Store(r.Gaps)
	rc := recoverer{log: l, Recovery: r}
	if err := rc.run(); err != nil {
		for _, s := range rc.segments {
			s.release()
		}
		return nil, rc.report, err
	}
	if n := rc.report.TruncatedBytes + rc.report.ZeroBytes; n > 0 {
		l.logger.Warn("bytes above the last barrier were cut", "dir", l.dir, "truncated_bytes", rc.report.TruncatedBytes,
			"zero_bytes", rc.report.ZeroBytes, "moved_to", rc.report.TornFiles, "log_end_offset", l.EndOffset())
	}
	l.flushed.Store(l.end.Load())
	l.member.Opened(durability.Restored{
		TruncatedBytes: rc.report.TruncatedBytes, ZeroBytes: rc.report.ZeroBytes, RestoredBytes: rc.report.RestoredBytes,
		Changed: rc.report.changed,
	})
	return l, rc.report, nil
}

// recoverer is the state of one Open.
type recoverer struct {
	durability.Recovery
	log      *Log
	report   Recovered
	segments []*segment
	names    []string
}

func (rc *recoverer) run() error {
	l := rc.log
	l.start.Store(rc.StartOffset)
	l.end.Store(rc.StartOffset)
	rc.report.AbortedIndexTo = rc.StartOffset
	names, err := l.fs.List(l.dir)
	if errors.Is(err, fs.ErrNotExist) {
		if rc.RecoveryPoint > rc.StartOffset {
			return &files.DamagedError{File: l.dir, Cause: fmt.Errorf("directory is missing, with offsets up to %d",
				rc.RecoveryPoint)}
		}
		return rc.restore()
	}
	if err != nil {
		return err
	}
	rc.names = names
	// Without a clean stop the directory's own name may not have been synced.
	l.member.NewDirectory(!rc.Clean)
	for _, step := range []func() error{rc.checkTopicID, rc.removeTemporaryFiles, rc.finishDeletions, rc.finishRepairs,
		rc.finishSwaps, rc.loadSegments, rc.recoverContent, rc.recoverDerived, rc.restore} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// checkTopicID compares the topic ID. An unreadable metadata file is damage only if a barrier has covered data of the
// log:
// before that, a power cut may have taken it.
func (rc *recoverer) checkTopicID() error {
	l := rc.log
	name := l.path(MetadataFile)
	b, err := files.ReadSmall(l.fs, name)
	missing := errors.Is(err, fs.ErrNotExist)
	if err != nil && !missing {
		return err
	}
	id, cause := DecodeMetadata(b)
	known := rc.Clean || rc.RecoveryPoint > rc.StartOffset // a barrier has synced it
	switch {
	case cause == nil && id == l.topicID && known:
		return nil
	case cause == nil && id == l.topicID: // written anew, like everything that no barrier has covered
	case cause == nil:
		return &files.DamagedError{File: name, Cause: fmt.Errorf("belongs to topic id %x, not %x", id, l.topicID)}
	case rc.RecoveryPoint > rc.StartOffset && !missing:
		return &files.DamagedError{File: name, Cause: cause}
	}
	rc.report.changed = true
	l.member.NewNames()
	err = files.Replace(l.fs, name, encodeMetadata(l.topicID))
	if cause == nil && errors.Is(err, vfs.ErrNoSpace) {
		return nil // the old one says the same
	}
	return err
}

// removeTemporaryFiles removes temporary files of interrupted writes.
func (rc *recoverer) removeTemporaryFiles() error {
	for _, name := range rc.names {
		if strings.HasSuffix(name, files.TmpSuffix) || strings.HasSuffix(name, KeptSuffix) {
			if err := rc.log.fs.Remove(rc.log.path(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
	}
	return nil
}

// loadSegments lists the segments. A sealed one ends where the next begins; content checks that where needed.
func (rc *recoverer) loadSegments() error {
	l := rc.log
	for _, name := range rc.names {
		base, suffix, ok := ParseFileName(name)
		if !ok || suffix != LogSuffix {
			continue
		}
		st, err := l.fs.Stat(l.path(name))
		if err != nil {
			return err
		}
		if st.SizeBytes > MaxSegmentBytes {
			return &files.DamagedError{File: l.path(name), Position: MaxSegmentBytes,
				Cause: errors.New("longer than any segment can be")}
		}
		s := newSegment(l, base)
		s.published.Store(uint64(st.SizeBytes)) // no offsets yet
		s.synced.Store(st.SizeBytes)
		s.checked.setOwnFrom(st.SizeBytes)
		s.createdMs = st.ModTime.UnixMilli()
		rc.segments = append(rc.segments, s)
	}
	for i, s := range rc.segments[:max(len(rc.segments)-1, 0)] {
		_, size := s.bounds()
		next := rc.segments[i+1].base
		if next-s.base > MaxSegmentOffsets {
			return &files.DamagedError{File: s.file(LogSuffix),
				Cause: fmt.Errorf("next segment begins at offset %d, too far away", next)}
		}
		s.publish(next, size)
	}
	return nil
}

// publishLast gives the last segment its end and hands the segments over to the log.
func (rc *recoverer) publishLast(end int64) error {
	l := rc.log
	last := rc.segments[len(rc.segments)-1]
	_, size := last.bounds()
	if size == 0 && end < last.base {
		end = last.base
	}
	last.publish(end, size)
	if !rc.Clean {
		if err := rc.unshare(last, size); err != nil {
			return err
		}
	}
	if err := rc.prepareLast(last); err != nil {
		return err
	}
	var total int64
	for _, s := range rc.segments {
		_, size := s.bounds()
		total += size
	}
	segments := rc.segments
	l.segments.Store(&segments)
	l.size.Store(total)
	l.end.Store(end)
	l.start.Store(min(end, max(rc.StartOffset, segments[0].base)))
	return nil
}

// prepareLast loads the state that appends need.
func (rc *recoverer) prepareLast(s *segment) error {
	if _, err := s.timeIndex(); err != nil {
		return err
	}
	_, size := s.bounds()
	s.sinceIndexBytes = size - floorPosition(s.offsets.view(), MaxSegmentOffsets)
	s.recent.Store(newRecent())
	if size == 0 {
		return nil
	}
	f, err := s.handle()
	if err != nil {
		return err
	}
	h, err := s.headerAt(f, 0)
	s.firstTimestampMs = h.MaxTimestampMs
	return err
}

func (l *Log) base() string { return path.Base(l.dir) }
