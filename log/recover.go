package log

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strings"

	"once/internal/vfs"
	"once/log/batch"
)

// Recovery is what the barrier's record says about a log; see Barrier.Recovery.
type Recovery struct {
	Clean         bool  // the log was closed, and every byte was synced after
	RecoveryPoint int64 // offset; everything below is on disk
	StartOffset   int64 // log start offset as of the record
	// Cut says that the machine went down in a mode that promises a consistent cut over all logs:
	// what lies above the recovery point goes, valid or not.
	Cut bool
	// SyncKept says that what is kept above the recovery point may have been acknowledged as durable,
	// so that its copy has to be on disk before the original goes.
	SyncKept bool
}

// Recovered says what Open did.
type Recovered struct {
	ScannedBytes   int64    // read and checked
	TruncatedBytes int64    // taken out of the log and moved aside; if not 0, bump the leader epoch (spec: reliability P12)
	ZeroBytes      int64    // dropped from the end because they were all zero: never written
	RewrittenBytes int64    // kept above the recovery point, in a new file
	TornFiles      []string // where the truncated bytes are
	// AbortedIndexTo: the aborted transactions with a marker below this offset are known. For those
	// above, replay the log from the newest of Snapshots, or StartOffset, and hand them in again.
	AbortedIndexTo int64
}

// Open opens the log in o.Dir, which need not exist, and repairs what a stop left behind. After an
// error nothing was changed that a second try would miss: *DamagedError when bytes below the recovery
// point are not what was written. Interrupted at any point, the next Open comes to the same end.
func Open(o Options, r Recovery) (*Log, Recovered, error) {
	l := &Log{}
	l.fill(o)
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
	if l.barrier != nil {
		l.barrier.opened(l, rc.changed)
	}
	return l, rc.report, nil
}

// recoverer is the state of one Open.
type recoverer struct {
	Recovery
	log      *Log
	report   Recovered
	segments []*segment
	names    []string
	changed  bool // something is to be synced by the next barrier
}

func (rc *recoverer) run() error {
	l := rc.log
	l.start.Store(rc.StartOffset)
	l.end.Store(rc.StartOffset)
	rc.report.AbortedIndexTo = rc.StartOffset
	names, err := l.fs.List(l.dir)
	if errors.Is(err, fs.ErrNotExist) {
		if rc.RecoveryPoint > rc.StartOffset {
			return &DamagedError{File: l.dir, Cause: fmt.Errorf("directory is missing, with offsets up to %d", rc.RecoveryPoint)}
		}
		return nil
	}
	if err != nil {
		return err
	}
	rc.names = names
	for _, step := range []func() error{rc.identity, rc.leftovers, rc.load, rc.content, rc.derived} {
		if err := step(); err != nil {
			return err
		}
	}
	return nil
}

// identity compares the topic ID. A metadata file that cannot be read is damage only where data below
// the recovery point depends on it: in a log that no barrier knows, a power cut may have taken it.
func (rc *recoverer) identity() error {
	l := rc.log
	name := l.path(metadataFile)
	b, err := readSmall(l.fs, name)
	missing := errors.Is(err, fs.ErrNotExist)
	if err != nil && !missing {
		return err
	}
	id, cause := decodeMetadata(b)
	switch {
	case cause == nil && id == l.topicID:
		return nil
	case cause == nil:
		return &DamagedError{File: name, Cause: fmt.Errorf("belongs to topic id %x, not %x", id, l.topicID)}
	case rc.RecoveryPoint > rc.StartOffset && !missing:
		return &DamagedError{File: name, Cause: cause}
	}
	rc.changed = true
	l.namesNew.Store(true)
	return replaceFile(l.fs, name, encodeMetadata(l.topicID))
}

// leftovers removes what an interrupted write of ours left under a temporary name.
func (rc *recoverer) leftovers() error {
	for _, name := range rc.names {
		if strings.HasSuffix(name, suffixTmp) || strings.HasSuffix(name, suffixKept) {
			if err := rc.log.fs.Remove(rc.log.path(name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
	}
	return nil
}

// load lists the segments. A sealed one ends where the next begins, which content checks for those
// that matter.
func (rc *recoverer) load() error {
	l := rc.log
	for _, name := range rc.names {
		base, suffix, ok := parseName(name)
		if !ok || suffix != suffixLog {
			continue
		}
		st, err := l.fs.Stat(l.path(name))
		if err != nil {
			return err
		}
		if st.SizeBytes > maxSegmentBytes {
			return &DamagedError{File: l.path(name), Position: maxSegmentBytes, Cause: errors.New("longer than any segment can be")}
		}
		s := newSegment(l.fs, l.dir, base)
		s.published.Store(uint64(st.SizeBytes)) // no offsets yet
		s.synced.Store(st.SizeBytes)
		s.createdMs = st.ModTime.UnixMilli()
		rc.segments = append(rc.segments, s)
	}
	for i, s := range rc.segments[:max(len(rc.segments)-1, 0)] {
		_, size := s.bounds()
		next := rc.segments[i+1].base
		if next-s.base > maxSegmentOffsets {
			return &DamagedError{File: s.file(suffixLog), Cause: fmt.Errorf("next segment begins at offset %d, too far away", next)}
		}
		s.publish(next, size)
	}
	return nil
}

// content finds the end of the log and cuts, moves and rewrites what the stop left above the recovery
// point.
func (rc *recoverer) content() error {
	if len(rc.segments) == 0 {
		if rc.RecoveryPoint > rc.StartOffset {
			return &DamagedError{File: rc.log.dir, Cause: fmt.Errorf("no segment, with offsets up to %d", rc.RecoveryPoint)}
		}
		return nil
	}
	if rc.RecoveryPoint < rc.segments[0].base {
		if rc.RecoveryPoint > rc.StartOffset {
			return &DamagedError{File: rc.segments[0].file(suffixLog), Cause: fmt.Errorf("first segment, but offset %d was stored", rc.StartOffset)}
		}
		rc.RecoveryPoint = rc.segments[0].base
	}
	i := len(rc.segments) - 1
	for rc.segments[i].base > rc.RecoveryPoint {
		i--
	}
	position, err := rc.locatePoint(rc.segments[i])
	if err != nil {
		return err
	}
	if rc.Clean && i == len(rc.segments)-1 {
		if _, size := rc.segments[i].bounds(); position == size {
			return rc.publishLast(rc.RecoveryPoint)
		}
	}
	if i > 0 && rc.segments[i].base == rc.RecoveryPoint {
		if err := rc.finishSplit(rc.segments[i-1]); err != nil {
			return err
		}
	}
	end, err := rc.verifyAbove(i, position)
	if err != nil {
		return err
	}
	return rc.publishLast(end)
}

// locatePoint returns the position of the recovery point in the segment that holds it. Everything up
// to there must be present.
func (rc *recoverer) locatePoint(s *segment) (int64, error) {
	if s.base == rc.RecoveryPoint {
		return 0, nil
	}
	f, err := s.handle()
	if err != nil {
		return 0, err
	}
	_, size := s.bounds()
	b, err := readSmall(s.fs, s.file(suffixIndex))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return 0, err
	}
	entries := decodeOffsets(b, size, rc.RecoveryPoint-s.base)
	if n := len(entries); n > 0 && s.matchesLocked(entries[n-1]) {
		if at, err := walkTo(s, f, int64(entries[n-1].position), size, rc.RecoveryPoint); err == nil {
			return at, nil
		}
	}
	return walkTo(s, f, 0, size, rc.RecoveryPoint)
}

// walkTo returns the position at which the offset begins.
func walkTo(s *segment, f vfs.File, from, size, offset int64) (int64, error) {
	w := newWalker(s, f, from, size)
	defer w.close()
	for w.next() {
		if next := w.header.NextOffset(); next == offset {
			return w.nextAt, nil
		} else if next > offset {
			return 0, s.damaged(w.at, fmt.Errorf("batch of offsets %d to %d lies across the recovery point %d", w.header.BaseOffset, next-1, offset))
		}
	}
	if w.err != nil {
		return 0, w.err
	}
	return 0, s.damaged(size, fmt.Errorf("file ends below the recovery point %d", offset))
}

// finishSplit removes from a sealed segment the bytes that an interrupted recovery has already copied
// to the segment behind it.
func (rc *recoverer) finishSplit(s *segment) error {
	f, err := s.handle()
	if err != nil {
		return err
	}
	_, size := s.bounds()
	entries, err := s.index()
	if err != nil {
		return err
	}
	w := newWalker(s, f, floorPosition(entries, rc.RecoveryPoint-1-s.base), size)
	defer w.close()
	for w.next() {
		if w.header.BaseOffset >= rc.RecoveryPoint {
			return rc.truncate(s, w.at)
		}
	}
	return w.err
}

func (rc *recoverer) truncate(s *segment, position int64) error {
	f, err := s.handle()
	if err != nil {
		return err
	}
	if err := f.Truncate(position); err != nil {
		return err
	}
	end, _ := s.bounds()
	s.publish(end, position)
	s.synced.Store(0)
	rc.changed = true
	return nil
}

// verifyAbove checks every batch from the recovery point on, keeps the valid run and returns its end.
func (rc *recoverer) verifyAbove(i int, position int64) (end int64, err error) {
	end = rc.RecoveryPoint
	first := i
	for ; i < len(rc.segments); i++ {
		s := rc.segments[i]
		from := int64(0)
		if i == first {
			from = position
		} else if s.base != end {
			return end, rc.cut(i, 0)
		}
		good := from
		if !rc.Cut {
			if good, end, err = rc.verify(s, from, end); err != nil {
				return end, err
			}
		}
		if _, size := s.bounds(); good < size {
			// What follows in later segments cannot belong to the log any more.
			if err := rc.cut(i, good); err != nil {
				return end, err
			}
		}
		kept, err := rc.rewrite(s, from, good, end)
		if err != nil {
			return end, err
		}
		if kept.base != s.base {
			rc.segments = append(rc.segments[:i+1], append([]*segment{kept}, rc.segments[i+1:]...)...)
			i++
		}
	}
	return end, nil
}

// verify returns the position and the offset where the valid batches end.
func (rc *recoverer) verify(s *segment, from, offset int64) (good, end int64, err error) {
	f, err := s.handle()
	if err != nil {
		return 0, 0, err
	}
	_, size := s.bounds()
	buf := make([]byte, 0, min(size-from, scanBytes))
	bufAt := from
	for from < size {
		var h batch.Header
		var raw []byte
		for {
			raw = buf[min(from-bufAt, int64(len(buf))):]
			h, err = batch.ParseHeader(raw)
			need := int64(batch.HeaderSizeBytes)
			if err == nil {
				need = int64(h.SizeBytes())
			}
			if from+need > size || err != nil && len(raw) >= batch.HeaderSizeBytes {
				return from, offset, nil
			}
			if int64(len(raw)) >= need {
				raw = raw[:need]
				break
			}
			n := min(max(scanBytes, need), size-from)
			if int64(cap(buf)) < n {
				buf = make([]byte, n)
			}
			buf, bufAt = buf[:n], from
			if read, err := f.ReadAt(buf, from); int64(read) < n {
				return 0, 0, fmt.Errorf("read %s at byte %d: %w", s.file(suffixLog), from, errors.Join(err, io.ErrUnexpectedEOF))
			}
		}
		if h.BaseOffset != offset || h.LastOffsetDelta < 0 || h.NextOffset()-s.base > maxSegmentOffsets {
			return from, offset, nil
		}
		if _, err := batch.Verify(raw); err != nil {
			return from, offset, nil
		}
		from += int64(len(raw))
		offset = h.NextOffset()
		rc.report.ScannedBytes += int64(len(raw))
	}
	return from, offset, nil
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

// prepareLast loads what appending needs.
func (rc *recoverer) prepareLast(s *segment) error {
	if _, err := s.timeIndex(); err != nil {
		return err
	}
	_, size := s.bounds()
	s.sinceIndexBytes = size - floorPosition(s.offsets.view(), maxSegmentOffsets)
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

// derived brings epochs, aborted transactions and snapshots in line with the end of the log.
func (rc *recoverer) derived() error {
	l := rc.log
	if len(l.list()) == 0 {
		return nil
	}
	if err := rc.recoverEpochs(); err != nil {
		return err
	}
	end := l.end.Load()
	to, err := l.loadAborted(end)
	if err != nil {
		return err
	}
	rc.report.AbortedIndexTo = to
	for _, offset := range l.Snapshots() {
		if offset > to {
			if err := l.RemoveSnapshot(offset); err != nil {
				return err
			}
		}
	}
	return nil
}

// recoverEpochs takes the checkpoint if it agrees with the newest batch, and else reads all headers.
func (rc *recoverer) recoverEpochs() error {
	l := rc.log
	entries, err := l.loadEpochs(l.end.Load())
	if err != nil {
		return err
	}
	l.epochs.reset(entries)
	newest, err := rc.newestEpoch()
	if err != nil {
		return err
	}
	if newest == l.LastLeaderEpoch() {
		return nil
	}
	var all []epochEntry
	err = l.ScanHeaders(0, l.end.Load(), func(h batch.Header, _ func() ([]byte, error)) error {
		if n := len(all); h.LeaderEpoch >= 0 && (n == 0 || h.LeaderEpoch > all[n-1].leaderEpoch) {
			all = append(all, epochEntry{h.LeaderEpoch, h.BaseOffset})
		}
		return nil
	})
	if err != nil {
		return err
	}
	l.epochs.reset(all)
	return l.writeEpochs()
}

// newestEpoch is the largest leader epoch among the last batches; they never go down.
func (rc *recoverer) newestEpoch() (int32, error) {
	l := rc.log
	segments := l.list()
	for i := len(segments) - 1; i >= 0; i-- {
		s := segments[i]
		_, size := s.bounds()
		if size == 0 {
			continue
		}
		entries, err := s.index()
		if err != nil {
			return 0, err
		}
		f, err := s.handle()
		if err != nil {
			return 0, err
		}
		w := newWalker(s, f, floorPosition(entries, maxSegmentOffsets), size)
		newest := int32(-1)
		for w.next() {
			newest = max(newest, w.header.LeaderEpoch)
		}
		w.close()
		return newest, w.err
	}
	return -1, nil
}

func (l *Log) base() string { return path.Base(l.dir) }

// replace puts another segment in the place of one whose file it has taken over.
func (rc *recoverer) replace(old, s *segment) {
	for i := range rc.segments {
		if rc.segments[i] == old {
			rc.segments[i] = s
		}
	}
	old.release()
}
