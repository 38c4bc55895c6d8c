package log

import (
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"once/internal/files"
	"once/internal/vfs"
	"once/log/batch"
)

// Recovery moves the bytes that it takes out of a log aside (spec: reliability P12). A whole segment is renamed; a tail
// is copied to its own file, which is synced before the tail is truncated. If the disk has no room for the copy, the
// partition stays offline with its bytes as they are until a start finds room, because they may have been acknowledged
// in page or txn mode. Only an incomplete batch is truncated without a copy: it was never acknowledged, and a process
// that dies during a write leaves one.

// cut takes everything from a position in segment i on out of the log, later segments first, so that an interrupted cut
// is seen again. The bytes are moved aside, not deleted, unless all are zero, or the journal restores a log that ends
// at this offset over them.
func (rc *recoverer) cut(i int, position, end int64) error {
	for j := len(rc.segments) - 1; j > i; j-- {
		if err := rc.moveSegment(j); err != nil {
			return err
		}
	}
	if position == 0 && i > 0 {
		return rc.moveSegment(i)
	}
	s := rc.segments[i]
	if _, size := s.bounds(); size-position <= rc.restorable(end) {
		return rc.truncate(s, position)
	}
	return rc.moveTail(s, position)
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

// moveSegment takes a whole segment out: it gets the name `<base>.torn-0`.
func (rc *recoverer) moveSegment(i int) error {
	s := rc.segments[i]
	if err := rc.renameAside(s); err != nil {
		return err
	}
	s.release()
	rc.segments = slices.Delete(rc.segments, i, i+1)
	rc.report.changed = true
	rc.log.member.NewNames()
	for _, suffix := range []string{IndexSuffix, TimeIndexSuffix, TxnIndexSuffix, LogSuffix} {
		if err := s.fs.Remove(s.file(suffix)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

func (rc *recoverer) renameAside(s *segment) error {
	_, size := s.bounds()
	f, err := s.handle()
	if err != nil {
		return err
	}
	if zero, err := files.AllZero(f, 0, size); err != nil || zero {
		rc.report.ZeroBytes += size
		return err
	}
	if err := f.Sync(); err != nil { // no barrier will: it is out of the log
		return err
	}
	name, _, err := tornName(s, 0, func(string) error { return files.ErrNotAsWritten })
	if err != nil {
		return err
	}
	if err := s.fs.Rename(s.file(LogSuffix), name); err != nil {
		return err
	}
	rc.report.TruncatedBytes += size
	rc.report.TornFiles = append(rc.report.TornFiles, name)
	return s.fs.SyncDir(s.dir)
}

// tornName is `<base>.torn-<position>`, with a number behind it if that name is taken by other bytes. same compares
// the file of a name with the bytes and returns files.ErrNotAsWritten if they differ.
func tornName(s *segment, position int64, same func(name string) error) (name string, taken bool, err error) {
	stem := fmt.Sprintf("%s%s%d", strings.TrimSuffix(s.file(LogSuffix), LogSuffix), TornInfix, position)
	name = stem
	for n := 1; ; n++ {
		if _, err := s.fs.Stat(name); errors.Is(err, fs.ErrNotExist) {
			return name, false, nil
		} else if err != nil {
			return "", false, err
		}
		if err := same(name); !errors.Is(err, files.ErrNotAsWritten) {
			return name, true, err
		}
		name = fmt.Sprintf("%s-%d", stem, n)
	}
}

// moveTail takes everything from a position on out of a segment.
func (rc *recoverer) moveTail(s *segment, from int64) error {
	_, to := s.bounds()
	if from >= to {
		return nil
	}
	f, err := s.handle()
	if err != nil {
		return err
	}
	zero, err := files.AllZero(f, from, to)
	if err != nil {
		return err
	}
	if zero {
		rc.report.ZeroBytes += to - from
		return rc.truncate(s, from)
	}
	rc.report.TruncatedBytes += to - from
	rc.log.member.NewNames()
	name, err := copyTail(s, f, from, to)
	if errors.Is(err, vfs.ErrNoSpace) {
		return rc.cutWithoutCopy(s, f, from, to, err)
	}
	if err != nil {
		return err
	}
	rc.report.TornFiles = append(rc.report.TornFiles, name)
	return rc.truncate(s, from)
}

// copyTail copies the end of a segment to a file whose name it returns, durably.
func copyTail(s *segment, f vfs.File, from, to int64) (name string, err error) {
	name, copied, err := tornName(s, from, func(name string) error {
		return files.ReadBackRange(s.fs, name, f, from, to, s.sizes.CopyBytes)
	})
	if err != nil || copied { // by a start that was interrupted
		return name, err
	}
	tmp := name + files.TmpSuffix
	out, err := files.CreateAnew(s.fs, tmp)
	if err != nil {
		return "", err
	}
	err = files.EachChunk(f, from, to, s.sizes.CopyBytes, func(b []byte, at int64) error {
		_, err := out.WriteAt(b, at-from)
		return err
	})
	if err == nil {
		err = out.Sync()
	}
	if err = errors.Join(err, out.Close()); err != nil {
		return "", errors.Join(err, s.fs.Remove(tmp))
	}
	if err := s.fs.Rename(tmp, name); err != nil {
		return "", err
	}
	return name, s.fs.SyncDir(s.dir)
}

// cutWithoutCopy truncates an incomplete batch when the disk has no room for a copy, and else returns cause; see above.
func (rc *recoverer) cutWithoutCopy(s *segment, f vfs.File, from, to int64, cause error) error {
	head := make([]byte, min(to-from, batch.HeaderSizeBytes))
	if n, err := f.ReadAt(head, from); n < len(head) {
		return fmt.Errorf("read %s at byte %d: %w", s.file(LogSuffix), from, err)
	}
	h, err := batch.ParseHeader(head)
	if len(head) < batch.HeaderSizeBytes || err == nil && int64(h.SizeBytes()) > to-from {
		rc.log.logger.Error("the disk is full: a part of a batch, which nobody was told of, is cut without a copy",
			"file", s.file(LogSuffix), "position", from, "size_bytes", to-from, "begins", fmt.Sprintf("%x", head))
		return rc.truncate(s, from)
	}
	return fmt.Errorf("bytes %d to %d of %s are to be cut and kept in a file of their own: %d bytes have to be free "+
		"for another start: %w",
		from, to, s.file(LogSuffix), to-from, cause)
}

// rewrite copies the bytes [from, to) of a segment, up to the offset end, which no barrier has covered, to a new file
// (spec: reliability P6): if a sync failed unseen, the kernel takes them for written, and the next sync would succeed
// without writing them. When the segment also has bytes below, the new file is a segment of its own, so that only these
// bytes are copied.
func (rc *recoverer) rewrite(s *segment, from, to, end int64) (*segment, error) {
	if from >= to {
		return s, nil
	}
	f, err := s.handle()
	if err != nil {
		return nil, err
	}
	rc.report.changed = true
	rc.log.member.NewNames()
	rc.report.RewrittenBytes += to - from
	base := s.base
	if from > 0 {
		base = rc.RecoveryPoint
	}
	name := rc.log.fileOf(base, LogSuffix)
	err = files.CopyRange(s.fs, name, rc.log.fileOf(base, KeptSuffix), f, from, to, s.sizes.CopyBytes)
	if errors.Is(err, vfs.ErrNoSpace) {
		if err := s.fs.Remove(rc.log.fileOf(base, KeptSuffix)); err != nil && !errors.Is(err, fs.ErrNotExist) {
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
		return kept, rc.truncateSealed(s, from)
	}
	rc.replace(s, kept)
	return kept, nil
}

// rewriteInPlace is used when the disk has no room for a copy. It writes the same bytes over themselves, so that the
// next sync writes them.
func (rc *recoverer) rewriteInPlace(s *segment, f vfs.File, from, to, end int64) error {
	rc.log.logger.Warn("no room to copy what is kept; it is written in place", "file", s.file(LogSuffix),
		"size_bytes", to-from)
	err := files.EachChunk(f, from, to, s.sizes.CopyBytes, func(b []byte, at int64) error {
		_, err := f.WriteAt(b, at)
		return err
	})
	s.publish(end, to)
	s.synced.Store(0)
	return err
}
