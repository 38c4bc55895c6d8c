package cluster

import "once/durability"

// reserveBytes is the free space that is reserved for the broker's own records: disk.reserve.bytes, but not more than a
// hundredth of the disk.
func (e *engine) reserveBytes() int64 {
	return e.ofDisk(e.env.Settings.DiskReserveBytes, 100)
}

// journalBytes is the largest size of the journal: not more than a fiftieth of the disk.
func (e *engine) journalBytes() int64 { return e.ofDisk(durability.DefaultJournalBytes, 50) }

// ofDisk is sizeBytes, but not more than the disk's size divided by parts, if that is known.
func (e *engine) ofDisk(sizeBytes, parts int64) int64 {
	sized, ok := e.env.FS.(interface {
		TotalBytes(dir string) (int64, error)
	})
	if !ok {
		return sizeBytes
	}
	total, err := sized.TotalBytes(e.dir)
	if err != nil || total <= 0 {
		return sizeBytes
	}
	return min(sizeBytes, total/parts)
}
