package log

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"path"
	"sync"
	"sync/atomic"

	"once/internal/files"
	"once/internal/invariant"
	"once/internal/vfs"
	"once/log/batch"
)

// recentBatches is the number of the newest batches that a reader finds without reading the file.
const recentBatches = 32

// segment is one file of batches. Bytes below the published size never change; only the log's writer moves that size.
// Every reader holds a reference, which keeps the file open even after the segment has left the log.
type segment struct {
	fs            vfs.FS // immutable, as are the next five
	dir           string
	base          int64 // offset
	sizes         *Sizes
	inflatedBytes int          // Options.InflatedBytes
	gaps          *atomic.Bool // the log's

	published atomic.Uint64 // end offset relative to base << 32 | size in bytes: one word, so they agree
	refs      atomic.Int64  // one of the log's, one of each reader
	// recent holds relative base offset << 32 | position of the newest batches, in no order. A reader at the end of
	// the log finds its position here without reading the file. Nil in sealed segments.
	recent   atomic.Pointer[[recentBatches]atomic.Uint64]
	appended uint64 // batches, by the writer

	synced  atomic.Int64 // bytes known to be on disk; moved by the barrier
	checked checked

	mu struct {
		sync.Mutex
		file         vfs.File // opened when first needed
		offsetsReady bool
		timesReady   bool
	}
	offsets growing[OffsetIndexEntry]
	times   growing[TimeIndexEntry]

	largest struct {
		sync.Mutex
		timestampMs int64 // -1 when no batch has one
		offset      int64 // last offset of the batch that brought it
	}
	flushed struct { // how many entries the index files hold
		sync.Mutex
		offsets, times int
	}

	// Fields that only the writer touches.
	firstTimestampMs int64 // max timestamp of the first batch
	sinceIndexBytes  int64
	createdMs        int64
	jitterMs         int64                 // by which it rolls before Config.SegmentMs
	txnFile          *TxnCheckpointSegment // what the .txnindex file holds, nil when not known
}

func newSegment(l *Log, base int64) *segment {
	s := &segment{fs: l.fs, dir: l.dir, base: base, sizes: l.sizes, inflatedBytes: l.inflatedBytes, gaps: &l.gaps,
		firstTimestampMs: batch.NoTimestampMs, jitterMs: rand.Int64N(max(1, l.config.Load().SegmentJitterMs))}
	s.largest.timestampMs = batch.NoTimestampMs
	s.refs.Store(1)
	s.checked.noteWrite()
	return s
}

func (s *segment) file(suffix string) string { return path.Join(s.dir, stem(s.base)+suffix) }

// bounds returns the end offset and the size as of one append.
func (s *segment) bounds() (endOffset, sizeBytes int64) {
	p := s.published.Load()
	return s.base + int64(p>>32), int64(uint32(p))
}

func (s *segment) publish(endOffset, sizeBytes int64) {
	if endOffset < s.base || endOffset-s.base > MaxSegmentOffsets || sizeBytes > MaxSegmentBytes {
		invariant.Check(false, "segment %d cannot end at offset %d, byte %d", s.base, endOffset, sizeBytes)
	}
	s.published.Store(uint64(endOffset-s.base)<<32 | uint64(sizeBytes))
}

// remember adds a batch to recent, before it is published.
func (s *segment) remember(baseOffset, position int64) {
	if r := s.recent.Load(); r != nil {
		r[s.appended%recentBatches].Store(uint64(baseOffset-s.base)<<32 | uint64(position))
		s.appended++
	}
}

// recall returns the position of the batch that starts at exactly this offset, if recent has it.
func (s *segment) recall(baseOffset int64) (int64, bool) {
	r := s.recent.Load()
	if r == nil || baseOffset <= s.base {
		return 0, false // an unset slot is 0: the segment's first batch is found by the index anyway
	}
	relative := uint64(baseOffset - s.base)
	for i := range r {
		if v := r[i].Load(); v>>32 == relative {
			return int64(uint32(v)), true
		}
	}
	return 0, false
}

// acquire takes a reference; false when the segment is already gone.
func (s *segment) acquire() bool {
	for {
		n := s.refs.Load()
		if n == 0 {
			return false
		}
		if s.refs.CompareAndSwap(n, n+1) {
			return true
		}
	}
}

// release drops a reference; the last one closes the file.
func (s *segment) release() {
	switch n := s.refs.Add(-1); {
	case n > 0:
		return
	case n < 0:
		invariant.Check(false, "segment %d released once too often", s.base)
	}
	s.closeFile()
}

// closeFile closes the file until handle opens it again. Nobody else may use it meanwhile.
func (s *segment) closeFile() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.mu.file != nil {
		s.mu.file.Close()
		s.mu.file = nil
	}
}

// handle returns the open file; the caller holds a reference.
func (s *segment) handle() (vfs.File, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.handleLocked()
}

func (s *segment) handleLocked() (vfs.File, error) {
	if s.mu.file == nil {
		f, err := s.fs.OpenReadWrite(s.file(LogSuffix))
		if err != nil {
			return nil, err
		}
		s.mu.file = f
	}
	return s.mu.file, nil
}

func (s *segment) damaged(position int64, cause error) error {
	return &files.DamagedError{File: s.file(LogSuffix), Position: position, Cause: cause}
}

// missing returns the error for stored offsets that are not in the file.
func (s *segment) missing(position, from, to int64) error {
	return s.damaged(position, fmt.Errorf("offsets %d to %d are missing", from, to-1))
}

// index returns the offset index, loading it when needed. Missing entries are made anew from the batches' headers.
func (s *segment) index() ([]OffsetIndexEntry, error) {
	if err := s.load(&s.mu.offsetsReady, s.loadOffsetsLocked); err != nil {
		return nil, err
	}
	return s.offsets.view(), nil
}

// timeIndex is like index, for the time index. After it largest is known.
func (s *segment) timeIndex() ([]TimeIndexEntry, error) {
	if err := s.load(&s.mu.timesReady, s.loadTimesLocked); err != nil {
		return nil, err
	}
	return s.times.view(), nil
}

func (s *segment) load(ready *bool, load func() error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if *ready {
		return nil
	}
	if err := load(); err != nil {
		return err
	}
	*ready = true
	return nil
}

// loadOffsetsLocked reads the index file. If the segment reaches further than Sizes.IndexGapBytes beyond its last
// entry, entries may be missing and the index is completed. That is harmless if there is just one large batch.
func (s *segment) loadOffsetsLocked() error {
	end, size := s.bounds()
	if size <= s.sizes.IndexGapBytes { // not worth a file
		s.offsets.reset(nil)
		return nil
	}
	b, err := files.ReadSmall(s.fs, s.file(IndexSuffix))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	entries := decodeOffsets(b, size, end-s.base)
	entries = entries[:s.usableEntriesLocked(entries)]
	from := int64(0)
	if n := len(entries); n > 0 {
		from = int64(entries[n-1].Position)
	}
	if size-from > s.sizes.IndexGapBytes {
		if entries, err = s.completeOffsetsLocked(entries, from, size); err != nil {
			return err
		}
	}
	s.offsets.reset(thin(entries, s.sizes.SealedIndexEntries))
	return nil
}

// usableEntriesLocked returns how many of the entries to keep: all if the last one matches a batch of the file, else
// none.
func (s *segment) usableEntriesLocked(entries []OffsetIndexEntry) int {
	n := len(entries)
	if n == 0 || s.matchesLocked(entries[n-1]) {
		return n
	}
	return 0
}

func (s *segment) matchesLocked(e OffsetIndexEntry) bool {
	f, err := s.handleLocked()
	if err != nil {
		return false
	}
	var head [batch.HeaderSizeBytes]byte
	if _, err := f.ReadAt(head[:], int64(e.Position)); err != nil {
		return false
	}
	h, err := batch.ParseHeader(head[:])
	return err == nil && h.LastOffset() == s.base+int64(e.RelativeOffset)
}

func (s *segment) completeOffsetsLocked(entries []OffsetIndexEntry, from, size int64) ([]OffsetIndexEntry, error) {
	f, err := s.handleLocked()
	if err != nil {
		return nil, err
	}
	w := newWalker(s, f, from, size)
	defer w.close()
	last := from
	for w.next() {
		if w.at-last > defaultIndexIntervalBytes {
			last = w.at
			entries = append(entries, OffsetIndexEntry{uint32(w.header.LastOffset() - s.base), uint32(w.at)})
		}
	}
	return entries, w.err
}

func (s *segment) loadTimesLocked() error {
	end, size := s.bounds()
	if !s.mu.offsetsReady { // before anything is appended, which adds to both
		if err := s.loadOffsetsLocked(); err != nil {
			return err
		}
		s.mu.offsetsReady = true
	}
	if size <= s.sizes.IndexGapBytes {
		return s.completeTimesLocked(nil, 0, size)
	}
	b, err := files.ReadSmall(s.fs, s.file(TimeIndexSuffix))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	entries := decodeTimes(b, end-s.base)
	from, ok := s.positionOfTimeLocked(entries, size)
	if !ok {
		entries, from = nil, 0
	}
	return s.completeTimesLocked(entries, from, size)
}

// positionOfTimeLocked finds the batch of the last entry; false if it does not match the entry.
func (s *segment) positionOfTimeLocked(entries []TimeIndexEntry, size int64) (int64, bool) {
	if len(entries) == 0 {
		return 0, true
	}
	f, err := s.handleLocked()
	if err != nil {
		return 0, false
	}
	last := entries[len(entries)-1]
	w := newWalker(s, f, floorPosition(s.offsets.view(), int64(last.RelativeOffset)), size)
	defer w.close()
	for w.next() {
		if w.header.LastOffset() >= s.base+int64(last.RelativeOffset) {
			return w.at, w.header.LastOffset() == s.base+int64(last.RelativeOffset) &&
				w.header.MaxTimestampMs == last.TimestampMs
		}
	}
	return 0, false
}

// completeTimesLocked reads the headers from a position on and adds entries for larger timestamps.
func (s *segment) completeTimesLocked(entries []TimeIndexEntry, from, size int64) error {
	f, err := s.handleLocked()
	if err != nil {
		return err
	}
	largest, offset := int64(batch.NoTimestampMs), int64(0)
	if n := len(entries); n > 0 {
		largest, offset = entries[n-1].TimestampMs, s.base+int64(entries[n-1].RelativeOffset)
	}
	noted, last := largest, from
	w := newWalker(s, f, from, size)
	defer w.close()
	for w.next() {
		if w.header.MaxTimestampMs > largest {
			largest, offset = w.header.MaxTimestampMs, w.header.LastOffset()
		}
		if w.at-last > defaultIndexIntervalBytes && largest > noted {
			noted, last = largest, w.at
			entries = append(entries, TimeIndexEntry{largest, uint32(offset - s.base)})
		}
	}
	if w.err != nil {
		return w.err
	}
	s.times.reset(thin(entries, s.sizes.SealedIndexEntries))
	s.largest.Lock()
	s.largest.timestampMs, s.largest.offset = largest, offset
	s.largest.Unlock()
	return nil
}

// dropIndexes drops a loaded index with a wrong entry; the next use makes it anew from the batches.
func (s *segment) dropIndexes() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, size := s.bounds()
	entries, err := s.completeOffsetsLocked(nil, 0, size)
	if err != nil {
		return err
	}
	s.offsets.reset(entries)
	return s.completeTimesLocked(nil, 0, size)
}

// floorPosition is the position at which the search for an offset begins.
func floorPosition(entries []OffsetIndexEntry, relative int64) int64 {
	if i := atOrBefore(entries, relative); i > 0 {
		return int64(entries[i-1].Position)
	}
	return 0
}

// readFull reads exactly len(b) bytes that the segment has published.
func (s *segment) readFull(f vfs.File, b []byte, position int64) error {
	n, err := f.ReadAt(b, position)
	if n == len(b) {
		return nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		return s.damaged(position+int64(n), fmt.Errorf("file ends before byte %d", position+int64(len(b))))
	}
	return err
}

// readBatch is like readFull, for one whole batch, which it verifies.
func (s *segment) readBatch(f vfs.File, raw []byte, position int64) error {
	if err := s.readFull(f, raw, position); err != nil {
		return err
	}
	if _, err := batch.Verify(raw); err != nil {
		return s.damaged(position, err)
	}
	return nil
}

func newRecent() *[recentBatches]atomic.Uint64 { return new([recentBatches]atomic.Uint64) }
