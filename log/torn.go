package log

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"once/internal/vfs"
	"once/log/batch"
)

// Bytes that recovery takes out of a log are moved aside, and the start has to get through on a disk that
// is full (spec: reliability P12, P35). What the broker itself fills leaves a reserve, which other programs
// may take, and which can be smaller than what a power cut tears off. So moving must not need room for a
// second copy of everything:
//
//   - a whole segment is renamed, which needs none;
//   - a tail is copied piece by piece from its end, and cut off piece by piece, so that each piece makes
//     room for the next. The smallest one is a block of the disk;
//   - where not even that is free, index files are deleted until it is; they are made anew when needed.
//
// When all of that gives no block, a part of a batch whose write did not come to its end is cut without a
// copy, and the log says so: nobody can have been told of it, and it is what a full disk leaves when the
// process dies in the middle of a write, the last block with it. Anything else may have been acknowledged,
// in page or txn, or be the only trace of that, and would be gone for good because of a disk that is full
// today; so the partition stays closed, with its bytes as they are, until a start finds a block.
const (
	pieceUnitBytes = 4096 // a block of the file systems in use
	// pieceOfRoom is the part of the free space that one piece may take: others write to the disk, too.
	pieceOfRoom = 2
)

// cut takes everything from a position in segment i on out of the log, later segments first, so that
// an interrupted cut is seen again. The bytes are moved aside, not deleted, unless all are zero, or stand where
// those go that the journal has for a log that ends at this offset.
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
	rc.log.namesNew.Store(true)
	for _, suffix := range []string{suffixIndex, suffixTimeIndex, suffixTxnIndex, suffixLog} {
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
	if zero, err := allZero(f, 0, size); err != nil || zero {
		rc.report.ZeroBytes += size
		return err
	}
	if err := f.Sync(); err != nil { // no barrier will, it is no log any more
		return err
	}
	name := ""
	for n := 0; err == nil; n++ {
		name = tornName(s, 0, n)
		_, err = s.fs.Stat(name)
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := s.fs.Rename(s.file(suffixLog), name); err != nil {
		return err
	}
	rc.report.TruncatedBytes += size
	rc.report.TornFiles = append(rc.report.TornFiles, name)
	return s.fs.SyncDir(s.dir)
}

// tornName is `<base>.torn-<position>`, or the n-th other name where that is taken by something else.
func tornName(s *segment, position int64, n int) string {
	name := fmt.Sprintf("%s.torn-%d", strings.TrimSuffix(s.file(suffixLog), suffixLog), position)
	if n > 0 {
		name = fmt.Sprintf("%s-%d", name, n)
	}
	return name
}

// tail is what is being moved from the end of a segment to a file of its own. That file is filled from its
// end and has a hole where the rest is still in the segment; so it is whole in the end, however often that
// was interrupted.
type tail struct {
	rc    *recoverer
	s     *segment
	f     vfs.File // of the segment
	from  int64    // position in the segment
	out   vfs.File // nil until it is open
	name  string
	fresh bool // the file was made by this start, and nothing is in it that is not in the segment, too
	begun bool // some of it may have left the segment already
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
	zero, err := allZero(f, from, to)
	if err != nil {
		return err
	}
	if zero {
		rc.report.ZeroBytes += to - from
		return rc.truncate(s, from)
	}
	rc.report.TruncatedBytes += to - from
	rc.log.namesNew.Store(true)
	t := &tail{rc: rc, s: s, f: f, from: from}
	err = t.move()
	if err == nil {
		rc.report.TornFiles = append(rc.report.TornFiles, t.name)
	} else if errors.Is(err, vfs.ErrNoSpace) {
		err = t.withoutRoom(err)
	}
	return errors.Join(err, t.close())
}

// move moves piece by piece. All is one piece where there is room.
func (t *tail) move() error {
	piece := t.pieceBytes()
	indexes := len(t.rc.segments)
	for {
		_, to := t.s.bounds()
		if to <= t.from {
			return nil
		}
		err := t.movePiece(max(t.from, (to-piece+pieceUnitBytes-1)/pieceUnitBytes*pieceUnitBytes), to)
		if err == nil {
			continue
		}
		if !errors.Is(err, vfs.ErrNoSpace) {
			return err
		}
		if derr := t.discard(); derr != nil {
			return derr
		}
		if piece > pieceUnitBytes {
			piece = max(piece/2/pieceUnitBytes*pieceUnitBytes, pieceUnitBytes)
			continue
		}
		for removed := false; !removed; {
			if indexes--; indexes < 0 {
				return err
			}
			var rerr error
			if removed, rerr = removeIndexes(t.rc.segments[indexes]); rerr != nil {
				return rerr
			}
		}
	}
}

// pieceBytes is how much is moved at a time.
func (t *tail) pieceBytes() int64 {
	_, to := t.s.bounds()
	all := (to - t.from + 2*pieceUnitBytes) / pieceUnitBytes * pieceUnitBytes
	free, err := t.s.fs.FreeBytes(t.s.dir)
	if err != nil {
		return all
	}
	return min(all, max(free/pieceOfRoom/pieceUnitBytes*pieceUnitBytes, pieceUnitBytes))
}

// movePiece moves the end of the segment. It is on the disk in its new place before it leaves the old one.
func (t *tail) movePiece(at, to int64) error {
	opened := t.out == nil
	if opened {
		if err := t.open(to); err != nil {
			return err
		}
	}
	err := eachChunk(t.f, at, to, t.s.sizes.CopyBytes, func(b []byte, at int64) error {
		_, err := t.out.WriteAt(b, at-t.from)
		return err
	})
	if err == nil {
		err = t.out.Sync()
	}
	if err == nil && opened {
		err = t.s.fs.SyncDir(t.s.dir)
	}
	if err != nil {
		return err
	}
	t.fresh, t.begun = false, true
	return t.rc.truncate(t.s, at)
}

// open makes the file, or takes the one of a start that was interrupted.
func (t *tail) open(to int64) error {
	for n := 0; ; n++ {
		t.name = tornName(t.s, t.from, n)
		out, err := t.s.fs.OpenReadWrite(t.name)
		if errors.Is(err, fs.ErrNotExist) {
			if out, err = t.s.fs.Create(t.name); err == nil {
				t.out, t.fresh = out, true
			}
			return err
		}
		if err != nil {
			return err
		}
		ours, err := agrees(out, t.f, t.from, to)
		if err == nil && ours {
			t.out, t.begun = out, true
			return nil
		}
		if err = errors.Join(err, out.Close()); err != nil {
			return err
		}
	}
}

// discard gives the blocks of a piece back that did not find room, unless they hold others, too.
func (t *tail) discard() error {
	if !t.fresh {
		return nil
	}
	t.fresh = false
	return errors.Join(t.close(), t.s.fs.Remove(t.name))
}

func (t *tail) close() error {
	if t.out == nil {
		return nil
	}
	err := t.out.Close()
	t.out = nil
	return err
}

// withoutRoom decides about a tail of which not even one block can be copied; see above.
func (t *tail) withoutRoom(cause error) error {
	_, to := t.s.bounds()
	if head := make([]byte, min(to-t.from, batch.HeaderSizeBytes)); !t.begun {
		if n, err := t.f.ReadAt(head, t.from); n < len(head) {
			return fmt.Errorf("read %s at byte %d: %w", t.s.file(suffixLog), t.from, err)
		}
		h, err := batch.ParseHeader(head)
		if len(head) < batch.HeaderSizeBytes || err == nil && int64(h.SizeBytes()) > to-t.from {
			t.rc.log.logger.Error("the disk is full: a part of a batch, which nobody was told of, is cut without a copy",
				"file", t.s.file(suffixLog), "position", t.from, "size_bytes", to-t.from, "begins", fmt.Sprintf("%x", head))
			return t.rc.truncate(t.s, t.from)
		}
	}
	return fmt.Errorf("no room to move bytes %d to %d of %s aside, which are to be cut; a few free blocks and another start will do: %w",
		t.from, to, t.s.file(suffixLog), cause)
}

// removeIndexes makes room by deleting what can be made anew.
func removeIndexes(s *segment) (removed bool, err error) {
	for _, suffix := range []string{suffixIndex, suffixTimeIndex} {
		st, err := s.fs.Stat(s.file(suffix))
		if err != nil || st.SizeBytes == 0 {
			continue
		}
		if err := s.fs.Remove(s.file(suffix)); err != nil {
			return removed, err
		}
		removed = true
	}
	return removed, nil
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
	rc.report.changed = true
	rc.log.namesNew.Store(true)
	rc.report.RewrittenBytes += to - from
	base := s.base
	if from > 0 {
		base = rc.RecoveryPoint
	}
	name := rc.log.fileOf(base, suffixLog)
	err = copyRange(s.fs, name, rc.log.fileOf(base, suffixKept), f, from, to, s.sizes.CopyBytes)
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
	err := eachChunk(f, from, to, s.sizes.CopyBytes, func(b []byte, at int64) error {
		_, err := f.WriteAt(b, at)
		return err
	})
	s.publish(end, to)
	s.synced.Store(0)
	return err
}

// copyRange writes bytes of f to a file that gets its name when it is complete and has been read back: it may take the
// place of what it was copied from.
func copyRange(under vfs.FS, name, tmp string, f vfs.File, from, to int64, step int) error {
	out, err := createAnew(under, tmp)
	if err != nil {
		return err
	}
	err = eachChunk(f, from, to, step, func(b []byte, at int64) error {
		_, err := out.WriteAt(b, at-from)
		return err
	})
	if cerr := out.Close(); err == nil {
		err = cerr
	}
	if err == nil {
		err = readBackRange(under, tmp, f, from, to, step)
	}
	if err != nil {
		return err
	}
	return under.Rename(tmp, name)
}

// readBackRange compares a file with the bytes of f that were copied to it.
func readBackRange(under vfs.FS, name string, f vfs.File, from, to int64, step int) error {
	out, err := under.OpenRead(name)
	if err != nil {
		return err
	}
	defer out.Close()
	size, err := out.Size()
	if err == nil && size != to-from {
		err = fmt.Errorf("%w: %s has %d bytes instead of %d", errNotAsWritten, name, size, to-from)
	}
	if err != nil {
		return err
	}
	there := make([]byte, step)
	return eachChunk(f, from, to, step, func(b []byte, at int64) error {
		if n, err := out.ReadAt(there[:len(b)], at-from); n < len(b) {
			return err
		}
		if !bytes.Equal(there[:len(b)], b) {
			return fmt.Errorf("%w: %s differs from its source within %d bytes of byte %d", errNotAsWritten, name, len(b), at-from)
		}
		return nil
	})
}

// eachChunk calls fn with the bytes of a range, so many at a time, in order.
func eachChunk(f vfs.File, from, to int64, step int, fn func(b []byte, at int64) error) error {
	buf := make([]byte, min(to-from, int64(step)))
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
	err := eachChunk(f, from, to, copyBytes, func(b []byte, _ int64) error {
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

// agrees says whether a file holds nothing but bytes [from, to) of f, in their places, and holes: it may
// end early, and go on where bytes of f have left already.
func agrees(out, f vfs.File, from, to int64) (bool, error) {
	size, err := out.Size()
	if err != nil {
		return false, err
	}
	there := make([]byte, copyBytes)
	err = eachChunk(f, from, min(to, from+size), copyBytes, func(b []byte, at int64) error {
		if n, err := out.ReadAt(there[:len(b)], at-from); n < len(b) {
			return err
		}
		for i, c := range there[:len(b)] {
			if c != 0 && c != b[i] {
				return errStop
			}
		}
		return nil
	})
	if errors.Is(err, errStop) {
		return false, nil
	}
	return err == nil, err
}
