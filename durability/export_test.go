package durability

import (
	"encoding/binary"
	"slices"

	"once/internal/vfs"
)

// What tests of barriers over real logs look at.

const (
	JournalPageBytes  = journalPageBytes
	JournalGroupBytes = journalGroupBytes
	MaxUnsyncedBytes  = maxUnsyncedBytes
)

func SlotName(sequence uint64) string { return slotName(sequence) }

// Sequence is the number of the newest record.
func (b *Barrier) Sequence() uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.mu.record.Sequence
}

// RecoveryPoint is what the newest record says of a log.
func (b *Barrier) RecoveryPoint(dirBase string) int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.mu.record.Entries[dirBase].RecoveryPoint
}

// RecoveryPoints are those of all logs as of one record.
func (b *Barrier) RecoveryPoints() map[string]int64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return pointsOf(&b.mu.record)
}

// RecordBytes is the size of the newest record.
func (b *Barrier) RecordBytes() int {
	b.mu.Lock()
	defer b.mu.Unlock()
	return len(b.mu.record.encode())
}

// Done is the newest generation that is durable.
func (b *Barrier) Done() uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.mu.done
}

// Next is closed when the barrier that begins next has ended.
func (b *Barrier) Next() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.mu.next
}

// Arm makes a barrier run within the interval, as for another log.
func (b *Barrier) Arm() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.armLocked()
}

// Stalled says that the disk is full and the next try waits for the timer.
func (b *Barrier) Stalled() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.mu.stalled
}

// SetBootID makes records as long as it is.
func (b *Barrier) SetBootID(id string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.o.BootID, b.mu.record.BootID = id, id
}

func (b *Barrier) SetOnFailure(fn func(error)) { b.o.OnFailure = fn }
func (b *Barrier) SetDiskFull()                { b.space.full.Store(true) }
func (b *Barrier) Failure() error              { return b.failure() }
func (b *Barrier) LockInstant()                { b.instant.Lock() }
func (b *Barrier) UnlockInstant()              { b.instant.Unlock() }
func (t Ticket) Generation() uint64            { return t.generation }

// ReadRecord returns what the newest record on the disk says.
func ReadRecord(f vfs.FS, dir string) (sequence uint64, points map[string]int64, err error) {
	r, err := readRecord(f, dir)
	if err != nil || r == nil {
		return 0, nil, err
	}
	return r.Sequence, pointsOf(r), nil
}

func pointsOf(r *Record) map[string]int64 {
	points := map[string]int64{}
	for name, e := range r.Entries {
		points[name] = e.RecoveryPoint
	}
	return points
}

// EncodeVersion2 is the newest record with another number in the layout of version 2.
func (b *Barrier) EncodeVersion2(sequence uint64, clean bool) []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	r := b.mu.record
	r.Sequence, r.Clean = sequence, clean
	raw := r.encode()
	raw = slices.Delete(raw, recordHeaderBytes+16, recordHeaderBytes+24)
	raw[5] = recordVersion2
	binary.BigEndian.PutUint32(raw[8:], uint32(len(raw)))
	binary.BigEndian.PutUint32(raw[12:], recordCRC(raw))
	return raw
}
