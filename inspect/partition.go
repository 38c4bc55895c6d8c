package inspect

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"path"
	"strings"

	"once/durability"
	"once/internal/files"
	"once/log"
	"once/log/batch"
	"once/log/salvage"
	"once/topics"
)

// partitionCheck checks one partition's directory. It reads the batches once, from the first segment to the point where
// the next start will end the log, and compares all derived files with them.
type partitionCheck struct {
	c           *checker
	name        string // of the directory: topic-index
	topic       string
	index       int32
	stored      *topics.Stored // nil when the metadata cannot be read
	topicID     [16]byte
	compacted   bool
	known       bool // the barrier record has it
	recovery    durability.Recovery
	names       []string
	segments    []segmentFile
	logStart    int64
	next        int64 // offset that is due
	atPoint     int64 // position of the recovery point in pointFile; -1 until it is reached
	pointFile   string
	ended       bool // the rest is what recovery will cut
	broken      bool // batches are missing or damaged: what follows from all of them cannot be judged
	gapAt       int64
	leaderEpoch int32
	epochs      []log.LeaderEpochStart
	replay      *replay
	// once something was found to be damaged
	repair *salvage.Repair
	visit  func(p *partitionCheck, h batch.Header, r batch.Record, position int64) // records of internal topics
}

func newPartitionCheck(c *checker, name string) *partitionCheck {
	p := &partitionCheck{c: c, name: name, atPoint: -1, gapAt: -1, leaderEpoch: -1}
	p.topic, p.index, _ = splitPartition(name)
	if p.stored = c.topics[p.topic]; p.stored != nil {
		p.topicID, p.compacted = p.stored.ID, isCompacted(p.stored)
	}
	if c.barrier != nil {
		e, ok := c.barrier.Entries[name]
		p.known = ok && (p.stored == nil || e.TopicID == p.topicID)
		if p.stored == nil {
			p.topicID = e.TopicID
			if !ok {
				p.topicID = c.journaledID(name)
			}
		}
		p.recovery = c.barrier.Recovery(name, p.topicID, c.o.BootID, c.journaled)
		if p.known {
			p.compacted = p.recovery.Gaps
		}
	}
	switch p.topic {
	case topics.TransactionState:
		p.visit = c.txns.record
	case topics.ConsumerOffsets:
		p.visit = c.groups.record
	case topics.ShareGroupState:
		p.visit = c.shares.record
	}
	p.replay = newReplay(p)
	return p
}

// journaledID is the topic ID of a log that is only in the journal.
func (c *checker) journaledID(name string) (id [16]byte) {
	for _, j := range c.journaled {
		if j.DirBase == name {
			id = j.TopicID // the last one counts
		}
	}
	return id
}

func (p *partitionCheck) file(name string) string { return path.Join(p.name, name) }

// find reports a finding in a file of the directory, "" for the directory itself.
func (p *partitionCheck) find(s Severity, file string, position int64, format string, args ...any) {
	p.c.find(s, p.file(file), position, p.name, format, args...)
}

// derived is the severity of a wrong derived file that the next start notices: a note after an unclean stop, because
// derived files are not synced.
func (p *partitionCheck) derived() Severity {
	if p.recovery.Clean {
		return Warning
	}
	return Note
}

func (p *partitionCheck) run() (err error) {
	p.names, err = p.c.fs.List(p.c.path(p.name))
	if err != nil && !(errors.Is(err, fs.ErrNotExist) && len(p.recovery.Journaled) > 0) {
		return err
	}
	p.c.report.Counters.Partitions++
	p.identity()
	p.leftovers()
	if p.segments, err = listSegments(p.c.fs, p.c.path(p.name), p.names); err != nil {
		return err
	}
	if len(p.segments) == 0 && len(p.recovery.Journaled) > 0 { // the directory's names were lost
		p.segments = []segmentFile{p.journalAsSegment()}
	}
	if len(p.segments) == 0 {
		if p.recovery.RecoveryPoint > p.recovery.StartOffset {
			p.broken = true
			p.c.txns.unknown(p)
			p.find(Damage, "", -1, "no segment; offsets %d to %d were stored", p.recovery.StartOffset,
				p.recovery.RecoveryPoint-1)
			p.adviseRepair()
		}
		return nil
	}
	if rp := p.recovery.RecoveryPoint; p.recovery.Cut && p.segments[0].base > rp && rp == p.recovery.StartOffset {
		p.next = rp
		p.cut(0, nil, "the machine went down, and the first segment was lost", true)
		if len(p.recovery.Journaled) == 0 {
			p.c.ends[p.name] = p.next
			return nil
		}
		p.segments = []segmentFile{p.journalAsSegment()}
	}
	p.begin()
	for i := range p.segments {
		if p.ended || p.segments[i].journal {
			break
		}
		if err := p.segment(i); err != nil {
			return err
		}
	}
	if !p.broken {
		p.journaled()
	}
	p.end()
	return nil
}

// journalAsSegment stands for the log's batches in the journal, as a file to name in findings.
func (p *partitionCheck) journalAsSegment() segmentFile {
	first := p.recovery.Journaled[0]
	return segmentFile{name: path.Join("..", durability.JournalFile), base: first.Header.BaseOffset, journal: true}
}

// isJournaled says whether the batch at r equals that of the journal: then it stays, although the log is cut.
func (p *partitionCheck) isJournaled(r *batchReader) bool {
	for _, j := range p.recovery.Journaled {
		if j.Header.BaseOffset == p.next {
			there, err := r.bytes(len(j.Raw))
			return err == nil && bytes.Equal(there, j.Raw)
		}
	}
	return false
}

// journaled continues with the batches that the next start appends from the journal.
func (p *partitionCheck) journaled() {
	if p.next < p.recovery.RecoveryPoint {
		return // end says so
	}
	for _, j := range p.recovery.Journaled {
		if j.Header.NextOffset() <= p.next {
			continue
		}
		s := p.journalAsSegment()
		if j.Header.BaseOffset != p.next {
			p.broken = true
			p.find(Damage, s.name, j.Position, "batch of offsets %d to %d, %d is due", j.Header.BaseOffset,
				j.Header.LastOffset(), p.next)
			return
		}
		if _, err := batch.Verify(j.Raw); err != nil {
			p.broken = true
			p.find(Damage, s.name, j.Position, "batch of offset %d: %v", p.next, err)
			return
		}
		p.batch(&s, &batchReader{header: j.Header, raw: j.Raw, position: j.Position})
		p.next = j.Header.NextOffset()
	}
}

// identity compares the topic ID in the directory with the metadata's; another one has been reported.
func (p *partitionCheck) identity() {
	b, err := files.ReadSmall(p.c.fs, p.c.path(p.name, log.MetadataFile))
	if err == nil {
		_, err = log.DecodeMetadata(b)
	}
	severity := Damage
	if p.recovery.RecoveryPoint <= p.recovery.StartOffset || errors.Is(err, fs.ErrNotExist) {
		severity = p.derived() // the next start writes it anew
	}
	if err != nil {
		p.find(severity, log.MetadataFile, -1, "identity cannot be read: %v", err)
	}
	if p.known && p.stored != nil && p.c.barrier.Entries[p.name].TopicID != p.topicID {
		p.c.find(Warning, p.c.barrier.File, -1, p.name, "entry is of another topic id than %x", p.topicID)
	}
}

// leftovers reports files that are no part of the log.
func (p *partitionCheck) leftovers() {
	for _, name := range p.names {
		_, suffix, ok := log.ParseFileName(name)
		switch {
		case name == log.MetadataFile, name == log.EpochCheckpointFile, name == log.TxnCheckpointFile,
			name == log.CleanCheckpointFile:
		case isSwap(name):
			p.find(Note, name, -1, "takes the place of the segments that compaction made it of, at the next start")
		case ok && suffix == log.BelowSuffix:
			p.find(Note, name, -1, "segments below this offset are being deleted; the next start ends that")
		case strings.HasSuffix(name, log.TmpSuffix), strings.HasSuffix(name, log.KeptSuffix),
			strings.HasSuffix(name, log.CleanedSuffix):
			p.find(Note, name, -1, "left by a write that was interrupted; the next start removes it")
		case ok && suffix == log.RepairedSuffix:
			p.find(Note, name, -1, "what a repair that was interrupted keeps of a damaged segment; the next start puts it in "+
				"its place")
		case ok && strings.HasPrefix(suffix, log.DamagedInfix):
			st, _ := p.c.fs.Stat(p.c.path(p.name, name))
			p.find(Note, name, -1, "%d bytes: a damaged segment that a repair has moved aside", st.SizeBytes)
		case ok && strings.HasPrefix(suffix, log.TornInfix):
			st, _ := p.c.fs.Stat(p.c.path(p.name, name))
			p.find(Note, name, -1, "%d bytes that an earlier start took out of the log", st.SizeBytes)
			p.c.txns.torn = p.c.txns.torn || p.topic == topics.TransactionState && st.SizeBytes > 0
		case ok && (suffix == log.LogSuffix || suffix == log.IndexSuffix || suffix == log.TimeIndexSuffix ||
			suffix == log.TxnIndexSuffix || suffix == log.SnapshotSuffix):
		default:
			p.find(Note, name, -1, "not a file of the log's")
		}
	}
}

func isSwap(name string) bool {
	_, _, ok := log.ParseSwapName(name)
	return ok
}

// begin finds the start of the log.
func (p *partitionCheck) begin() {
	first := &p.segments[0]
	p.logStart, p.next = max(p.recovery.StartOffset, first.base), first.base
	if p.known && first.base > p.recovery.StartOffset && p.recovery.RecoveryPoint > p.recovery.StartOffset {
		p.broken = true
		p.find(Damage, first.name, 0, "first segment begins at offset %d; offsets from %d on were stored", first.base,
			p.recovery.StartOffset)
	}
	p.replay.begin()
}

// segment reads one segment.
func (p *partitionCheck) segment(i int) error {
	s := &p.segments[i]
	if !p.continues(i) {
		return nil
	}
	f, err := p.c.fs.OpenRead(p.c.path(p.name, s.name))
	if err != nil {
		return err
	}
	defer f.Close()
	p.c.report.Counters.Segments++
	p.c.report.Counters.Bytes += s.sizeBytes
	if s.sizeBytes > log.MaxSegmentBytes {
		p.find(Damage, s.name, log.MaxSegmentBytes, "longer than any segment can be")
	}
	r := newBatchReader(f, s.sizeBytes)
	indexes := newIndexes(p, s)
	for !p.ended {
		if p.next == p.recovery.RecoveryPoint && p.atPoint < 0 {
			p.atPoint, p.pointFile = r.at, s.name
		}
		if p.recovery.Cut && p.next >= p.recovery.RecoveryPoint && !p.isJournaled(r) {
			p.cut(i, r, "the machine went down; all logs go back to the last barrier", true)
			break
		}
		was := r.at
		err := r.next()
		var bad *badBatch
		switch {
		case err == io.EOF:
			indexes.finish()
			return nil
		case errors.As(err, &bad):
			if !p.badBatch(i, r, bad) {
				return nil
			}
		case err != nil:
			return err
		case p.splitLeftover(i, r):
			return nil
		case p.due(i, r):
			indexes.batch(r.header, r.position)
			p.batch(s, r)
			p.next = r.header.NextOffset()
		}
		p.c.progress.add(r.at-was, p.name)
	}
	return nil
}

// continues says whether a segment follows the one before it.
func (p *partitionCheck) continues(i int) bool {
	s := &p.segments[i]
	if i == 0 || s.base == p.next {
		return true
	}
	if p.above() {
		p.cut(i, nil, fmt.Sprintf("segment begins at offset %d, %d is due", s.base, p.next), false)
		return false
	}
	if s.base > p.next && p.compacted {
		p.gapAt, p.next = p.next, s.base
		return true
	}
	p.broken = true
	if s.base < p.next {
		p.find(Damage, s.name, 0, "segment begins at offset %d, but the one before it ends at %d", s.base, p.next)
	} else {
		p.find(Damage, s.name, 0, "offsets %d to %d are missing before this segment", p.next, s.base-1)
	}
	p.next = s.base
	return true
}

// above says whether the next offset is above the recovery point, after an unclean stop.
func (p *partitionCheck) above() bool {
	return !p.recovery.Clean && p.next >= p.recovery.RecoveryPoint
}

// badBatch handles bytes that are no batch. It returns whether reading can continue after them.
func (p *partitionCheck) badBatch(i int, r *batchReader, bad *badBatch) bool {
	if p.above() {
		p.cut(i, r, bad.cause.Error(), bad.torn)
		return false
	}
	p.broken = true
	s := &p.segments[i]
	if r := p.repairOf(s.name); r != nil && r.ByCleaner {
		p.find(Damage, s.name, bad.position, "the log cleaner of a version from c59de1e to 5d94261 (2026-11-22 to "+
			"2026-11-29) destroyed this segment; "+
			"%d batches in it are still whole, and %q keeps them", r.Batches(), p.c.repairCommand())
		p.next = p.segments[i+1].base
		return false
	}
	p.find(Damage, s.name, bad.position, "offset %d is due: %v", p.next, bad.cause)
	before := int64(math.MaxInt64)
	if i+1 < len(p.segments) {
		before = p.segments[i+1].base
	}
	if !r.skip(p.next, before) {
		p.find(Note, s.name, bad.position, "the rest of the segment, %d bytes, is not looked at", s.sizeBytes-bad.position)
		if i+1 < len(p.segments) {
			p.next = p.segments[i+1].base // do not report the same again as a gap
		} else {
			p.ended = true
		}
		return false
	}
	if head, err := r.bytes(batch.HeaderSizeBytes); err == nil {
		if h, err := batch.ParseHeader(head); err == nil {
			p.next = h.BaseOffset
		}
	}
	return true
}

// cut reports the bytes that the next start truncates, from r on, or a whole segment.
func (p *partitionCheck) cut(i int, r *batchReader, why string, expected bool) {
	p.ended = true
	at := int64(0)
	s := &p.segments[i]
	zero := false
	if r != nil {
		at = r.at
		allZero, _ := files.AllZero(r.file, at, s.sizeBytes) // false with an error
		zero = i == len(p.segments)-1 && allZero
	}
	bytes := s.sizeBytes - at
	for _, later := range p.segments[i+1:] {
		bytes += later.sizeBytes
	}
	switch {
	case bytes == 0:
	case zero:
		p.find(Note, s.name, at, "the next start drops %d zero bytes above the last barrier: never written", bytes)
	case expected, p.c.barrier != nil && p.c.barrier.BootID != p.c.o.BootID:
		p.find(Note, s.name, at, "the next start cuts %d bytes above the last barrier, from offset %d on: %s", bytes, p.next,
			why)
	default:
		p.c.txns.torn = p.c.txns.torn || p.topic == topics.TransactionState
		p.find(Warning, s.name, at, "the next start cuts %d bytes above the last barrier, from offset %d on, although the "+
			"machine has not been down: %s", bytes, p.next, why)
	}
}

// splitLeftover says whether r has reached bytes that an interrupted recovery has already copied to the next segment,
// and that the next start removes here.
func (p *partitionCheck) splitLeftover(i int, r *batchReader) bool {
	if p.recovery.Clean || i+1 == len(p.segments) || p.segments[i+1].base != p.recovery.RecoveryPoint ||
		r.header.BaseOffset < p.recovery.RecoveryPoint {
		return false
	}
	p.find(Note, p.segments[i].name, r.position,
		"the next start removes %d bytes, which an interrupted one has copied to the next segment",
		p.segments[i].sizeBytes-r.position)
	return true
}

// due says whether the present batch continues the log.
func (p *partitionCheck) due(i int, r *batchReader) bool {
	h, s := r.header, &p.segments[i]
	inRange := h.LastOffsetDelta >= 0 && h.NextOffset()-s.base <= log.MaxSegmentOffsets
	switch {
	case inRange && h.BaseOffset == p.next:
	case p.above():
		r.at = r.position
		p.cut(i, r, fmt.Sprintf("batch of offsets %d to %d, %d is due", h.BaseOffset, h.LastOffset(), p.next), false)
		return false
	case !inRange, h.BaseOffset < p.next:
		p.broken = true
		p.find(Damage, s.name, r.position, "batch of offsets %d to %d, %d is due", h.BaseOffset, h.LastOffset(), p.next)
		return false
	case p.compacted && i < len(p.segments)-1 && h.NextOffset() > p.segments[i+1].base:
		p.broken = true
		p.find(Damage, s.name, r.position, "batch of offsets %d to %d in a segment that ends at offset %d", h.BaseOffset,
			h.LastOffset(), p.segments[i+1].base)
		return false
	case p.compacted && i < len(p.segments)-1: // the segment being written is never compacted
		p.gapAt = p.next
	default:
		p.broken = true
		p.find(Damage, s.name, r.position, "offsets %d to %d are missing: this batch has offsets %d to %d", p.next,
			h.BaseOffset-1, h.BaseOffset, h.LastOffset())
	}
	if rp := p.recovery.RecoveryPoint; h.BaseOffset < rp && rp < h.NextOffset() {
		p.find(Damage, s.name, r.position, "batch of offsets %d to %d lies across the recovery point %d", h.BaseOffset,
			h.LastOffset(), rp)
	}
	return true
}

// end checks the log as a whole.
func (p *partitionCheck) end() {
	last := &p.segments[len(p.segments)-1]
	rp := p.recovery.RecoveryPoint
	switch {
	case p.broken:
	case p.next < rp:
		p.broken = true
		p.find(Damage, last.name, last.sizeBytes, "log ends at offset %d, but everything below %d was stored", p.next, rp)
	case p.recovery.Clean && p.next > rp:
		p.find(Damage, p.pointFile, p.atPoint, "log goes on from offset %d to %d, but the clean stop left it ending here", rp,
			p.next-1)
	}
	p.c.ends[p.name] = p.next
	if p.topic == topics.TransactionState && p.gapAt >= 0 {
		p.c.txns.compacted = true // also where nothing stands behind the gap
	}
	p.leaderEpochs()
	p.replay.end()
	if p.broken {
		p.find(Note, "", -1, "producers, transactions and what is derived are not judged further, because batches are "+
			"missing or damaged")
		p.adviseRepair()
	}
}
