package log

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"path"
	"slices"

	"once/durability"
	"once/internal/files"
	"once/internal/vfs"
	"once/log/batch"
)

// recoverContent finds the end of the log. Above the recovery point it truncates invalid batches and copies the valid
// ones to a new file.
func (rc *recoverer) recoverContent() error {
	if len(rc.segments) == 0 {
		if rc.RecoveryPoint > rc.StartOffset {
			return &files.DamagedError{File: rc.log.dir,
				Cause: fmt.Errorf("no segment, with offsets up to %d", rc.RecoveryPoint)}
		}
		return nil
	}
	if rc.RecoveryPoint < rc.segments[0].base {
		if rc.RecoveryPoint > rc.StartOffset {
			return &files.DamagedError{File: rc.segments[0].file(LogSuffix),
				Cause: fmt.Errorf("first segment, but offset %d was stored", rc.StartOffset)}
		}
		if rc.Cut {
			// A power cut took the first segment and left later ones, which nothing connects to the log.
			return rc.cutAll()
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

// locatePoint returns the position of the recovery point in its segment. All batches below must be present.
func (rc *recoverer) locatePoint(s *segment) (int64, error) {
	if s.base == rc.RecoveryPoint {
		return 0, nil
	}
	f, err := s.handle()
	if err != nil {
		return 0, err
	}
	_, size := s.bounds()
	if size <= s.sizes.IndexGapBytes {
		return walkTo(s, f, 0, size, rc.RecoveryPoint)
	}
	b, err := files.ReadSmall(s.fs, s.file(IndexSuffix))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return 0, err
	}
	entries := decodeOffsets(b, size, rc.RecoveryPoint-s.base)
	if n := len(entries); n > 0 && s.matchesLocked(entries[n-1]) {
		if at, err := walkTo(s, f, int64(entries[n-1].Position), size, rc.RecoveryPoint); err == nil {
			return at, nil
		}
	}
	return walkTo(s, f, 0, size, rc.RecoveryPoint)
}

// walkTo returns the position at which the batch with the offset begins.
func walkTo(s *segment, f vfs.File, from, size, offset int64) (int64, error) {
	w := newWalker(s, f, from, size)
	defer w.close()
	due := int64(-1) // any
	if from == 0 {
		due = s.base
	}
	for w.next() {
		if next := w.header.NextOffset(); next == offset {
			return w.nextAt, s.endsGap(f, w.nextAt, size, due, w.header)
		} else if next > offset {
			return 0, s.damaged(w.at, fmt.Errorf("batch of offsets %d to %d lies across the recovery point %d",
				w.header.BaseOffset, next-1, offset))
		}
		due = w.header.NextOffset()
	}
	if w.err != nil {
		return 0, w.err
	}
	return 0, s.damaged(size, fmt.Errorf("file ends below the recovery point %d", offset))
}

// endsGap checks the batch that ends at the recovery point when offsets are missing before it. No checksum covers its
// offset, which is damaged if a batch behind it belongs into that gap.
func (s *segment) endsGap(f vfs.File, at, size, due int64, h batch.Header) error {
	if due < 0 || h.BaseOffset == due || at >= size {
		return nil
	}
	if behind, err := s.headerAt(f, at); err == nil && behind.BaseOffset >= due && behind.BaseOffset < h.NextOffset() {
		return s.damaged(at, fmt.Errorf("batch of offsets %d to %d behind one of %d to %d", behind.BaseOffset,
			behind.LastOffset(), h.BaseOffset, h.LastOffset()))
	}
	return nil
}

// finishSplit removes from a sealed segment the bytes that an interrupted recovery has already copied to the next
// segment. They may be torn now, so only the part below is checked.
func (rc *recoverer) finishSplit(s *segment) error {
	_, size := s.bounds()
	if at, err := rc.locatePoint(s); err == nil {
		if at < size {
			return rc.truncateSealed(s, at)
		}
		return nil
	}
	// A compacted segment may end below the recovery point; then nothing was copied.
	f, err := s.handle()
	if err != nil {
		return err
	}
	w := newWalker(s, f, 0, size)
	defer w.close()
	w.order.end = math.MaxInt64 // including the bytes copied
	for w.next() {
		if w.header.BaseOffset >= rc.RecoveryPoint {
			return rc.truncateSealed(s, w.at)
		}
	}
	return w.err
}

// unshare copies the file of a segment that will be changed if an image shares it. A barrier record that was damaged
// takes recovery back to the one before: then sealed segments are cut, and one of them becomes the last.
func (rc *recoverer) unshare(s *segment, sizeBytes int64) error {
	s.closeFile()
	copied, err := vfs.Unshare(s.fs, s.file(LogSuffix), s.file(KeptSuffix), sizeBytes)
	if copied {
		rc.log.member.NewNames()
	}
	return err
}

func (rc *recoverer) truncate(s *segment, position int64) error {
	if err := rc.unshare(s, position); err != nil {
		return err
	}
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
	s.checked.setOwnFrom(position)
	rc.report.changed = true
	return nil
}

// truncateSealed truncates a segment whose batches behind the position are in the next segment. The index files come
// first: after a death in between, nothing shows that they have to be cut.
func (rc *recoverer) truncateSealed(s *segment, position int64) error {
	end, _ := s.bounds()
	s.publish(end, position)
	if err := s.cutIndexes(); err != nil {
		rc.log.logger.Warn("index not cut at the end of its segment; readers ignore the rest", "file", s.file(IndexSuffix),
			"error", err)
	}
	return rc.truncate(s, position)
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
			return end, rc.cut(i, 0, end)
		}
		var good int64
		if rc.Cut {
			good, end, err = rc.compare(s, from, end)
		} else {
			good, end, err = rc.verify(s, from, end)
		}
		if err != nil {
			return end, err
		}
		if _, size := s.bounds(); good < size {
			// The batches of later segments have lost their predecessors.
			if err := rc.cut(i, good, end); err != nil {
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
	buf := scanBuffers.Get().(*[]byte)
	defer putScanBuffer(buf)
	piece := (*buf)[:0:s.sizes.ScanBytes]
	good, end = from, offset
	err = s.eachVerified(f, from, size, &piece, false, func(at int64, h batch.Header, _ []byte) error {
		if h.BaseOffset != end || h.LastOffsetDelta < 0 || h.NextOffset()-s.base > MaxSegmentOffsets {
			return s.damaged(at, fmt.Errorf("batch of offsets %d to %d where %d was due", h.BaseOffset, h.LastOffset(), end))
		}
		good, end = at+int64(h.SizeBytes()), h.NextOffset()
		rc.report.ScannedBytes += int64(h.SizeBytes())
		return nil
	})
	if errors.Is(err, files.ErrDamaged) { // the valid batches end there
		err = nil
	}
	return good, end, err
}

// compare returns the position and the offset up to which the segment equals the journal.
func (rc *recoverer) compare(s *segment, from, offset int64) (good, end int64, err error) {
	f, err := s.handle()
	if err != nil {
		return 0, 0, err
	}
	good, end = from, offset
	_, size := s.bounds()
	var there []byte
	for _, j := range rc.Journaled {
		if j.Header.NextOffset() <= end {
			continue
		}
		n := int64(len(j.Raw))
		if j.Header.BaseOffset != end || good+n > size {
			break
		}
		there = slices.Grow(there[:0], len(j.Raw))[:n]
		if n, err := f.ReadAt(there, good); n < len(there) {
			return 0, 0, fmt.Errorf("read %s at byte %d: %w", s.file(LogSuffix), good, err)
		}
		rc.report.ScannedBytes += n
		if !bytes.Equal(there, j.Raw) {
			break
		}
		good, end = good+n, j.Header.NextOffset()
	}
	return good, end, nil
}

// restorable is the number of bytes that restore will append to a log that ends at this offset.
func (rc *recoverer) restorable(end int64) (sizeBytes int64) {
	for _, j := range rc.Journaled {
		if j.Header.BaseOffset >= end {
			sizeBytes += int64(len(j.Raw))
		}
	}
	return sizeBytes
}

// restore appends the journal's batches above the end of the log. It asks for no snapshot: the caller replays the log
// anyway.
func (rc *recoverer) restore() error {
	l := rc.log
	onRoll := l.onRoll
	l.onRoll = nil
	defer func() { l.onRoll = onRoll }()
	for _, j := range rc.Journaled {
		end := l.end.Load()
		if j.Header.NextOffset() <= end {
			continue
		}
		if j.Header.BaseOffset != end {
			return &files.DamagedError{File: path.Join(path.Dir(l.dir), durability.JournalFile), Position: j.Position,
				Cause: fmt.Errorf("batch of offsets %d to %d of %s, %d is due", j.Header.BaseOffset, j.Header.LastOffset(),
					j.DirBase, end)}
		}
		if err := l.Append(j.Raw, j.Header); err != nil {
			return err
		}
		rc.report.changed = true
		rc.report.RestoredBytes += int64(len(j.Raw))
	}
	return nil
}

// replace puts a segment in the place of another one whose file it has taken over.
func (rc *recoverer) replace(old, s *segment) {
	for i := range rc.segments {
		if rc.segments[i] == old {
			rc.segments[i] = s
		}
	}
	old.release()
}
