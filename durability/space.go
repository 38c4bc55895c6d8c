package durability

import (
	"fmt"
	"sync/atomic"
)

// space says whether clients may write. Even on a full disk transactions must end, offsets be committed, topics be
// deleted, and the next start must write: the reserve is for these.
type space struct {
	credit atomic.Int64 // bytes that may be admitted before the next look
	full   atomic.Bool
}

// Admit asks for room for a client's append of this size. ErrDiskFull: it would use the reserve. The broker's own
// records need not ask. Nothing is to be done when space comes back: the next append is admitted.
func (b *Barrier) Admit(sizeBytes int) error {
	if b == nil || b.o.ReserveBytes <= 0 || b.space.credit.Add(-int64(sizeBytes)) >= 0 {
		return nil
	}
	free, err := b.o.FS.FreeBytes(b.o.Dir)
	if err != nil {
		return fmt.Errorf("%w of %s: %w", ErrSpaceUnknown, b.o.Dir, err)
	}
	left := free - b.o.ReserveBytes - int64(sizeBytes)
	full := left < 0
	if b.space.full.Swap(full) != full {
		b.o.Logger.Warn("free space of the data directory", "full", full,
			"free_bytes", free, "reserve_bytes", b.o.ReserveBytes)
	}
	if full {
		b.space.credit.Store(0)
		return fmt.Errorf("%w: %d bytes are free in %s, of which %d are reserved",
			ErrDiskFull, free, b.o.Dir, b.o.ReserveBytes)
	}
	// A part of the rest only, because concurrent callers get theirs on top.
	b.space.credit.Store(min(b.o.Sizes.AdmitBytes, left/8))
	return nil
}
