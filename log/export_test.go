package log

import (
	"once/internal/files"
	"once/internal/vfs"
)

// What tests outside of the package use of its inside.
const (
	ScanBytes        = scanBytes
	RecentBatches    = recentBatches
	OffsetEntryBytes = offsetEntryBytes
	TimeEntryBytes   = timeEntryBytes
)

var (
	ErrTooLarge     = errTooLarge
	ErrNotAsWritten = files.ErrNotAsWritten

	EncodeOffsets = encodeOffsets
	EncodeTimes   = encodeTimes
	EncodeAborted = encodeAborted
	EncodeEpochs  = encodeEpochs
	Stem          = stem
)

func (c TxnCheckpoint) Encode() []byte { return c.encode() }

type Segment = segment

func (l *Log) Segments() []*Segment { return l.list() }

// AllowGaps is what a first pass of the cleaner does.
func (l *Log) AllowGaps() { l.gaps.Store(true) }

func (s *segment) Base() int64                          { return s.base }
func (s *segment) File(suffix string) string            { return s.file(suffix) }
func (s *segment) Bounds() (endOffset, sizeBytes int64) { return s.bounds() }
func (s *segment) IndexEntries() int                    { return len(s.offsets.view()) }

// ForgetIfChanged looks whether another process has changed the file, and returns how many parts are to be verified.
func (s *segment) ForgetIfChanged(f vfs.File) (unverified int, err error) {
	_, size := s.bounds()
	err = s.checked.forgetIfChanged(f, size)
	return len(s.checked.unverified(0, size)), err
}

// OwnFrom is the position from which on this process has written the file.
func (s *segment) OwnFrom() int64 { return s.checked.mu.ownFrom }
