package log

import (
	"errors"
	"io/fs"
	"path"
)

// syncTarget is a segment's file up to a size.
type syncTarget struct {
	log     *Log
	segment *segment
	size    int64
}

// syncAll makes the captured logs durable: file by file, or all at once when they are many.
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
	if len(targets)+len(dirs) > syncFSAbove {
		if err := b.o.FS.SyncFS(b.o.Dir); err != nil {
			return err
		}
	} else if err := b.syncEach(logs, targets, dirs, newLogs); err != nil {
		return err
	}
	for _, t := range targets {
		t.segment.synced.Store(t.size)
	}
	return nil
}

func (b *Barrier) syncEach(logs []captured, targets []syncTarget, dirs []string, newLogs bool) error {
	for _, t := range targets {
		if err := t.sync(); err != nil {
			return err
		}
	}
	for _, c := range logs {
		if c.names && !c.log.removed.Load() {
			if err := c.log.syncFile(metadataFile); err != nil {
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

// unsynced returns the segments with bytes that no barrier has covered. They stand together at the
// end of the log.
func (l *Log) unsynced() []syncTarget {
	var targets []syncTarget
	segments := l.list()
	for i := len(segments) - 1; i >= 0; i-- {
		s := segments[i]
		_, size := s.bounds()
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
	if waiting < flushEntriesAbove {
		return
	}
	if err := s.flushIndexes(); err != nil {
		l.logger.Warn("index not written; it will be made anew when needed", "file", s.file(suffixIndex), "error", err)
	}
}
