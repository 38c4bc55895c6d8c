package partition

import (
	"fmt"

	"once/durability"
	"once/log"
)

// Image is a copy of a partition's log in progress. Until End the partition is not compacted and no segments are
// deleted; appends and reads go on.
type Image struct {
	partition *Partition
	noted     *log.Noted
}

// BeginImage begins a copy; the caller ends it with End. A partition that is offline cannot be copied.
func (p *Partition) BeginImage() (*Image, error) {
	p.tidying.Lock()
	p.mu.Lock()
	defer p.mu.Unlock()
	err := p.mu.offline
	if err != nil {
		err = p.offlineErrorLocked()
	} else if err = p.log.PrepareImage(); err != nil {
		err = p.failLocked(fmt.Errorf("copying %s: %w", p.id, err))
	}
	if err != nil {
		p.tidying.Unlock()
		return nil, err
	}
	return &Image{partition: p}, nil
}

// Note notes the content to copy. It is called while no append is published; see durability.Barrier.AtOneInstant.
func (i *Image) Note() { i.noted = i.partition.log.Note() }

// CopyTo makes the partition's directory in another data directory, and returns its state for the barrier record there.
// Damage that the copy meets takes nothing offline: a start of the copy finds it.
func (i *Image) CopyTo(dataDir string) (state durability.StateOf, sizeBytes int64, err error) {
	if err := i.noted.CopyTo(dataDir); err != nil {
		return state, 0, fmt.Errorf("copying %s: %w", i.partition.id, err)
	}
	return i.noted.State(), i.noted.SizeBytes(), nil
}

// End allows compaction and deletion again.
func (i *Image) End() { i.partition.tidying.Unlock() }
