package inspect

import (
	"errors"
	"io/fs"

	"once/internal/files"
	"once/log"
	"once/log/batch"
)

// indexes compares the offset and the time index of a segment with its batches. Both are derived: an error in them
// makes the next start slower at most.
type indexes struct {
	p       *partitionCheck
	s       *segmentFile
	offsets []log.OffsetIndexEntry // those not passed yet
	times   []log.TimeIndexEntry
	largest int64 // timestamp up to here
	// The positions in their files of the first of offsets and times.
	offsetsAt, timesAt int64
}

func newIndexes(p *partitionCheck, s *segmentFile) *indexes {
	x := &indexes{p: p, s: s, largest: batch.NoTimestampMs}
	if s.swap {
		return x
	}
	if b := x.read(log.IndexSuffix); b != nil {
		entries, whole := log.DecodeOffsetIndex(b)
		if x.offsets = entries; !whole {
			x.wrong(log.IndexSuffix, "is not a whole number of entries")
		}
	}
	if b := x.read(log.TimeIndexSuffix); b != nil {
		entries, whole := log.DecodeTimeIndex(b)
		if x.times = entries; !whole {
			x.wrong(log.TimeIndexSuffix, "is not a whole number of entries")
		}
	}
	return x
}

func (x *indexes) read(suffix string) []byte {
	name := log.FileName(x.s.base, suffix)
	b, err := files.ReadSmall(x.p.c.fs, x.p.c.path(x.p.name, name))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		x.p.find(Warning, name, -1, "cannot be read: %v; the file can be deleted", err)
	}
	return b
}

// Sizes of the entries (spec: log 5).
const (
	offsetEntryBytes = 8
	timeEntryBytes   = 12
)

// wrong reports an index once, at the present entry, and skips the rest of it.
func (x *indexes) wrong(suffix, format string, args ...any) {
	position := x.offsetsAt
	if suffix == log.IndexSuffix {
		x.offsets = nil
	} else {
		position, x.times = x.timesAt, nil
	}
	if !x.p.broken {
		x.p.find(x.p.derived(), log.FileName(x.s.base, suffix), position, format+"; derived, the file can be deleted",
			args...)
	}
}

func (x *indexes) batch(h batch.Header, position int64) {
	x.largest = max(x.largest, h.MaxTimestampMs)
	if len(x.offsets) > 0 {
		e := x.offsets[0]
		switch at, offset := int64(e.Position), x.s.base+int64(e.RelativeOffset); {
		case at > position:
		case at < position:
			x.wrong(log.IndexSuffix, "entry of offset %d points to byte %d, where no batch begins", offset, at)
		case offset != h.LastOffset():
			x.wrong(log.IndexSuffix, "entry of offset %d points to byte %d, where the batch of offsets %d to %d begins", offset,
				at, h.BaseOffset, h.LastOffset())
		default:
			x.offsets = x.offsets[1:]
			x.offsetsAt += offsetEntryBytes
		}
	}
	if len(x.times) > 0 {
		e := x.times[0]
		switch offset := x.s.base + int64(e.RelativeOffset); {
		case offset > h.LastOffset():
		case offset < h.LastOffset():
			x.wrong(log.TimeIndexSuffix, "entry of offset %d, where no batch ends", offset)
		case e.TimestampMs != h.MaxTimestampMs || e.TimestampMs != x.largest:
			x.wrong(log.TimeIndexSuffix, "entry of offset %d has timestamp %d; the batch has %d, the largest up to it is %d",
				offset, e.TimestampMs, h.MaxTimestampMs, x.largest)
		default:
			x.times = x.times[1:]
			x.timesAt += timeEntryBytes
		}
	}
}

// finish is called when a segment was read to its end.
func (x *indexes) finish() {
	if len(x.offsets) > 0 {
		x.wrong(log.IndexSuffix, "%d entries point behind the end of the segment", len(x.offsets))
	}
	if len(x.times) > 0 {
		x.wrong(log.TimeIndexSuffix, "%d entries are of offsets behind the end of the segment", len(x.times))
	}
}
