package log

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"once/internal/files"
)

// How a group of segments is replaced. Whatever comes in between, the next start finds either all the
// old files or a complete new one, and never some of both:
//
//  1. The new segment is written as `<base>.log.cleaned` and synced.
//  2. It is renamed to `<base>.log.swap-<end>` and the directory is synced: from here on the new one
//     counts, for all offsets from base to end.
//  3. It takes its place in the list that readers look at.
//  4. After the next barrier the files of the group's other segments, and all that is derived from the
//     first one's, are removed and the directory is synced; then the new one is renamed to `<base>.log`.
//
// Groups are replaced in the order of their offsets, each one's step 2 before the next one's: a tombstone
// or marker never goes while what it stands for comes back.
const (
	suffixCleaned = ".log.cleaned"
	suffixSwap    = ".log.swap-"
)

// swap is a replacement that is in force and has steps left.
type swap struct {
	base, end int64
	merged    []int64 // bases of the group's other segments
	segment   *segment
}

func swapSuffix(end int64) string { return suffixSwap + stem(end) }

// parseSwap splits the name of a step 2 file.
func parseSwap(name string) (sw swap, ok bool) {
	base, suffix, ok := parseName(name)
	digits, isSwap := strings.CutPrefix(suffix, suffixSwap)
	if !ok || !isSwap || len(digits) != stemDigits {
		return swap{}, false
	}
	end, err := strconv.ParseUint(digits, 10, 63)
	return swap{base: base, end: int64(end)}, err == nil && int64(end) > base
}

// replaceGroup makes a finished segment count instead of its group, up to step 3.
func (l *Log) replaceGroup(group []*segment, c *cleanedSegment, end int64, gone map[int64]struct{}, exclusively func(func())) error {
	s := c.segment
	name := s.file(swapSuffix(end))
	err := l.fs.Rename(s.file(suffixCleaned), name)
	if err == nil {
		err = l.syncNames()
	}
	if err == nil {
		exclusively(func() { err = l.exchange(group, s, gone) })
	}
	if err != nil {
		// As long as nothing else is replaced, it does not matter whether the next start finds it.
		if rerr := files.RemoveIfThere(l.fs, name); rerr != nil {
			l.uncleanable = fmt.Errorf("%s cannot be removed: %w", name, rerr)
		}
		return err
	}
	sw := swap{base: s.base, end: end, segment: s}
	for _, old := range group[1:] {
		sw.merged = append(sw.merged, old.base)
	}
	l.swaps = append(l.swaps, sw)
	for _, old := range group {
		old.release()
	}
	return nil
}

// exchange puts a segment in the place of a group, on the goroutine's turn to append. The entries of
// transactions whose marker is gone go first: a reader that knew an entry and missed the marker would
// drop what the producer wrote after it.
func (l *Log) exchange(group []*segment, s *segment, gone map[int64]struct{}) error {
	l.structure.Lock()
	defer l.structure.Unlock()
	if err := l.writable(); err != nil {
		return err
	}
	all := l.list()
	at := -1
	for i := range all {
		if all[i] == group[0] {
			at = i
		}
	}
	if at < 0 || at+len(group) >= len(all) || all[at+len(group)-1] != group[len(group)-1] {
		return errStopped
	}
	if entries := l.abortedView(); len(gone) > 0 && len(entries) > 0 {
		kept := make([]AbortedTxn, 0, len(entries))
		for _, a := range entries {
			if _, ok := gone[a.LastOffset]; !ok {
				kept = append(kept, a)
			}
		}
		l.replaceAborted(kept)
	}
	_, size := s.bounds()
	for _, old := range group {
		_, oldSize := old.bounds()
		size -= oldSize
	}
	next := make([]*segment, 0, len(all)-len(group)+1)
	next = append(append(append(next, all[:at]...), s), all[at+len(group):]...)
	l.segments.Store(&next)
	l.size.Add(size)
	return nil
}

// FinishCleaning does what is left of replacements whose barrier has passed, after a pass that could not
// do it itself. Neither Clean nor DeleteSegments may run beside it; exclusively runs a function while
// nobody appends.
func (l *Log) FinishCleaning(exclusively func(func())) error {
	if len(l.swaps) == 0 {
		return nil
	}
	for len(l.swaps) > 0 {
		sw := l.swaps[0]
		if err := l.finishSwap(sw); err != nil {
			return fmt.Errorf("replace segment %d of %s: %w", sw.base, l.dir, err)
		}
		if err := sw.segment.flushIndexes(); err != nil {
			l.logger.Warn("index not written; it will be made anew when needed", "file", sw.segment.file(suffixIndex), "error", err)
		}
		l.swaps = l.swaps[1:]
	}
	l.member.NewNames()
	l.member.Changed()
	var err error
	exclusively(func() {
		l.structure.Lock()
		defer l.structure.Unlock()
		if !l.closed.Load() {
			err = l.writeAborted(l.end.Load())
		}
	})
	return err
}

// finishSwap is step 4. The new segment's own derived files are gone before it has its name, because
// what they say is of the old one.
func (l *Log) finishSwap(sw swap) error {
	for _, base := range sw.merged {
		for _, suffix := range []string{suffixIndex, suffixTimeIndex, suffixTxnIndex, suffixSnapshot, suffixLog} {
			if err := files.RemoveIfThere(l.fs, l.fileOf(base, suffix)); err != nil {
				return err
			}
		}
	}
	for _, suffix := range []string{suffixIndex, suffixTimeIndex, suffixTxnIndex} {
		if err := files.RemoveIfThere(l.fs, l.fileOf(sw.base, suffix)); err != nil {
			return err
		}
	}
	l.snapshotsAtOpen.Store(nil) // snapshots of merged segments are gone
	if err := l.syncNames(); err != nil {
		return err
	}
	return l.fs.Rename(l.fileOf(sw.base, swapSuffix(sw.end)), l.fileOf(sw.base, suffixLog))
}

// syncNames makes the names in the log's directory durable. A failure is final, as of every sync: the next one may
// succeed although the names are not on the disk, and what was removed would come back beside what took its place.
func (l *Log) syncNames() error {
	err := l.fs.SyncDir(l.dir)
	if err != nil {
		l.member.Fail(fmt.Errorf("sync %s: %w", l.dir, err))
	}
	return err
}

// basesBetween returns the base offsets of the segments in a range of which there is any file. A power cut may have
// undone the removal of some files of a segment and not of others; a list of aborted transactions that came back
// would be taken for that of the log as it is now.
func (rc *recoverer) basesBetween(from, to int64) (bases []int64) {
	for _, name := range rc.names {
		base, suffix, ok := parseName(name)
		isSegment := suffix == suffixLog || suffix == suffixIndex || suffix == suffixTimeIndex || suffix == suffixTxnIndex
		if ok && isSegment && base > from && base < to && !slices.Contains(bases, base) {
			bases = append(bases, base)
		}
	}
	return bases
}

// verifySwap walks through a segment that is about to take the place of others.
func (rc *recoverer) verifySwap(name string, sw swap) error {
	f, err := rc.log.fs.OpenRead(rc.log.path(name))
	if err != nil {
		return err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return err
	}
	s := newSegment(rc.log, sw.base)
	s.publish(sw.end, size)
	err = s.verify(f, 0, size)
	var d *files.DamagedError
	if errors.As(err, &d) {
		d.File = rc.log.path(name)
	}
	return err
}

// swaps finishes, at a start, the replacements that count and undoes those that do not yet.
func (rc *recoverer) swaps() error {
	l := rc.log
	again := false
	for _, name := range rc.names {
		if strings.HasSuffix(name, suffixCleaned) {
			if err := files.RemoveIfThere(l.fs, l.path(name)); err != nil {
				return err
			}
		}
		sw, ok := parseSwap(name)
		if !ok {
			continue
		}
		if err := rc.verifySwap(name, sw); err != nil { // the power may have been cut: it was read back from memory only
			return err
		}
		sw.merged = rc.basesBetween(sw.base, sw.end)
		if err := l.finishSwap(sw); err != nil {
			return err
		}
		again = true
	}
	if !again {
		return nil
	}
	rc.report.changed = true
	l.member.NewNames()
	names, err := l.fs.List(l.dir)
	rc.names = names
	return err
}
