package log

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"once/internal/vfs"
)

// cut takes everything from a position in segment i on out of the log, later segments first, so that
// an interrupted cut is seen again. The bytes are moved aside, not deleted, unless all are zero.
func (rc *recoverer) cut(i int, position int64) error {
	for j := len(rc.segments) - 1; j > i; j-- {
		if err := rc.moveSegment(j); err != nil {
			return err
		}
	}
	s := rc.segments[i]
	if position == 0 && i > 0 {
		return rc.moveSegment(i)
	}
	_, size := s.bounds()
	if err := rc.moveAside(s, position, size); err != nil {
		return err
	}
	return rc.truncate(s, position)
}

// cutAll takes all segments out, the last one first.
func (rc *recoverer) cutAll() error {
	for i := len(rc.segments) - 1; i >= 0; i-- {
		if err := rc.moveSegment(i); err != nil {
			return err
		}
	}
	rc.log.end.Store(rc.RecoveryPoint)
	return nil
}

// moveSegment takes a whole segment out.
func (rc *recoverer) moveSegment(i int) error {
	s := rc.segments[i]
	_, size := s.bounds()
	if err := rc.moveAside(s, 0, size); err != nil {
		return err
	}
	s.release()
	rc.segments = slices.Delete(rc.segments, i, i+1)
	rc.changed = true
	rc.log.namesNew.Store(true)
	for _, suffix := range []string{suffixIndex, suffixTimeIndex, suffixTxnIndex, suffixLog} {
		if err := s.fs.Remove(s.file(suffix)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// moveAside copies bytes to `<base>.torn-<position>`. The copy has its name before the original goes;
// when it is already there from an interrupted try, it stays the only one.
func (rc *recoverer) moveAside(s *segment, from, to int64) error {
	if from >= to {
		return nil
	}
	f, err := s.handle()
	if err != nil {
		return err
	}
	zero, err := allZero(f, from, to)
	if err != nil {
		return err
	}
	if zero {
		rc.report.ZeroBytes += to - from
		return nil
	}
	rc.report.TruncatedBytes += to - from
	rc.log.namesNew.Store(true)
	plain := fmt.Sprintf("%s.torn-%d", strings.TrimSuffix(s.file(suffixLog), suffixLog), from)
	for n := 0; ; n++ {
		name := plain
		if n > 0 {
			name = fmt.Sprintf("%s-%d", plain, n)
		}
		same, err := holds(s.fs, name, f, from, to)
		if errors.Is(err, fs.ErrNotExist) {
			rc.report.TornFiles = append(rc.report.TornFiles, name)
			return copyRange(s.fs, name, name+suffixTmp, f, from, to, true)
		}
		if err != nil {
			return err
		}
		if same {
			rc.report.TornFiles = append(rc.report.TornFiles, name)
			return nil
		}
	}
}

// rewrite puts the bytes [from, to) of a segment, up to the offset end, which no barrier has covered, into a new file (spec:
// reliability P6): a sync that failed unseen would leave them marked as written, and the next sync
// would succeed without writing them. When the segment also has bytes below, the new file is a segment
// of its own, so that no more than this has to be copied.
func (rc *recoverer) rewrite(s *segment, from, to, end int64) (*segment, error) {
	if from >= to {
		return s, nil
	}
	f, err := s.handle()
	if err != nil {
		return nil, err
	}
	rc.changed = true
	rc.log.namesNew.Store(true)
	rc.report.RewrittenBytes += to - from
	base := s.base
	if from > 0 {
		base = rc.RecoveryPoint
	}
	name := rc.log.fileOf(base, suffixLog)
	err = copyRange(s.fs, name, rc.log.fileOf(base, suffixKept), f, from, to, rc.SyncKept)
	if errors.Is(err, vfs.ErrNoSpace) {
		if err := s.fs.Remove(rc.log.fileOf(base, suffixKept)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		return s, rc.rewriteInPlace(s, f, from, to, end)
	}
	if err != nil {
		return nil, err
	}
	kept := newSegment(rc.log, base)
	kept.createdMs = s.createdMs
	kept.publish(end, to-from)
	if from > 0 {
		s.publish(base, to)
		return kept, rc.truncate(s, from)
	}
	rc.replace(s, kept)
	return kept, nil
}

// rewriteInPlace is rewrite where the disk has no room for a copy: the same bytes are written over
// themselves, which makes them dirty again.
func (rc *recoverer) rewriteInPlace(s *segment, f vfs.File, from, to, end int64) error {
	rc.log.logger.Warn("no room to copy what is kept; it is written in place", "file", s.file(suffixLog), "size_bytes", to-from)
	err := eachChunk(f, from, to, func(b []byte, at int64) error {
		_, err := f.WriteAt(b, at)
		return err
	})
	if err == nil && rc.SyncKept {
		err = f.Sync()
	}
	s.publish(end, to)
	s.synced.Store(0)
	return err
}

// copyRange writes bytes of f to a file that gets its name when it is complete.
func copyRange(under vfs.FS, name, tmp string, f vfs.File, from, to int64, sync bool) error {
	out, err := createAnew(under, tmp)
	if err != nil {
		return err
	}
	err = eachChunk(f, from, to, func(b []byte, at int64) error {
		_, err := out.WriteAt(b, at-from)
		return err
	})
	if err == nil && sync {
		err = out.Sync()
	}
	if cerr := out.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = under.Rename(tmp, name)
	}
	if err == nil && sync {
		err = under.SyncDir(path.Dir(name))
	}
	return err
}

func eachChunk(f vfs.File, from, to int64, fn func(b []byte, at int64) error) error {
	buf := make([]byte, min(to-from, 1<<20))
	for from < to {
		b := buf[:min(int64(len(buf)), to-from)]
		if n, err := f.ReadAt(b, from); n < len(b) {
			return fmt.Errorf("read at byte %d: %w", from, err)
		}
		if err := fn(b, from); err != nil {
			return err
		}
		from += int64(len(b))
	}
	return nil
}

var errStop = errors.New("stop")

func allZero(f vfs.File, from, to int64) (bool, error) {
	err := eachChunk(f, from, to, func(b []byte, _ int64) error {
		if len(bytes.TrimLeft(b, "\x00")) > 0 {
			return errStop
		}
		return nil
	})
	if errors.Is(err, errStop) {
		return false, nil
	}
	return err == nil, err
}

// holds says whether the file called name consists of exactly these bytes of f.
func holds(under vfs.FS, name string, f vfs.File, from, to int64) (bool, error) {
	other, err := under.OpenRead(name)
	if err != nil {
		return false, err
	}
	defer other.Close()
	if size, err := other.Size(); err != nil || size != to-from {
		return false, err
	}
	there := make([]byte, 1<<20)
	err = eachChunk(f, from, to, func(b []byte, at int64) error {
		if n, err := other.ReadAt(there[:len(b)], at-from); n < len(b) {
			return err
		}
		if !bytes.Equal(b, there[:len(b)]) {
			return errStop
		}
		return nil
	})
	if errors.Is(err, errStop) {
		return false, nil
	}
	return err == nil, err
}
