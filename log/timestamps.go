package log

import (
	"errors"
	"fmt"
	"sort"

	"once/internal/vfs"
	"once/log/batch"
)

// TimestampOffset is the timestamp and the offset of a record.
type TimestampOffset struct {
	TimestampMs, Offset int64
	LeaderEpoch         int32
}

// OffsetForTimestamp finds the first record at or after StartOffset and below limit whose timestamp is at least
// targetMs (spec: log 5.5). Markers count. found is false when there is none below limit.
func (l *Log) OffsetForTimestamp(targetMs, limit int64) (at TimestampOffset, found bool, err error) {
	start := l.start.Load()
	for from := start; from < min(limit, l.end.Load()); {
		s := l.acquireAt(from)
		if s == nil {
			break
		}
		end, _ := s.bounds()
		at, found, err = s.firstSince(targetMs, max(from, start))
		s.release()
		if err != nil || found {
			return at, found && at.Offset < limit, err
		}
		from = max(end, from+1)
	}
	return TimestampOffset{}, false, nil
}

// firstSince finds the first record of the segment at or after an offset with at least this timestamp.
func (s *segment) firstSince(targetMs, from int64) (at TimestampOffset, found bool, err error) {
	times, err := s.timeIndex()
	if err != nil {
		return TimestampOffset{}, false, err
	}
	s.largest.Lock()
	largest := s.largest.timestampMs
	s.largest.Unlock()
	if largest < targetMs {
		return TimestampOffset{}, false, nil
	}
	// Nothing before the batch of the last entry at or below the target can have a larger timestamp.
	i := sort.Search(len(times), func(i int) bool { return times[i].TimestampMs > targetMs })
	begin := from
	if i > 0 {
		begin = max(begin, s.base+int64(times[i-1].RelativeOffset))
	}
	_, size := s.bounds()
	err = s.within(begin, size, func(s *segment, f vfs.File, start, end int64) error {
		w := newWalker(s, f, start, end)
		defer w.close()
		for w.next() {
			if w.header.MaxTimestampMs < targetMs || w.header.LastOffset() < from {
				continue
			}
			at, found, err = s.recordSince(f, w.at, w.header, targetMs, from)
			if found || err != nil {
				return err
			}
		}
		return w.err
	})
	return at, found, err
}

// recordSince searches one batch.
func (s *segment) recordSince(f vfs.File, at int64, h batch.Header, targetMs,
	from int64) (TimestampOffset, bool, error) {
	raw := make([]byte, h.SizeBytes())
	if err := s.readBatch(f, raw, at); err != nil {
		return TimestampOffset{}, false, err
	}
	for r, err := range batch.Records(raw, s.inflatedBytes) {
		if errors.Is(err, batch.ErrTooLarge) { // a limit of ours, not damage
			return TimestampOffset{}, false, fmt.Errorf("look into the batch at byte %d of %s: %w", at, s.file(LogSuffix), err)
		}
		if err != nil {
			return TimestampOffset{}, false, s.damaged(at, err)
		}
		offset, timestampMs := h.BaseOffset+int64(r.OffsetDelta), h.TimestampMs(r)
		if timestampMs >= targetMs && offset >= from {
			return TimestampOffset{TimestampMs: timestampMs, Offset: offset, LeaderEpoch: h.LeaderEpoch}, true, nil
		}
	}
	return TimestampOffset{}, false, nil
}

// MaxTimestamp returns the largest timestamp in the log and the first record that has it, in the
// earliest batch that has it (ListOffsets -3, spec: log 5.5).
func (l *Log) MaxTimestamp() (at TimestampOffset, found bool, err error) {
	var best *segment
	var bestOffset int64
	timestampMs := int64(noBatches)
	for _, s := range l.list() {
		if !s.acquire() {
			continue
		}
		_, err := s.timeIndex()
		s.release()
		if err != nil {
			return TimestampOffset{}, false, err
		}
		s.largest.Lock()
		if s.largest.timestampMs > timestampMs {
			best, timestampMs, bestOffset = s, s.largest.timestampMs, s.largest.offset
		}
		s.largest.Unlock()
	}
	if best == nil || !best.acquire() {
		return TimestampOffset{}, false, nil
	}
	defer best.release()
	_, size := best.bounds()
	err = best.within(bestOffset, size, func(s *segment, f vfs.File, start, _ int64) error {
		h, err := s.headerAt(f, start)
		if err != nil {
			return err
		}
		at, found, err = s.recordSince(f, start, h, timestampMs, 0)
		return err
	})
	return at, found, err
}
