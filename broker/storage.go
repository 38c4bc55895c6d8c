package broker

import (
	"os"
	"strings"

	"once/log"
)

// reserveBytes is the free space that is left to the broker's own records: disk.reserve.bytes, but not
// more than a hundredth of the disk.
func (b *Broker) reserveBytes() int64 {
	return b.ofDisk(b.cfg.Settings.Int64("disk.reserve.bytes"), 100)
}

// journalBytes is how large the journal may grow: not beyond a fiftieth of the disk.
func (b *Broker) journalBytes() int64 { return b.ofDisk(log.DefaultJournalBytes, 50) }

// ofDisk is a size, but not more than one of so many parts of the disk, where its size is known.
func (b *Broker) ofDisk(sizeBytes, parts int64) int64 {
	sized, ok := b.cfg.FS.(interface {
		TotalBytes(dir string) (int64, error)
	})
	if !ok {
		return sizeBytes
	}
	total, err := sized.TotalBytes(b.dir)
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
