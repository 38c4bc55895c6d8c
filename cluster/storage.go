package cluster

import (
	"path/filepath"

	"once/durability"
	"once/handlers"
)

// reserveBytes is the free space that is reserved for the broker's own records: disk.reserve.bytes, but not more than a
// hundredth of the disk.
func (e *engine) reserveBytes() int64 {
	return e.ofDisk(e.env.Settings.DiskReserveBytes, 100)
}

// journalBytes is the largest size of the journal: not more than a fiftieth of the disk.
func (e *engine) journalBytes() int64 { return e.ofDisk(durability.DefaultJournalBytes, 50) }

// ofDisk is sizeBytes, but not more than the disk's size divided by parts, if that is known.
func (e *engine) ofDisk(sizeBytes, parts int64) int64 {
	if total := e.diskBytes(); total > 0 {
		return min(sizeBytes, total/parts)
	}
	return sizeBytes
}

// diskBytes is the size of the disk, 0 when it is not known.
func (e *engine) diskBytes() int64 {
	sized, ok := e.env.FS.(interface {
		TotalBytes(dir string) (int64, error)
	})
	if !ok {
		return 0
	}
	total, err := sized.TotalBytes(e.dir)
	if err != nil {
		return 0
	}
	return total
}

// disk describes the data directory for DescribeLogDirs.
func (e *engine) disk() handlers.Disk {
	const unknown = -1
	d := handlers.Disk{Dir: e.dir, TotalBytes: unknown, FreeBytes: unknown}
	if absolute, err := filepath.Abs(filepath.FromSlash(e.dir)); err == nil {
		d.Dir = absolute
	}
	if total := e.diskBytes(); total > 0 {
		d.TotalBytes = total
	}
	if free, err := e.env.FS.FreeBytes(e.dir); err == nil {
		d.FreeBytes = free
	}
	return d
}
