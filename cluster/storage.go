package cluster

import (
	"os"
	"strings"

	"once/log"
)

// reserveBytes is the free space that is left to the broker's own records: disk.reserve.bytes, but not
// more than a hundredth of the disk.
func (e *engine) reserveBytes() int64 {
	return e.ofDisk(e.env.Settings.DiskReserveBytes, 100)
}

// journalBytes is how large the journal may grow: not beyond a fiftieth of the disk.
func (e *engine) journalBytes() int64 { return e.ofDisk(log.DefaultJournalBytes, 50) }

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

// bootID names this run of the operating system, "" where it has no name. A data directory that was
// last written under another one may have lost what was not synced.
func bootID() string {
	id, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(id))
}
