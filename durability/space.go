package durability

import (
	"fmt"
	"sync/atomic"
)

// space says whether clients may write. When the disk is full, transactions have to be ended all the
// same, offsets committed, topics deleted, and the next start has things to write: what the reserve is for.
type space struct {
	credit atomic.Int64 // bytes that may be admitted before the next look
	full   atomic.Bool
}

// Admit asks for a client's append of so many bytes. ErrDiskFull says that it would go into the reserve.
// The broker's own records need not ask. There is nothing to wait for when space comes back: the next
// one that asks is admitted.
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
	// A part of what is left, because others who ask at this moment get theirs on top.
	b.space.credit.Store(min(b.o.Sizes.AdmitBytes, left/8))
	return nil
}
