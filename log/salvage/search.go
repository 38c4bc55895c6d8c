package salvage

import (
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"sort"

	"once/internal/files"
	"once/internal/vfs"
	"once/log"
	"once/log/batch"
)

// Run is a stretch of a segment file in which whole batches stand one behind the other.
type Run struct {
	From, To               int64 // positions
	BaseOffset, NextOffset int64 // of its first batch, and behind its last one
	Batches                int64
	firstBytes             int64 // size of its first batch
}

// continuedBy says whether the next run begins where this one ends, by position and by offset.
func (r Run) continuedBy(next Run) bool { return r.To == next.From && r.NextOffset == next.BaseOffset }

// extend appends the next run of the file.
func (r *Run) extend(next Run) {
	r.To, r.NextOffset, r.Batches = next.To, next.NextOffset, r.Batches+next.Batches
}

// OffsetRange is the offsets From up to, not including, To.
type OffsetRange struct{ From, To int64 }

const (
	// searchBytes is the size of one read in the search for the header of a batch.
	searchBytes = 256 << 10
	// maxOffset leaves room to add to any offset.
	maxOffset = 1 << 62
)

var errStop = errors.New("stop")

// salvager finds the whole batches of a segment file.
//
// Behind damage each byte may be the beginning of a batch. But if the length of a damaged batch leads to a whole one,
// the bytes between are skipped: otherwise a batch that a client stored as a value would count as one of the log.
type salvager struct {
	dir  string
	base int64 // offset at which the segment begins
	gaps bool  // offsets may be missing in the log
	file vfs.File
	size int64
	place
	point int64 // recovery point; a run ends there, and no batch lies across it

	runs     []Run               // in the order of the file
	damage   *files.DamagedError // the first, as intact finds it
	overlaps bool                // the damage is a batch that continues the log and reaches into the next segment
}

// eachBatch walks over batches, see log.EachVerified.
func (v *salvager) eachBatch(from, to int64, fn func(at int64, h batch.Header, raw []byte) error) error {
	return log.EachVerified(v.file, v.dir, v.base, from, to, false, fn)
}

func (v *salvager) damaged(position int64, cause error) error {
	file := path.Join(v.dir, log.FileName(v.base, log.LogSuffix))
	return &files.DamagedError{File: file, Position: position, Cause: cause}
}

func (v *salvager) missing(position, from, to int64) error {
	return v.damaged(position, fmt.Errorf("offsets %d to %d are missing", from, to-1))
}

// read fills b from a position.
func (v *salvager) read(b []byte, position int64) error {
	n, err := v.file.ReadAt(b, position)
	if n == len(b) {
		return nil
	}
	if err == nil || errors.Is(err, io.EOF) {
		return v.damaged(position+int64(n), fmt.Errorf("file ends before byte %d", position+int64(len(b))))
	}
	return err
}

// isIntact says whether all batches below the recovery point are valid.
func (v *salvager) isIntact() (bool, error) {
	due, at := v.base, int64(0)
	err := v.eachBatch(0, v.size, func(position int64, h batch.Header, _ []byte) error {
		switch {
		case !v.belongs(h) || h.BaseOffset < due:
			v.overlaps = h.BaseOffset == due
			return v.damaged(position,
				fmt.Errorf("batch of offsets %d to %d where %d was due", h.BaseOffset, h.LastOffset(), due))
		case h.BaseOffset >= v.point:
			return errStop
		case h.BaseOffset > due && !v.gaps:
			return v.missing(position, due, h.BaseOffset)
		}
		due, at = h.NextOffset(), position+int64(h.SizeBytes())
		return nil
	})
	walked := err == nil || errors.Is(err, errStop)
	if walked && v.must >= 0 && due != v.must {
		err = v.missing(at, due, v.must)
		walked = false
	}
	if walked || v.above && due == v.point && errors.Is(err, files.ErrDamaged) {
		return true, nil
	}
	if errors.As(err, &v.damage) {
		err = nil
	}
	return false, err
}

// belongs says whether the offsets of a batch, which no checksum covers, lie in this segment.
func (v *salvager) belongs(h batch.Header) bool {
	across := h.BaseOffset < v.point && v.point < h.NextOffset()
	return h.BaseOffset >= v.base && h.BaseOffset <= maxOffset && h.LastOffsetDelta >= 0 &&
		h.NextOffset() <= v.end && !across
}

// search fills runs.
func (v *salvager) search() error {
	for at := int64(0); at < v.size; {
		err := v.eachBatch(at, v.size, v.add)
		var damage *files.DamagedError
		if !errors.As(err, &damage) {
			return err
		}
		if at, err = v.wholeBehind(damage.Position); err != nil {
			return err
		}
	}
	return nil
}

func (v *salvager) add(at int64, h batch.Header, _ []byte) error {
	if !v.belongs(h) {
		return nil
	}
	size := int64(h.SizeBytes())
	r := Run{From: at, To: at + size, BaseOffset: h.BaseOffset, NextOffset: h.NextOffset(), Batches: 1, firstBytes: size}
	if n := len(v.runs) - 1; n >= 0 && v.runs[n].continuedBy(r) && r.BaseOffset != v.point {
		v.runs[n].extend(r)
		return nil
	}
	v.runs = append(v.runs, r)
	return nil
}

// wholeBehind returns the position of the next whole batch behind a damaged one; the file's size if there is none.
func (v *salvager) wholeBehind(bad int64) (int64, error) {
	end, err := v.believedEnd(bad)
	if err != nil {
		return 0, err
	}
	for at := bad + 1; ; at++ {
		if at, err = v.findWhole(at); err != nil || at >= end {
			return max(at, end), err
		}
		// Within a believed batch only what was written over its end counts: that goes on up to there.
		err = v.eachBatch(at, end, ignoreBatch)
		if err == nil {
			return at, nil
		}
		if !errors.Is(err, files.ErrDamaged) {
			return 0, err
		}
	}
}

func ignoreBatch(int64, batch.Header, []byte) error { return nil }

// believedEnd returns the end of the damaged batch at a position, by its length, if a whole batch or the end of the
// file follows; else 0.
func (v *salvager) believedEnd(bad int64) (int64, error) {
	if bad+batch.HeaderSizeBytes > v.size {
		return 0, nil
	}
	var head [batch.HeaderSizeBytes]byte
	if err := v.read(head[:], bad); err != nil {
		return 0, err
	}
	h, err := batch.ParseHeader(head[:])
	if err != nil {
		return 0, nil
	}
	end := bad + int64(h.SizeBytes())
	if whole, err := v.wholeAt(end); !whole && end != v.size {
		return 0, err
	}
	return end, nil
}

// findWhole returns the first position from one on at which a whole batch of this segment begins; the size if none
// does.
func (v *salvager) findWhole(at int64) (int64, error) {
	chunk := make([]byte, searchBytes)
	for at+batch.HeaderSizeBytes <= v.size {
		b := chunk[:min(searchBytes, v.size-at)]
		if err := v.read(b, at); err != nil {
			return 0, err
		}
		for i := 0; ; i++ {
			next := batch.FindHeader(b[i:])
			if next < 0 {
				break
			}
			i += next
			if whole, err := v.wholeAt(at + int64(i)); whole || err != nil {
				return at + int64(i), err
			}
		}
		at += int64(len(b)) - batch.HeaderSizeBytes + 1
	}
	return v.size, nil
}

// wholeAt says whether a whole batch of this segment begins at a position.
func (v *salvager) wholeAt(at int64) (bool, error) {
	if at+batch.HeaderSizeBytes > v.size {
		return false, nil
	}
	var head [batch.HeaderSizeBytes]byte
	if err := v.read(head[:], at); err != nil {
		return false, err
	}
	h, err := batch.ParseHeader(head[:])
	if err != nil || !v.belongs(h) || at+int64(h.SizeBytes()) > v.size {
		return false, nil
	}
	err = v.eachBatch(at, at+int64(h.SizeBytes()), ignoreBatch)
	if errors.Is(err, files.ErrDamaged) {
		return false, nil
	}
	return err == nil, err
}

// kept picks what a repair keeps of the segment below the recovery point.
func (v *salvager) kept() []Run {
	var below []Run
	for i, r := range v.runs {
		if r.NextOffset <= v.point && !v.isMisplaced(i) {
			below = append(below, r)
		}
	}
	return joined(longest(below), v.gaps)
}

// isMisplaced says whether the offset of a single batch is damaged: in a log without gaps it does not continue
// the runs of several batches beside it, or is not continued by them.
func (v *salvager) isMisplaced(i int) bool {
	if v.gaps || v.runs[i].Batches > 1 {
		return false
	}
	broken := func(a, b Run) bool { return a.To == b.From && !a.continuedBy(b) }
	return i > 0 && v.runs[i-1].Batches > 1 && broken(v.runs[i-1], v.runs[i]) ||
		i+1 < len(v.runs) && v.runs[i+1].Batches > 1 && broken(v.runs[i], v.runs[i+1])
}

// lost returns the offsets for which kept holds nothing. In a compacted log only offsets beside damaged bytes count,
// and those missing before the recovery point: the active segment is never compacted.
func (v *salvager) lost(kept []Run) (lost []OffsetRange) {
	due, at := v.base, int64(0)
	for _, r := range kept {
		if due < r.BaseOffset && (at < r.From || !v.gaps) {
			lost = append(lost, OffsetRange{From: due, To: r.BaseOffset})
		}
		due, at = r.NextOffset, r.To
	}
	if end := min(v.end, v.point); due < end && (at < v.size || !v.gaps || v.hasPoint) {
		lost = append(lost, OffsetRange{From: due, To: end})
	}
	return lost
}

// keptAbove returns the batches above the recovery point that follow what is kept below it. Every start truncates what
// does not begin with a whole batch there.
func (v *salvager) keptAbove(kept []Run) []Run {
	from := int64(0)
	if n := len(kept); n > 0 {
		from = kept[n-1].To
	}
	var longest Run // a batch with a damaged offset may pretend to be the one
	for _, r := range v.runs {
		if r.From >= from && r.BaseOffset == v.point && r.Batches > longest.Batches {
			longest = r
		}
	}
	if longest.Batches == 0 {
		return nil
	}
	return []Run{{From: longest.From, To: v.size, BaseOffset: v.point}}
}

// isAll says whether runs are the whole file.
func (v *salvager) isAll(runs []Run) bool {
	at := int64(0)
	for _, r := range runs {
		if r.From != at {
			return false
		}
		at = r.To
	}
	return at == v.size
}

// longest picks runs of ascending offsets, in the order of the file, that together have the most batches, so that one
// batch with a damaged offset does not remove those behind it.
func longest(runs []Run) []Run {
	total := make([]int64, len(runs)) // batches of the best choice that ends with this run
	before := make([]int, len(runs))  // the run before it in that choice; -1: none
	var ends []int                    // the best choices, ascending both by where they end and by their batches
	for i, r := range runs {
		total[i], before[i] = r.Batches, -1
		if k := sort.Search(len(ends), func(k int) bool { return runs[ends[k]].NextOffset > r.BaseOffset }); k > 0 {
			before[i] = ends[k-1]
			total[i] += total[before[i]]
		}
		at := sort.Search(len(ends), func(k int) bool { return runs[ends[k]].NextOffset > r.NextOffset })
		if at > 0 && total[ends[at-1]] >= total[i] {
			continue // another choice has as many and leaves as much room
		}
		if at > 0 && runs[ends[at-1]].NextOffset == r.NextOffset {
			at--
		}
		to := at
		for to < len(ends) && total[ends[to]] <= total[i] {
			to++
		}
		ends = slices.Replace(ends, at, to, i)
	}
	var picked []Run
	if len(ends) > 0 {
		for i := ends[len(ends)-1]; i >= 0; i = before[i] {
			picked = append(picked, runs[i])
		}
	}
	slices.Reverse(picked)
	return picked
}

// joined merges runs that follow each other in the file, unless offsets are missing between them in a log without gaps.
func joined(runs []Run, gaps bool) []Run {
	var all []Run
	for _, r := range runs {
		if n := len(all) - 1; n >= 0 && all[n].To == r.From && (gaps || all[n].continuedBy(r)) {
			all[n].extend(r)
			continue
		}
		all = append(all, r)
	}
	return all
}

// destroyedByCleaner recognises a file of more than 1 MiB that the log cleaner of the versions c59de1e to 5d94261
// wrote. It wrote pieces of 1 MiB, each but the last too far behind: by the size of the first batch of the next piece,
// which wrote over the end of this piece where that batch was the smaller one. So before the first piece there are as
// many zeros as the first batch of the next piece has bytes. The result is the index of the first piece in kept; -1 for
// any other file.
func destroyedByCleaner(f vfs.File, kept []Run) (int, error) {
	zerosFrom, i := int64(0), 0
	if len(kept) > 0 && kept[0].From == 0 { // what the pass did not change was copied to its place
		zerosFrom, i = kept[0].To, 1
	}
	if i+1 >= len(kept) || kept[i].From == zerosFrom || kept[i].From-zerosFrom != kept[i+1].firstBytes {
		return -1, nil
	}
	if zero, err := files.AllZero(f, zerosFrom, kept[i].From); err != nil || !zero {
		return -1, err
	}
	return i, nil
}
