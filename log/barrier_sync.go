package log

import (
	"errors"
	"io/fs"
	"path"
	"sync"
	"sync/atomic"
)

// syncTarget is a segment's file up to a size.
type syncTarget struct {
	log     *Log
	segment *segment
	size    int64
}

// syncAll makes the captured logs durable: a single file by itself, and more of them with the whole file system, whose
// journal is then committed once, where the kernel reports its errors.
func (b *Barrier) syncAll(logs []captured) error {
	var targets []syncTarget
	var dirs []string
	newLogs := false
	for _, c := range logs {
		if c.log.removed.Load() {
			continue
		}
		targets = append(targets, c.log.unsynced()...)
		if c.names {
			dirs = append(dirs, c.log.dir)
		}
		newLogs = newLogs || c.dir
	}
	files, began := len(targets)+len(dirs), b.o.RealTime.Now()
	if b.disk != nil && files > 1 {
		for _, c := range logs {
			c.log.takeNewSnapshots()
		}
		if err := b.disk.Sync(); err != nil {
			return err
		}
	} else if err := b.syncEach(logs, targets, dirs, newLogs); err != nil {
		return err
	}
	if files > 0 {
		b.metrics.syncSeconds.Observe(b.o.RealTime.Now().Sub(began).Seconds())
	}
	for _, t := range targets {
		t.segment.synced.Store(t.size)
	}
	return nil
}

func (b *Barrier) syncEach(logs []captured, targets []syncTarget, dirs []string, newLogs bool) error {
	if err := b.syncTargets(targets); err != nil {
		return err
	}
	for _, c := range logs {
		if c.names && !c.log.removed.Load() {
			if err := c.log.syncFile(metadataFile); err != nil {
				return err
			}
			if err := c.log.syncSnapshots(); err != nil {
				return err
			}
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

// syncTargets syncs the segments' files, several at a time.
func (b *Barrier) syncTargets(targets []syncTarget) error {
	if b.o.SyncWorkers < 2 || len(targets) < 2 {
		for _, t := range targets {
			if err := t.sync(); err != nil {
				return err
			}
		}
		return nil
	}
	errs := make([]error, len(targets))
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(b.o.SyncWorkers, len(targets)) {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(targets); i = int(next.Add(1)) - 1 {
				errs[i] = targets[i].sync()
			}
		})
	}
	wg.Wait()
	return errors.Join(errs...)
}

// unsynced returns the segments with bytes that no barrier has covered. They stand together at the
// end of the log.
func (l *Log) unsynced() []syncTarget {
	var targets []syncTarget
	segments := l.list()
	for i := len(segments) - 1; i >= 0; i-- {
		s := segments[i]
		_, size := s.bounds()
		if size == 0 && i < len(segments)-1 {
			continue // all that it had was compacted away
		}
		if s.synced.Load() == size && size > 0 {
			break
		}
		targets = append(targets, syncTarget{l, s, size})
	}
	return targets
}

// sync uses the writer's handle if it is open, because a failed write-back is reported to the handles
// that were open when it happened.
func (t syncTarget) sync() error {
	if !t.segment.acquire() {
		return t.log.syncFile(stem(t.segment.base) + suffixLog)
	}
	defer t.segment.release()
	f, err := t.segment.handle()
	if err != nil {
		return t.log.goneIsFine(err)
	}
	return f.Sync()
}

func (l *Log) syncFile(name string) error {
	f, err := l.fs.OpenRead(path.Join(l.dir, name))
	if err != nil {
		return l.goneIsFine(err)
	}
	err = f.Sync()
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return err
}

// syncSnapshots syncs the snapshots written since the last barrier. Once retention has deleted what lies
// below, they are no longer derived; and which of them a start can use depends on what else it finds.
func (l *Log) syncSnapshots() error {
	for _, offset := range l.takeNewSnapshots() {
		if err := l.syncFile(stem(offset) + suffixSnapshot); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// goneIsFine swallows that a file is missing when the log has been removed meanwhile.
func (l *Log) goneIsFine(err error) error {
	if errors.Is(err, fs.ErrNotExist) && l.removed.Load() {
		return nil
	}
	return err
}

// flushTail writes the index entries of the last segment when enough have come together.
func (l *Log) flushTail() {
	l.structure.Lock()
	defer l.structure.Unlock()
	segments := l.list()
	if len(segments) == 0 || l.closed.Load() {
		return
	}
	s := segments[len(segments)-1]
	s.flushed.Lock()
	waiting := len(s.offsets.view()) - s.flushed.offsets
	s.flushed.Unlock()
	if waiting < l.sizes.FlushIndexEntries {
		return
	}
	if err := s.flushIndexes(); err != nil {
		l.logger.Warn("index not written; it will be made anew when needed", "file", s.file(suffixIndex), "error", err)
	}
}
