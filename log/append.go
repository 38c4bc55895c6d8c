package log

import (
	"errors"
	"fmt"
	"io/fs"

	"once/internal/fault"
	"once/internal/files"
	"once/internal/invariant"
	"once/log/batch"
)

// Append writes one batch at the end. raw is the whole batch with offset and leader epoch set, h its
// header; the base offset must be EndOffset. When an error comes back, the batch is not in the log and
// readers never saw it, or the error is ErrAppendInDoubt: then it stays invisible until the log is opened
// again.
func (l *Log) Append(raw []byte, h batch.Header) error {
	end := l.end.Load()
	// Not inside Check: its arguments would be allocated.
	if h.BaseOffset != end || len(raw) != h.SizeBytes() || h.LastOffsetDelta < 0 {
		invariant.Check(false, "append of offsets %d to %d, %d of %d bytes, to a log that ends at %d",
			h.BaseOffset, h.LastOffset(), len(raw), h.SizeBytes(), end)
	}
	if err := l.writable(); err != nil {
		return err
	}
	s, err := l.segmentFor(h, int64(len(raw)))
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNotWritten, err)
	}
	_, position := s.bounds()
	if err := l.write(s, raw, position); err != nil {
		return err
	}
	l.noteInIndexes(s, h, position)
	if !l.appended.Load() {
		l.appended.Store(true)
	}
	l.member.BeginPublish()
	defer l.member.EndPublish()
	s.publish(h.NextOffset(), position+int64(len(raw)))
	l.size.Add(int64(len(raw)))
	l.end.Store(h.NextOffset())
	l.member.Appended(raw)
	return nil
}

// write puts the bytes behind the published ones. If that fails it restores the file's size, so that the log can go
// on, for example when the disk has room again. If that fails, too, the log has failed.
func (l *Log) write(s *segment, raw []byte, position int64) error {
	f, err := s.handle()
	if err != nil {
		return fmt.Errorf("%w: %w", ErrNotWritten, err)
	}
	s.checked.changedNs.Store(writing)
	defer s.checked.noteWrite()
	_, err = f.WriteAt(raw, position)
	if err == nil {
		err = l.faults.Hit(fault.LogWritten, fault.Attributes{})
	}
	if err == nil {
		return nil
	}
	if terr := f.Truncate(position); terr != nil {
		return fmt.Errorf("%w: %w", ErrAppendInDoubt, l.fail(errors.Join(err, terr)))
	}
	return fmt.Errorf("%w: %w", ErrNotWritten, err)
}

// noteInIndexes adds the batch to the segment's indexes where Kafka does (spec: log 5.2, 5.3).
func (l *Log) noteInIndexes(s *segment, h batch.Header, position int64) {
	if position == 0 {
		s.firstTimestampMs = h.MaxTimestampMs
	}
	s.remember(h.BaseOffset, position)
	s.largest.Lock()
	if h.MaxTimestampMs > s.largest.timestampMs {
		s.largest.timestampMs, s.largest.offset = h.MaxTimestampMs, h.LastOffset()
	}
	s.largest.Unlock()
	if s.sinceIndexBytes > int64(l.config.Load().IndexIntervalBytes) {
		s.offsets.add(OffsetIndexEntry{uint32(h.LastOffset() - s.base), uint32(position)})
		s.closeTimes()
		s.sinceIndexBytes = 0
	}
	s.sinceIndexBytes += int64(h.SizeBytes())
	l.noteEpoch(h.LeaderEpoch, h.BaseOffset)
}

// closeTimes adds the segment's largest timestamp to the time index if it is not there yet.
func (s *segment) closeTimes() {
	s.largest.Lock()
	defer s.largest.Unlock()
	if s.largest.timestampMs < 0 {
		return
	}
	entries := s.times.view()
	e := TimeIndexEntry{s.largest.timestampMs, uint32(s.largest.offset - s.base)}
	if n := len(entries); n == 0 || e.TimestampMs > entries[n-1].TimestampMs &&
		e.RelativeOffset > entries[n-1].RelativeOffset {
		s.times.add(e)
	}
}

// segmentFor returns the segment for the batch, after rolling if needed.
func (l *Log) segmentFor(h batch.Header, sizeBytes int64) (*segment, error) {
	segments := l.list()
	if len(segments) == 0 {
		if err := l.createDirectory(); err != nil {
			return nil, err
		}
		return l.roll(nil, h.BaseOffset)
	}
	s := segments[len(segments)-1]
	if l.rollDue(s, h, sizeBytes) {
		return l.roll(s, h.BaseOffset)
	}
	return s, nil
}

// rollDue says whether the batch needs a new segment (spec: log 5.1).
func (l *Log) rollDue(s *segment, h batch.Header, sizeBytes int64) bool {
	_, size := s.bounds()
	if size == 0 {
		return false
	}
	c := l.config.Load()
	waitedMs := h.MaxTimestampMs - s.firstTimestampMs
	if s.firstTimestampMs < 0 {
		waitedMs = l.nowMs() - s.createdMs
	}
	return size > int64(c.SegmentBytes)-sizeBytes ||
		waitedMs > c.SegmentMs-s.jitterMs ||
		len(s.offsets.view()) >= int(c.SegmentIndexBytes)/offsetEntryBytes ||
		len(s.times.view()) >= int(c.SegmentIndexBytes)/timeEntryBytes-1 ||
		h.LastOffset()-s.base > MaxSegmentOffsets-1
}

// createDirectory prepares the first append: it writes the topic ID before any data.
func (l *Log) createDirectory() error {
	if err := l.fs.MkdirAll(l.dir); err != nil {
		return err
	}
	l.member.NewDirectory(true)
	l.member.NewNames()
	return files.Replace(l.fs, l.path(MetadataFile), encodeMetadata(l.topicID))
}

// roll begins a new segment; old is nil for the first one.
func (l *Log) roll(old *segment, base int64) (*segment, error) {
	s := newSegment(l, base)
	f, err := l.fs.Create(s.file(LogSuffix))
	if errors.Is(err, fs.ErrExist) { // an earlier try got this far; nothing was published in it
		if f, err = l.fs.OpenReadWrite(s.file(LogSuffix)); err == nil {
			err = f.Truncate(0)
		}
	}
	if err == nil {
		err = l.faults.Hit(fault.LogRollCreated, fault.Attributes{})
	}
	if err != nil {
		if f != nil {
			f.Close()
		}
		return nil, fmt.Errorf("begin a segment in %s: %w", l.dir, err)
	}
	s.mu.file, s.mu.offsetsReady, s.mu.timesReady = f, true, true
	s.createdMs = l.nowMs()
	s.recent.Store(newRecent())
	l.member.NewNames()
	l.structure.Lock()
	segments := l.list()
	longer := append(segments[:len(segments):len(segments)], s)
	l.segments.Store(&longer)
	if old != nil {
		l.seal(old)
	}
	l.structure.Unlock()
	if old != nil && l.onRoll != nil {
		if err := l.WriteSnapshot(base, l.onRoll(base)); err != nil {
			l.logger.Warn("producer snapshot not written; the next start replays more", "dir", l.dir, "offset", base,
				"error", err)
		}
	}
	return s, l.faults.Hit(fault.LogRollPublished, fault.Attributes{})
}

// seal finishes a segment that gets no more batches. Its indexes are derived, so an error in writing them only makes
// the next start slower.
func (l *Log) seal(s *segment) {
	s.closeTimes()
	s.recent.Store(nil)
	if err := s.flushIndexes(); err != nil {
		l.logger.Warn("index not written; it will be made anew when needed", "file", s.file(IndexSuffix), "error", err)
	}
	s.thinIndexes()
}
