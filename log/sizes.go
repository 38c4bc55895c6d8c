package log

import "once/log/batch"

// Sizes are the thresholds of this package: how much it reads, writes, copies or keeps in memory at once. They change
// no answer, and in files only where segments end. Zero means the default, which suits a broker; tests use small
// ones, so that their data exceeds each of them.
type Sizes struct {
	ScanBytes          int   // one read of whole batches: in a scan, recovery, the check before a fetch
	WalkBytes          int   // one read of a walk over the headers of small batches; at least a header
	PeekBytes          int   // one read of a walk over batches larger than WalkBytes; at least a header
	PredecessorBytes   int   // largest batch that is read to find out which of two is the damaged one
	CopyBytes          int   // one step of a copy from file to file
	IndexGapBytes      int64 // how far before its segment's end an index may end without being completed
	SealedIndexEntries int   // most entries of a sealed segment's index that stay in memory
	FlushIndexEntries  int   // a barrier writes this many index entries or more
	CleanBufferBytes   int   // one read and one write of the cleaner
	CleanReplacedBytes int64 // the cleaner may store this much twice before it asks for a barrier
	ImageRollBytes     int64 // an active segment of this size is sealed for an image, and shared
}

// The defaults of Sizes.
const (
	scanBytes          = 256 << 10
	walkBytes          = 8 << 10
	peekBytes          = 256
	predecessorBytes   = 256 << 20
	copyBytes          = 1 << 20
	indexGapBytes      = 64 << 10 // recovery reads this much quickly
	sealedIndexEntries = 32768    // one for each 32 KiB of a segment of 1 GiB
	flushIndexEntries  = 64       // fewer are not worth a system call
	cleanBufferBytes   = 1 << 20
	cleanReplacedBytes = 1 << 28
	imageRollBytes     = 1 << 20 // copying less is cheaper than a new segment
)

// The limits of a segment.
const (
	MaxSegmentBytes   = 1<<31 - 1 // positions are int32 in Kafka's index
	MaxSegmentOffsets = 1 << 31   // relative offsets are int32 in Kafka's index
)

var defaultSizes = Sizes{}.withDefaults()

func (s Sizes) withDefaults() Sizes {
	orDefault(&s.ScanBytes, scanBytes)
	orDefault(&s.WalkBytes, walkBytes)
	orDefault(&s.PeekBytes, peekBytes)
	orDefault(&s.PredecessorBytes, predecessorBytes)
	orDefault(&s.CopyBytes, copyBytes)
	orDefault(&s.IndexGapBytes, indexGapBytes)
	orDefault(&s.SealedIndexEntries, sealedIndexEntries)
	orDefault(&s.FlushIndexEntries, flushIndexEntries)
	orDefault(&s.CleanBufferBytes, cleanBufferBytes)
	orDefault(&s.CleanReplacedBytes, cleanReplacedBytes)
	orDefault(&s.ImageRollBytes, imageRollBytes)
	s.ScanBytes = min(s.ScanBytes, scanBytes) // buffers are shared with logs of other sizes
	s.WalkBytes = min(max(s.WalkBytes, batch.HeaderSizeBytes), walkBytes)
	s.PeekBytes = min(max(s.PeekBytes, batch.HeaderSizeBytes), walkBytes)
	return s
}

func orDefault[N int | int64](n *N, value N) {
	if *n <= 0 {
		*n = value
	}
}
