package cluster

import "once/durability"

// reserveBytes is the free space that is left to the broker's own records: disk.reserve.bytes, but not
// more than a hundredth of the disk.
func (e *engine) reserveBytes() int64 {
	return e.ofDisk(e.env.Settings.DiskReserveBytes, 100)
}

// journalBytes is how large the journal may grow: not beyond a fiftieth of the disk.
func (e *engine) journalBytes() int64 { return e.ofDisk(durability.DefaultJournalBytes, 50) }

// ofDisk is a size, but not more than one of so many parts of the disk, where its size is known.
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
