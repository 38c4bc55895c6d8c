package durability

import (
	"errors"
	"io/fs"
	"sync"
	"sync/atomic"
)

// syncAll makes the captured logs durable: a single file with fdatasync, more of them with one sync of the whole file
// system, where the kernel reports its errors.
func (b *Barrier) syncAll(logs []captured) error {
	var segments, others []File
	var dirs []string
	newLogs := false
	for _, c := range logs {
		if c.member.removed.Load() {
			continue
		}
		segments = append(segments, c.member.log.UnsyncedSegments()...)
		if c.newNames {
			dirs = append(dirs, c.member.dir)
			others = append(others, c.member.log.TakeNewFiles()...)
		}
		newLogs = newLogs || c.newDir
	}
	files, began := len(segments)+len(dirs), b.o.RealTime.Now()
	if b.disk != nil && files > 1 {
		if err := b.disk.Sync(); err != nil {
			return err
		}
	} else if err := b.syncEach(segments, others, dirs, newLogs); err != nil {
		return err
	}
	if files > 0 {
		b.metrics.syncSeconds.Observe(b.o.RealTime.Now().Sub(began).Seconds())
	}
	for _, f := range segments {
		f.Synced()
	}
	return nil
}

func (b *Barrier) syncEach(segments, others []File, dirs []string, newLogs bool) error {
	if err := b.syncSegments(segments); err != nil {
		return err
	}
	for _, f := range others {
		if err := f.Sync(); err != nil {
			return err
		}
	}
	for _, dir := range dirs {
		if err := b.o.FS.SyncDir(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if newLogs {
		return b.o.FS.SyncDir(b.o.Dir)
	}
	return nil
}

// syncSegments syncs files, several at a time.
func (b *Barrier) syncSegments(segments []File) error {
	if b.o.SyncWorkers < 2 || len(segments) < 2 {
		for _, f := range segments {
			if err := f.Sync(); err != nil {
				return err
			}
		}
		return nil
	}
	errs := make([]error, len(segments))
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(b.o.SyncWorkers, len(segments)) {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(segments); i = int(next.Add(1)) - 1 {
				errs[i] = segments[i].Sync()
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}
