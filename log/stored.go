package log

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"io/fs"
	"path"

	"once/internal/files"
	"once/internal/vfs"
)

// What follows is for tools that read the data directory of a stopped broker. Nothing here opens a log or writes.

// The suffixes of the files of a partition's directory, and the files with a fixed name.
const (
	LogSuffix       = suffixLog
	IndexSuffix     = suffixIndex
	TimeIndexSuffix = suffixTimeIndex
	TxnIndexSuffix  = suffixTxnIndex
	SnapshotSuffix  = suffixSnapshot
	KeptSuffix      = suffixKept
	TmpSuffix       = files.TmpSuffix
	TornInfix       = ".torn-"
	DeleteSuffix    = suffixDelete
	StraySuffix     = "-stray"

	BelowSuffix    = suffixBelow
	CleanedSuffix  = suffixCleaned
	RepairedSuffix = suffixRepaired
	DamagedInfix   = infixDamaged

	CleanCheckpointFile = cleanCheckpointFile
	MetadataFile        = metadataFile
	EpochCheckpointFile = epochCheckpointFile
	TxnCheckpointFile   = txnCheckpointFile

	// MaxSegmentBytes and MaxSegmentOffsets are the limits of a segment.
	MaxSegmentBytes   = maxSegmentBytes
	MaxSegmentOffsets = maxSegmentOffsets
)

// ParseFileName splits `00000000000000000042.log` into 42 and `.log`.
func ParseFileName(name string) (offset int64, suffix string, ok bool) { return parseName(name) }

// ParseSwapName splits the name of a segment that the next start puts in the place of all those from base up to end;
// see Log.FinishCleaning.
func ParseSwapName(name string) (base, end int64, ok bool) {
	sw, ok := parseSwap(name)
	return sw.base, sw.end, ok
}

// FileName is the name of a file that belongs to an offset.
func FileName(offset int64, suffix string) string { return stem(offset) + suffix }

// IsLogDirectory says whether a name in the data directory is that of a partition.
func IsLogDirectory(name string) bool { return isLogDirectory(name) }

// DecodeMetadata reads partition.metadata.
func DecodeMetadata(b []byte) (topicID [16]byte, err error) { return decodeMetadata(b) }

// LeaderEpochStart is a leader epoch and the offset of its first batch.
type LeaderEpochStart struct {
	LeaderEpoch int32
	StartOffset int64
}

// DecodeEpochs reads leader-epoch-checkpoint.
func DecodeEpochs(b []byte) ([]LeaderEpochStart, error) {
	entries, err := decodeEpochs(b)
	starts := make([]LeaderEpochStart, len(entries))
	for i, e := range entries {
		starts[i] = LeaderEpochStart{e.leaderEpoch, e.startOffset}
	}
	return starts, err
}

// OffsetIndexEntry is the last offset of a batch, relative to the segment, and the position of that batch.
type OffsetIndexEntry struct{ RelativeOffset, Position uint32 }

// DecodeOffsetIndex reads an .index file; whole is false if bytes are left over.
func DecodeOffsetIndex(b []byte) (entries []OffsetIndexEntry, whole bool) {
	for ; len(b) >= offsetEntryBytes; b = b[offsetEntryBytes:] {
		entries = append(entries, OffsetIndexEntry{binary.BigEndian.Uint32(b), binary.BigEndian.Uint32(b[4:])})
	}
	return entries, len(b) == 0
}

// TimeIndexEntry is the largest timestamp up to a batch, and its last offset relative to the segment.
type TimeIndexEntry struct {
	TimestampMs    int64
	RelativeOffset uint32
}

// DecodeTimeIndex reads a .timeindex file; whole is false if bytes are left over.
func DecodeTimeIndex(b []byte) (entries []TimeIndexEntry, whole bool) {
	for ; len(b) >= timeEntryBytes; b = b[timeEntryBytes:] {
		entries = append(entries, TimeIndexEntry{int64(binary.BigEndian.Uint64(b)), binary.BigEndian.Uint32(b[8:])})
	}
	return entries, len(b) == 0
}

// DecodeTxnIndex reads a .txnindex file of a segment. The error describes the first bad entry; the entries before it
// are returned.
func DecodeTxnIndex(b []byte, baseOffset int64) ([]AbortedTxn, error) {
	whole := len(b) / abortedEntryBytes * abortedEntryBytes
	for n := whole; ; n -= abortedEntryBytes {
		entries, err := decodeAborted(b[:n], baseOffset)
		if err != nil && n > 0 {
			continue
		}
		if n < len(b) {
			_, err = decodeAborted(b, baseOffset)
		}
		return entries, err
	}
}

// TxnCheckpoint is the content of txnindex-checkpoint.
type TxnCheckpoint struct {
	CompleteTo int64 // offset: all aborted transactions with a marker below are in the files
	Segments   []TxnCheckpointSegment
}

// TxnCheckpointSegment is the file of one segment.
type TxnCheckpointSegment struct {
	BaseOffset, Entries int64
	CRC                 uint32
}

// Holds says whether the bytes of a .txnindex file begin with the entries of the checkpoint.
func (s TxnCheckpointSegment) Holds(b []byte) bool {
	return s.Entries >= 0 && s.Entries <= int64(len(b)/abortedEntryBytes) &&
		crc32.Checksum(b[:s.Entries*abortedEntryBytes], castagnoli) == s.CRC
}

// ReadTxnCheckpoint reads the txnindex-checkpoint of a partition's directory; found is false when there
// is none.
func ReadTxnCheckpoint(f vfs.FS, dir string) (c TxnCheckpoint, found bool, err error) {
	b, err := files.ReadSmall(f, path.Join(dir, txnCheckpointFile))
	if errors.Is(err, fs.ErrNotExist) {
		return c, false, nil
	}
	if err != nil {
		return c, true, err
	}
	d, err := decodeTxnCheckpoint(b)
	c.CompleteTo = d.completeTo
	for _, s := range d.segments {
		c.Segments = append(c.Segments, TxnCheckpointSegment{s.base, s.entries, s.crc})
	}
	return c, true, err
}
