package log

import (
	"errors"
	"io/fs"
)

// DeleteSegments takes the segments that lie wholly below StartOffset out of the log and returns how
// many and how large they were. Their files go after the next barrier, because the last one still
// counts on them; readers of a Slice may finish. The segment being written always stays: call Roll
// first to delete its data. It may run beside Append.
func (l *Log) DeleteSegments() (segments int, sizeBytes int64) {
	l.structure.Lock()
	defer l.structure.Unlock()
	all, start := l.list(), l.start.Load()
	for segments < len(all)-1 && all[segments+1].base <= start {
		_, size := all[segments].bounds()
		sizeBytes += size
		segments++
	}
	if segments == 0 {
		return 0, 0
	}
	gone, rest := all[:segments], all[segments:len(all):len(all)]
	l.segments.Store(&rest)
	l.size.Add(-sizeBytes)
	remove := func() {
		for _, s := range gone {
			l.removeFiles(s)
			s.release()
		}
	}
	if l.barrier == nil {
		remove()
	} else {
		l.markDirty()
		l.barrier.afterNext(remove)
	}
	return segments, sizeBytes
}

func (l *Log) removeFiles(s *segment) {
	for _, suffix := range []string{suffixIndex, suffixTimeIndex, suffixTxnIndex, suffixSnapshot, suffixLog} {
		if err := l.fs.Remove(s.file(suffix)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			l.logger.Warn("file of a deleted segment stays until the next try", "file", s.file(suffix), "error", err)
		}
	}
}

// Roll begins a new segment if the last one has batches. Like Append, one call at a time with it.
func (l *Log) Roll() error {
	if err := l.writable(); err != nil {
		return err
	}
	segments := l.list()
	if len(segments) == 0 {
		return nil
	}
	last := segments[len(segments)-1]
	if _, size := last.bounds(); size == 0 {
		return nil
	}
	_, err := l.roll(last, l.end.Load())
	return err
}
