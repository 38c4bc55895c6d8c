package log

import (
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"math"

	"once/internal/files"
	"once/log/batch"
)

// Dirtiness says how much of a log is not compacted yet (spec: log 10).
type Dirtiness struct {
	DirtyStart        int64 // first offset not compacted
	Limit             int64 // first offset that must not be compacted yet
	CleanBytes        int64
	CleanableBytes    int64 // from DirtyStart to Limit
	OldestTimestampMs int64 // of the first batch to clean; -1 if there is none or it has none
}

// Ratio is the share of bytes not compacted yet.
func (d Dirtiness) Ratio() float64 {
	if d.CleanableBytes == 0 {
		return 0
	}
	return float64(d.CleanableBytes) / float64(d.CleanBytes+d.CleanableBytes)
}

// Dirtiness counts whole segments below limit that a barrier has covered and that are older than minLagMs. The active
// segment is never counted.
func (l *Log) Dirtiness(limit, nowMs, minLagMs int64) (Dirtiness, error) {
	segments := l.list()
	d := Dirtiness{DirtyStart: l.dirtyStart(), OldestTimestampMs: -1}
	for i, s := range segments[:max(len(segments)-1, 0)] {
		end, size := s.bounds()
		if end > limit || !l.covered(s) {
			break
		}
		if minLagMs > 0 {
			largestMs, err := l.largestTimestamp(s)
			if err != nil {
				return d, err
			}
			if largestMs > nowMs-minLagMs {
				break
			}
		}
		d.Limit = segments[i+1].base
		if end <= d.DirtyStart {
			d.CleanBytes += size
			continue
		}
		if d.CleanableBytes == 0 && size > 0 {
			oldestMs, err := s.firstTimestamp()
			if err != nil {
				return d, err
			}
			d.OldestTimestampMs = oldestMs
		}
		d.CleanableBytes += size
	}
	return d, nil
}

func (s *segment) firstTimestamp() (int64, error) {
	if !s.acquire() {
		return -1, nil
	}
	defer s.release()
	f, err := s.handle()
	if err != nil {
		return 0, err
	}
	h, err := s.headerAt(f, 0)
	return h.MaxTimestampMs, err
}

// dirtyStart reads the checkpoint once. An impossible offset counts as no checkpoint.
func (l *Log) dirtyStart() int64 {
	l.cleanedTo.Lock()
	defer l.cleanedTo.Unlock()
	if !l.cleanedTo.known && len(l.list()) > 0 {
		l.cleanedTo.known = true
		l.cleanedTo.offset = l.readCleanCheckpoint()
	}
	if offset := l.cleanedTo.offset; offset >= l.start.Load() && offset <= l.end.Load() {
		return offset
	}
	return l.start.Load()
}

func (l *Log) readCleanCheckpoint() int64 {
	b, err := files.ReadSmall(l.fs, l.path(CleanCheckpointFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		l.logger.Warn("how far the log is compacted is not known; it is compacted from the start", "dir", l.dir, "error", err)
	}
	var version int
	var offset int64
	if _, err := fmt.Sscanf(string(b), "%d\n%d\n", &version, &offset); err != nil ||
		string(b) != string(encodeCleanCheckpoint(offset)) {
		return -1
	}
	return offset
}

func encodeCleanCheckpoint(offset int64) []byte {
	b := fmt.Appendf(nil, "0\n%d\n", offset)
	return fmt.Appendf(b, "%08x\n", crc32.Checksum(b, castagnoli))
}

func (l *Log) setCleaned(offset int64) {
	l.cleanedTo.Lock()
	l.cleanedTo.known, l.cleanedTo.offset = true, offset
	l.cleanedTo.Unlock()
	if err := files.Replace(l.fs, l.path(CleanCheckpointFile), encodeCleanCheckpoint(offset)); err != nil {
		l.logger.Warn("how far the log is compacted is not written; the next start compacts more", "dir", l.dir, "error", err)
	}
}

// CleanOptions are the options of a pass.
type CleanOptions struct {
	// Limit comes from a Dirtiness whose limit was the last stable offset: every transaction with data below it
	// has ended.
	Limit             int64
	NowMs             int64
	DeleteRetentionMs int64 // how long tombstones and markers stay
	MapBytes          int64 // memory for keys; the pass ends where it is full
	Producers         map[int64]LastOfProducer
	SegmentBytes      int64 // largest segment to write; 0: what a segment can hold
	// Exclusively runs a function while no append runs.
	Exclusively func(func())
	// Stopped is called between batches; true ends the pass.
	Stopped func() bool
}

// Cleaned is the result of a pass.
type Cleaned struct {
	DirtyStart, End          int64 // range of the keys; the next pass begins at End
	ReadBytes, WrittenBytes  int64 // of the segments read for keys or replaced
	Segments, SegmentsBefore int   // after and before
	Keys                     int
}

// Clean compacts the log below o.Limit once (spec: log 10): of each key it keeps the last record that is not in an
// aborted transaction, at its offset. Readers see the same before, during and after. It waits for a barrier first,
// because a power cut must not undo the end of a transaction whose data the pass removed. One call at a time, not
// beside DeleteSegments; Close and Remove only after it. After an error, and when stopped, the segments replaced so
// far stay replaced.
func (l *Log) Clean(ctx context.Context, o CleanOptions) (Cleaned, error) {
	if err := errors.Join(l.writable(), l.uncleanable); err != nil {
		return Cleaned{}, err
	}
	records := 1
	if !l.gaps.Swap(true) && l.member != nil {
		// A start must know that offsets may be missing, even if it cannot read the newest of the two records.
		records = 2
		l.member.Changed()
	}
	for range records {
		if err := l.member.Checkpoint(ctx); err != nil {
			return Cleaned{}, err
		}
	}
	if err := l.FinishCleaning(o.Exclusively); err != nil {
		return Cleaned{}, err
	}
	orDefault(&o.SegmentBytes, MaxSegmentBytes)
	c := cleaner{log: l, CleanOptions: o}
	largest := int64(0)
	for _, s := range l.list() {
		if s.base < o.Limit {
			c.segments = append(c.segments, s)
			_, sizeBytes := s.bounds()
			largest = max(largest, sizeBytes)
		}
	}
	if len(c.segments) == 0 || len(c.segments) == len(l.list()) {
		return Cleaned{}, nil
	}
	c.buf = make([]byte, 0, min(int64(l.sizes.CleanBufferBytes), largest))
	if err := c.readKeys(); err != nil {
		return c.report, err
	}
	if err := c.rewrite(ctx); err != nil {
		if errors.Is(err, files.ErrNotAsWritten) {
			l.uncleanable = err
			l.member.NotAsWritten()
		}
		return c.report, err
	}
	l.setCleaned(c.report.End)
	return c.report, nil
}

// cleaner is the state of one pass.
type cleaner struct {
	CleanOptions
	log      *Log
	segments []*segment // below Limit, all that a pass may rewrite
	keys     *keyMap
	report   Cleaned
	buf      []byte
}

// readKeys fills the map with the keys of records that are not compacted yet, until it is full.
func (c *cleaner) readKeys() error {
	l := c.log
	c.report.DirtyStart = l.dirtyStart()
	c.report.End = c.Limit
	var records, most int64
	err := l.scanHeaders(c.report.DirtyStart, c.Limit, func(h batch.Header, _ func() ([]byte, error)) error {
		// The checksum of this batch has not been checked yet, but the offsets are in order.
		n := min(max(int64(h.RecordCount), 0), int64(h.LastOffsetDelta)+1)
		records += n
		most = max(most, n)
		if c.Stopped() {
			return errStopped
		}
		return nil
	})
	if err != nil {
		return err
	}
	c.keys = newKeyMap(records, most, c.MapBytes)
	txns := newTxnWalk(l.AbortedBetween(c.report.DirtyStart, math.MaxInt64))
	for _, s := range c.segments {
		if end, _ := s.bounds(); end <= c.report.DirtyStart {
			continue
		}
		err := s.eachBatch(&c.buf, c.Stopped, func(h batch.Header, raw []byte) error {
			if h.LastOffset() < c.report.DirtyStart {
				return nil
			}
			return c.readKeysOf(h, raw, txns)
		})
		if errors.Is(err, errStop) {
			break
		}
		if err != nil {
			return err
		}
	}
	c.report.Keys = c.keys.used
	return nil
}

func (c *cleaner) readKeysOf(h batch.Header, raw []byte, txns *txnWalk) error {
	if h.IsControl() {
		txns.addMarker(h)
		return nil
	}
	if txns.addData(h) {
		return nil
	}
	if !c.keys.hasRoom(h.RecordCount) {
		c.report.End = h.BaseOffset
		return errStop
	}
	for r, err := range batch.Records(raw, c.log.inflatedBytes) {
		if err != nil {
			return err
		}
		if offset := h.BaseOffset + int64(r.OffsetDelta); r.Key != nil && offset >= c.report.DirtyStart {
			c.keys.put(r.Key, offset)
		}
	}
	return nil
}

// rewrite puts every segment from the log's first to the end of the map through the recordFilter.
func (c *cleaner) rewrite(ctx context.Context) error {
	l := c.log
	n := 0
	for n < len(c.segments) && c.segments[n].base < c.report.End {
		n++
	}
	end := c.Limit
	if n < len(c.segments) {
		end = c.segments[n].base
	}
	segments := c.segments[:n]
	s := &recordFilter{
		keys: c.keys, mapEnd: c.report.End, roundEnd: end, nowMs: c.NowMs, deleteHorizonMs: c.NowMs + c.DeleteRetentionMs,
		producers: c.Producers, gone: map[int64]struct{}{}, inflatedBytes: l.inflatedBytes,
	}
	if n > 0 {
		s.txns = newTxnWalk(l.AbortedBetween(segments[0].base, math.MaxInt64))
	}
	var waiting int64
	groups := l.groups(segments, end)
	for i, group := range groups {
		groupEnd := end
		if i+1 < len(groups) {
			groupEnd = groups[i+1][0].base
		}
		written, err := c.rewriteGroup(group, groupEnd, s)
		if err != nil {
			return err
		}
		c.report.SegmentsBefore += len(group)
		c.report.Segments++
		if waiting += written; waiting > l.sizes.CleanReplacedBytes {
			if err := c.finish(ctx); err != nil {
				return err
			}
			waiting = 0
		}
	}
	return c.finish(ctx)
}

// finish removes the replaced segments, after a barrier that no longer refers to them.
func (c *cleaner) finish(ctx context.Context) error {
	if len(c.log.swaps) == 0 {
		return nil
	}
	if err := c.log.member.Checkpoint(ctx); err != nil {
		return err
	}
	return c.log.FinishCleaning(c.Exclusively)
}

func (c *cleaner) rewriteGroup(group []*segment, end int64, s *recordFilter) (written int64, err error) {
	l := c.log
	out := l.newCleaned(group[0], c.SegmentBytes)
	defer func() {
		if err != nil {
			out.discard()
		}
	}()
	clear(s.gone)
	for i, source := range group {
		if i > 0 && out.same {
			if err := out.begin(); err != nil {
				return 0, err
			}
		}
		err := source.eachBatch(&c.buf, c.Stopped, func(h batch.Header, raw []byte) error {
			c.report.ReadBytes += int64(len(raw))
			left, err := s.filterBatch(h, raw)
			if err != nil {
				return err
			}
			return out.add(raw, left)
		})
		if err != nil {
			return 0, err
		}
	}
	if out.same {
		return 0, nil
	}
	if err := out.finish(end); err != nil {
		return 0, err
	}
	c.report.WrittenBytes += out.size
	return out.size, l.replaceGroup(group, out, end, s.gone, c.Exclusively)
}

// IsUncleanable says whether a pass ended because a segment that it wrote was something else when read back. Nothing
// was replaced; no pass replaces anything in this log until the next start.
func IsUncleanable(err error) bool { return errors.Is(err, files.ErrNotAsWritten) }

// IsStopped says whether a pass ended because Stopped said so.
func IsStopped(err error) bool { return errors.Is(err, errStopped) || errors.Is(err, context.Canceled) }
