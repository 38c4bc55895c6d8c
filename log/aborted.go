package log

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"math"
	"sort"
	"strings"

	"once/internal/files"
	"once/internal/vfs"
)

// abortedEntryBytes is the size of an entry of .txnindex: version 0 and four int64.
const abortedEntryBytes = 34

// AbortedTxn is one aborted transaction that had data in this partition (spec: log 5.4).
type AbortedTxn struct {
	ProducerID       int64
	FirstOffset      int64 // of its first data batch here
	LastOffset       int64 // of its marker
	LastStableOffset int64 // right after the marker
}

// AppendAborted adds an aborted transaction, after its marker has been appended. Entries come in the order of
// their markers; one that is already there is ignored, so a replay may repeat them. It is kept in memory until the
// next snapshot, roll or close writes it.
func (l *Log) AppendAborted(a AbortedTxn) error {
	if err := l.writable(); err != nil {
		return err
	}
	list := l.aborted.Load()
	if list == nil {
		list = &growing[AbortedTxn]{}
		l.aborted.Store(list)
	}
	if e := list.view(); len(e) > 0 && a.LastOffset <= e[len(e)-1].LastOffset {
		return nil
	}
	list.add(a)
	return nil
}

func (l *Log) abortedView() []AbortedTxn {
	if list := l.aborted.Load(); list != nil {
		return list.view()
	}
	return nil
}

// AbortedBetween returns the aborted transactions that a read_committed reader of the batches from fetchOffset
// up to upper needs, in marker order. The result is shared: do not change it.
func (l *Log) AbortedBetween(fetchOffset, upper int64) []AbortedTxn {
	all := l.abortedView()
	i := sort.Search(len(all), func(i int) bool { return all[i].LastOffset >= fetchOffset })
	var found []AbortedTxn
	for _, a := range all[i:] {
		if a.FirstOffset < upper {
			found = append(found, a)
		}
		if a.LastStableOffset >= upper {
			break
		}
	}
	return found
}

func encodeAborted(entries []AbortedTxn) []byte {
	b := make([]byte, 0, len(entries)*abortedEntryBytes)
	for _, a := range entries {
		b = binary.BigEndian.AppendUint16(b, 0)
		for _, v := range [...]int64{a.ProducerID, a.FirstOffset, a.LastOffset, a.LastStableOffset} {
			b = binary.BigEndian.AppendUint64(b, uint64(v))
		}
	}
	return b
}

func decodeAborted(b []byte, baseOffset int64) ([]AbortedTxn, error) {
	if len(b)%abortedEntryBytes != 0 {
		return nil, errors.New("not a whole number of entries")
	}
	entries := make([]AbortedTxn, 0, len(b)/abortedEntryBytes)
	last := baseOffset - 1
	for ; len(b) > 0; b = b[abortedEntryBytes:] {
		if v := binary.BigEndian.Uint16(b); v != 0 {
			return nil, fmt.Errorf("entry of version %d", v)
		}
		at := func(i int) int64 { return int64(binary.BigEndian.Uint64(b[2+8*i:])) }
		a := AbortedTxn{at(0), at(1), at(2), at(3)}
		if a.LastOffset <= last || a.FirstOffset > a.LastOffset {
			return nil, fmt.Errorf("entry of offsets %d to %d after offset %d", a.FirstOffset, a.LastOffset, last)
		}
		last = a.LastOffset
		entries = append(entries, a)
	}
	return entries, nil
}

// TxnCheckpoint is the content of txnindex-checkpoint.
//
// A missing .txnindex file means that nothing was aborted in the segment, or that the file was deleted. In the
// second case readers of committed data would see aborted records. txnindex-checkpoint tells the two cases apart: it
// says up to which offset the files are complete, and for each segment how many entries its file has, and their
// CRC-32C:
//
//	0                       version
//	120 2                   complete up to offset 120; 2 lines follow
//	0 3 9a8b7c6d            segment base, entries, checksum
//	64 0 00000000
//	5d41402a                checksum of everything above
//
// Snapshots above the complete part are hidden, so that the partition replays the log from an older snapshot and
// calls AppendAborted again. The part ends at 0 without a checkpoint, else where the first file differs from it.
type TxnCheckpoint struct {
	CompleteTo int64 // offset: all aborted transactions with a marker below are in the files
	Segments   []TxnCheckpointSegment
}

// TxnCheckpointSegment describes the .txnindex file of one segment.
type TxnCheckpointSegment struct {
	BaseOffset, Entries int64
	CRC                 uint32
}

// Holds says whether the bytes of a .txnindex file begin with the entries of the checkpoint.
func (s TxnCheckpointSegment) Holds(b []byte) bool {
	return s.Entries >= 0 && s.Entries <= int64(len(b)/abortedEntryBytes) &&
		crc32.Checksum(b[:s.Entries*abortedEntryBytes], castagnoli) == s.CRC
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// endOf returns the offset below which all markers of the i-th segment lie.
func (c TxnCheckpoint) endOf(i int) int64 {
	if i+1 < len(c.Segments) {
		return c.Segments[i+1].BaseOffset
	}
	return c.CompleteTo
}

func (c TxnCheckpoint) encode() []byte {
	b := fmt.Appendf(nil, "0\n%d %d\n", c.CompleteTo, len(c.Segments))
	for _, s := range c.Segments {
		b = fmt.Appendf(b, "%d %d %08x\n", s.BaseOffset, s.Entries, s.CRC)
	}
	return fmt.Appendf(b, "%08x\n", crc32.Checksum(b, castagnoli))
}

func decodeTxnCheckpoint(b []byte) (TxnCheckpoint, error) {
	var c TxnCheckpoint
	const crcLine = 9
	if len(b) < crcLine || string(b[len(b)-crcLine:]) != fmt.Sprintf("%08x\n",
		crc32.Checksum(b[:len(b)-crcLine], castagnoli)) {
		return c, errCheckpoint
	}
	lines := strings.Split(string(b[:len(b)-crcLine]), "\n")
	if len(lines) < 3 || lines[0] != "0" {
		return c, errCheckpoint
	}
	var count int
	if _, err := fmt.Sscanf(lines[1], "%d %d", &c.CompleteTo, &count); err != nil || count != len(lines)-3 {
		return c, errCheckpoint
	}
	for _, line := range lines[2 : 2+count] {
		var s TxnCheckpointSegment
		if _, err := fmt.Sscanf(line, "%d %d %x", &s.BaseOffset, &s.Entries, &s.CRC); err != nil {
			return c, errCheckpoint
		}
		c.Segments = append(c.Segments, s)
	}
	return c, nil
}

// writeAborted writes the .txnindex files and then the checkpoint. AppendAborted must have been called for
// everything with a marker below completeTo. A log that never had an aborted transaction writes the checkpoint only.
func (l *Log) writeAborted(completeTo int64) error {
	all := l.abortedView()
	c := TxnCheckpoint{CompleteTo: completeTo}
	segments := l.list()
	for i, s := range segments {
		entries := abortedOf(all, s.base, nextBase(segments, i))
		written, err := s.writeTxnIndex(entries)
		if err != nil {
			return err
		}
		c.Segments = append(c.Segments, written)
	}
	return files.Replace(l.fs, l.path(TxnCheckpointFile), c.encode())
}

// writeTxnIndex makes the segment's file hold exactly these entries. The content of files that this process wrote
// or checked is remembered, so that a log of many segments does not read them all.
func (s *segment) writeTxnIndex(entries []AbortedTxn) (TxnCheckpointSegment, error) {
	if s.txnFile != nil && s.txnFile.Entries == int64(len(entries)) {
		return *s.txnFile, nil
	}
	b := encodeAborted(entries)
	is := TxnCheckpointSegment{s.base, int64(len(entries)), crc32.Checksum(b, castagnoli)}
	if len(b) == 0 {
		if err := s.fs.Remove(s.file(TxnIndexSuffix)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return is, err
		}
	} else if err := files.Replace(s.fs, s.file(TxnIndexSuffix), b); err != nil {
		return is, err
	}
	s.txnFile = &is
	return is, nil
}

// abortedOf returns the entries whose marker lies in [base, end).
func abortedOf(all []AbortedTxn, base, end int64) []AbortedTxn {
	i := sort.Search(len(all), func(i int) bool { return all[i].LastOffset >= base })
	j := sort.Search(len(all), func(i int) bool { return all[i].LastOffset >= end })
	return all[i:j]
}

func nextBase(segments []*segment, i int) int64 {
	if i+1 < len(segments) {
		return segments[i+1].base
	}
	return math.MaxInt64
}

// loadAborted reads the .txnindex files as far as they are complete, and returns the offset at which that part ends.
func (l *Log) loadAborted(end int64) (completeTo int64, err error) {
	segments := l.list()
	if len(segments) == 0 {
		return end, nil
	}
	completeTo = segments[0].base
	b, err := files.ReadSmall(l.fs, l.path(TxnCheckpointFile))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return completeTo, err
	}
	c, err := decodeTxnCheckpoint(b)
	if err != nil {
		return completeTo, nil
	}
	stale := c.CompleteTo > end // it describes batches that were truncated
	list := &growing[AbortedTxn]{}
	loaded := make(map[int64]*segment, len(segments))
	for _, s := range segments {
		loaded[s.base] = s
	}
	for i, s := range c.Segments {
		if c.endOf(i) <= completeTo {
			continue // the segment was deleted since
		}
		b, err := files.ReadSmall(l.fs, l.fileOf(s.BaseOffset, TxnIndexSuffix))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return completeTo, err
		}
		var entries []AbortedTxn
		holds := s.Holds(b)
		if holds {
			entries, err = decodeAborted(b[:s.Entries*abortedEntryBytes], s.BaseOffset)
		}
		if !holds || err != nil {
			c.CompleteTo = min(c.CompleteTo, s.BaseOffset)
			break
		}
		if of := loaded[s.BaseOffset]; of != nil && len(b) == len(entries)*abortedEntryBytes {
			of.txnFile = &s
		}
		for _, a := range entries {
			if a.LastOffset < min(end, c.CompleteTo) {
				list.add(a)
			}
		}
	}
	l.aborted.Store(list)
	completeTo = max(completeTo, min(c.CompleteTo, end))
	if !stale {
		return completeTo, nil
	}
	l.member.NewNames()
	if err := l.writeAborted(completeTo); !errors.Is(err, vfs.ErrNoSpace) {
		return completeTo, err
	}
	return completeTo, l.fs.Remove(l.path(TxnCheckpointFile)) // a missing one is as good
}
