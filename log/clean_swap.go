package log

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"once/internal/files"
)

// How a group of segments is replaced. After a crash at any point the next start finds either all the old files or a
// complete new one, never some of both:
//
//  1. The new segment is written as `<base>.log.cleaned` and synced.
//  2. It is renamed to `<base>.log.swap-<end>` and the directory is synced: from here on it replaces the group, for
//     all offsets from base to end.
//  3. It takes the group's place in the list that readers load.
//  4. After the next barrier the files of the group's other segments, and the derived files of the first one, are
//     removed and the directory is synced; then the new file is renamed to `<base>.log`.
//
// Groups are replaced in the order of their offsets, step 2 of each before step 2 of the next. Otherwise a crash could
// leave a log whose tombstone or marker is gone and whose older records are still there.

// swap is a replacement that has reached step 2 or 3.
type swap struct {
	base, end int64
	merged    []int64 // bases of the group's other segments
	segment   *segment
}

func swapSuffix(end int64) string { return suffixSwap + stem(end) }

// parseSwap splits the name of a step 2 file.
func parseSwap(name string) (sw swap, ok bool) {
	base, suffix, ok := ParseFileName(name)
	digits, isSwap := strings.CutPrefix(suffix, suffixSwap)
	if !ok || !isSwap || len(digits) != stemDigits {
		return swap{}, false
	}
	end, err := strconv.ParseUint(digits, 10, 63)
	return swap{base: base, end: int64(end)}, err == nil && int64(end) > base
}

// replaceGroup carries out steps 2 and 3 for a finished segment.
func (l *Log) replaceGroup(group []*segment, c *cleanedSegment, end int64, gone map[int64]struct{},
	exclusively func(func())) error {
	s := c.segment
	name := s.file(swapSuffix(end))
	err := l.fs.Rename(s.file(CleanedSuffix), name)
	if err == nil {
		err = l.syncNames()
	}
	if err == nil {
		exclusively(func() { err = l.exchange(group, s, gone) })
	}
	if err != nil {
		// While nothing else is replaced, the next start may or may not find this replacement.
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

// exchange puts a segment in the place of a group while no append runs. It first drops the aborted transactions whose
// marker is gone: a reader with the entry and without the marker would drop the producer's later records.
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

// FinishCleaning carries out step 4 of replacements whose barrier has passed, if the pass itself could not. Neither
// Clean nor DeleteSegments may run beside it; exclusively runs a function while no append runs.
func (l *Log) FinishCleaning(exclusively func(func())) error {
	if len(l.swaps) == 0 {
		return nil
	}
	var finished []*segment
	for len(l.swaps) > 0 {
		sw := l.swaps[0]
		if err := l.finishSwap(sw); err != nil {
			return fmt.Errorf("replace segment %d of %s: %w", sw.base, l.dir, err)
		}
		if err := sw.segment.flushIndexes(); err != nil {
			l.logger.Warn("index not written; it will be made anew when needed", "file", sw.segment.file(IndexSuffix),
				"error", err)
		}
		l.swaps = l.swaps[1:]
		finished = append(finished, sw.segment)
	}
	l.member.NewNames()
	l.member.Changed()
	var err error
	exclusively(func() {
		l.structure.Lock()
		defer l.structure.Unlock()
		for _, s := range finished {
			s.txnFile = nil // a file that was written since the exchange has been removed as one of the old segment
		}
		if !l.closed.Load() {
			err = l.writeAborted(l.end.Load())
		}
	})
	return err
}

// finishSwap is step 4. Derived files are removed before the new segment gets its name, because they describe the old
// segment.
func (l *Log) finishSwap(sw swap) error {
	for _, base := range sw.merged {
		for _, suffix := range []string{IndexSuffix, TimeIndexSuffix, TxnIndexSuffix, SnapshotSuffix, LogSuffix} {
			if err := files.RemoveIfThere(l.fs, l.fileOf(base, suffix)); err != nil {
				return err
			}
		}
	}
	for _, suffix := range []string{IndexSuffix, TimeIndexSuffix, TxnIndexSuffix} {
		if err := files.RemoveIfThere(l.fs, l.fileOf(sw.base, suffix)); err != nil {
			return err
		}
	}
	l.snapshotsAtOpen.Store(nil) // snapshots of merged segments are gone
	if err := l.syncNames(); err != nil {
		return err
	}
	return l.fs.Rename(l.fileOf(sw.base, swapSuffix(sw.end)), l.fileOf(sw.base, LogSuffix))
}

// syncNames makes the names in the log's directory durable. If the sync fails, the log has failed: a later sync may
// succeed although the names are not on the disk, and removed files would come back beside their replacement.
func (l *Log) syncNames() error {
	err := l.fs.SyncDir(l.dir)
	if err != nil {
		l.member.Fail(fmt.Errorf("sync %s: %w", l.dir, err))
	}
	return err
}

// basesBetween returns the base offsets in a range for which any file of a segment exists. A power cut may have undone
// the removal of some files of a segment and not of others. A .txnindex file that came back would be taken for that
// of the present log.
func (rc *recoverer) basesBetween(from, to int64) (bases []int64) {
	for _, name := range rc.names {
		base, suffix, ok := ParseFileName(name)
		isSegment := suffix == LogSuffix || suffix == IndexSuffix || suffix == TimeIndexSuffix || suffix == TxnIndexSuffix
		if ok && isSegment && base > from && base < to && !slices.Contains(bases, base) {
			bases = append(bases, base)
		}
	}
	return bases
}

// verifySwap checks all batches of a segment that is about to replace others.
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

// finishSwaps finishes, at a start, the replacements that have reached step 2, and removes the files of earlier steps.
func (rc *recoverer) finishSwaps() error {
	l := rc.log
	again := false
	for _, name := range rc.names {
		if strings.HasSuffix(name, CleanedSuffix) {
			if err := files.RemoveIfThere(l.fs, l.path(name)); err != nil {
				return err
			}
		}
		sw, ok := parseSwap(name)
		if !ok {
			continue
		}
		if err := rc.verifySwap(name, sw); err != nil { // it was read back from the page cache only
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
