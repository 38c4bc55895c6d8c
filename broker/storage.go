package broker

import (
	"os"
	"strings"
)

// reserveBytes is the free space that is left to the broker's own records: disk.reserve.bytes, but not
// more than a hundredth of the disk.
func (b *Broker) reserveBytes() int64 {
	reserve := b.cfg.Settings.Int64("disk.reserve.bytes")
	sized, ok := b.cfg.FS.(interface {
		TotalBytes(dir string) (int64, error)
	})
	if !ok {
		return reserve
	}
	total, err := sized.TotalBytes(b.dir)
	if err != nil || total <= 0 {
		return reserve
	}
	return min(reserve, total/100)
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
