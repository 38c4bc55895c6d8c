package salvage

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"

	"once/durability"
	"once/internal/files"
	"once/internal/vfs"
	"once/log"
	"once/log/batch"
)

// StoredSegment is the file of a segment in a partition's directory.
type StoredSegment struct {
	Name       string // base name; not always that of a .log file, see log.ParseSwapName and log.RepairedSuffix
	BaseOffset int64
	SizeBytes  int64
}

// RepairAction is the way in which a segment is repaired.
type RepairAction uint8

// The actions.
const (
	// Replace moves the damaged segment aside and puts its whole batches in its place.
	Replace RepairAction = iota
	// KeepFile leaves the segment as it is: every batch in it is whole, but some are missing.
	KeepFile
	// Finish ends a replacement that was interrupted.
	Finish
	// Withdraw moves aside a file of the cleaner that was to replace other segments: these are still there.
	Withdraw
)

// SegmentRepair is the repair of one segment.
type SegmentRepair struct {
	StoredSegment
	Action    RepairAction
	Damage    *files.DamagedError // the first damage; nil for Finish
	ByCleaner bool                // the log cleaner of an earlier version damaged it, see docs/repair.md
	Kept      []Run               // what Replace keeps, and what KeepFile finds
	Lost      []OffsetRange       // of Replace and KeepFile; a compacted log may never have had some of them
	Aside     string              // base name that the damaged file gets, of Replace and Withdraw
}

// Batches is the number of whole batches to keep.
func (s *SegmentRepair) Batches() (n int64) {
	for _, r := range s.Kept {
		n += r.Batches
	}
	return n
}

// Repair is the repair of one partition's log.
type Repair struct {
	DirBase   string
	Compacted bool            // the log has been compacted once
	Segments  []SegmentRepair // ascending
	// BeginAt is the recovery point if a segment that begins there must be made; -1 for none.
	BeginAt int64
	Missing []OffsetRange // offsets for which there is no segment
	// Beyond is damage that the repair leaves as it is.
	Beyond []*files.DamagedError

	above    content // what the segment at BeginAt is to hold
	contents []content
}

// content lists the stretches of one file that are kept.
type content struct {
	name string
	runs []Run
}

// Needed says whether there is anything to do.
func (r *Repair) Needed() bool { return len(r.Segments) > 0 || r.BeginAt >= 0 }

// Lost returns the ranges of offsets in which batches are lost, ascending.
func (r *Repair) Lost() (lost []OffsetRange) {
	lost = append(lost, r.Missing...)
	for _, s := range r.Segments {
		lost = append(lost, s.Lost...)
	}
	return lost
}

// Plan plans the repair of the log in a directory. segments are those that the next start uses, ascending; recovery is
// how that start would open the log. Errors come from reading files.
func Plan(under vfs.FS, dir string, segments []StoredSegment, recovery durability.Recovery) (*Repair, error) {
	r := &Repair{DirBase: path.Base(dir), Compacted: recovery.Gaps, BeginAt: -1}
	p := planner{Repair: r, fs: under, dir: dir, recovery: recovery}
	point := recovery.RecoveryPoint
	if point > recovery.StartOffset && (len(segments) == 0 || segments[0].BaseOffset > point) {
		p.BeginAt = point
		p.Missing = []OffsetRange{{From: recovery.StartOffset, To: point}}
	}
	for i, s := range segments {
		if err := p.segment(s, p.placeOf(segments, i)); err != nil {
			return nil, fmt.Errorf("read %s: %w", path.Join(dir, s.Name), err)
		}
	}
	if len(p.Beyond) > 0 { // the whole log stays as it is
		p.Segments, p.BeginAt = nil, -1
	}
	return r, nil
}

// planner fills a Repair.
type planner struct {
	*Repair
	fs       vfs.FS
	dir      string
	recovery durability.Recovery
}

// place is the range of offsets of a segment, by its neighbours.
type place struct {
	end      int64 // offset that it does not reach beyond
	must     int64 // offset that it has to reach; -1 for none
	above    bool  // the next start decides about its batches above the recovery point
	hasPoint bool  // the recovery point is in it, and no other segment begins there
	last     bool
}

func (p *planner) placeOf(segments []StoredSegment, i int) place {
	at := place{end: segments[i].BaseOffset + log.MaxSegmentOffsets, must: -1, last: i+1 == len(segments)}
	point := p.recovery.RecoveryPoint
	if at.last {
		at.above, at.hasPoint = true, true
	} else {
		next := segments[i+1].BaseOffset
		at.above, at.hasPoint = next >= point, next > point
		if !at.above || at.hasPoint {
			at.end = min(at.end, next)
		} // else it may still have what an interrupted start has copied to the next one
		if !p.recovery.Gaps {
			at.must = min(next, point)
		}
	}
	if at.hasPoint {
		at.must = point
	}
	return at
}

// segment plans the repair of one segment.
func (p *planner) segment(s StoredSegment, at place) error {
	f, err := p.fs.OpenRead(path.Join(p.dir, s.Name))
	if err != nil {
		return err
	}
	defer f.Close()
	v := salvager{
		dir: p.dir, base: s.BaseOffset, gaps: p.recovery.Gaps, file: f, size: s.SizeBytes,
		place: at, point: p.recovery.RecoveryPoint,
	}
	whole := content{s.Name, []Run{{From: 0, To: s.SizeBytes}}}
	if s.BaseOffset >= v.point {
		p.contents = append(p.contents, whole)
		return nil
	}
	intact, err := v.isIntact()
	if err != nil {
		return err
	}
	_, suffix, _ := log.ParseFileName(s.Name)
	_, _, isSwap := log.ParseSwapName(s.Name)
	switch {
	case suffix == log.RepairedSuffix:
		p.Segments = append(p.Segments, SegmentRepair{StoredSegment: s, Action: Finish})
	case intact:
	case v.overlaps:
		p.Beyond = append(p.Beyond, v.damage)
		return nil
	case isSwap:
		return p.withdraw(s, v.damage)
	default:
		return p.damaged(&v, s)
	}
	p.contents = append(p.contents, whole)
	return nil
}

// withdraw plans for a damaged file of the cleaner that was to replace other segments. The first of these is the last
// one to be deleted.
func (p *planner) withdraw(s StoredSegment, damage *files.DamagedError) error {
	_, err := p.fs.Stat(path.Join(p.dir, log.FileName(s.BaseOffset, log.LogSuffix)))
	if err == nil {
		r := SegmentRepair{StoredSegment: s, Action: Withdraw, Damage: damage, Aside: p.asideName(s.BaseOffset)}
		p.Segments = append(p.Segments, r)
		return nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	p.Beyond = append(p.Beyond, &files.DamagedError{File: path.Join(p.dir, s.Name), Position: damage.Position,
		Cause: fmt.Errorf("%w; compaction was interrupted while it put this file in its place: "+
			"the next start ends that, and then a repair can go on", damage.Cause)})
	return nil
}

// damaged plans for a segment that is damaged below the recovery point.
func (p *planner) damaged(v *salvager, s StoredSegment) error {
	if err := v.search(); err != nil {
		return err
	}
	r := SegmentRepair{StoredSegment: s, Damage: v.damage, Kept: v.kept()}
	r.Lost = v.lost(r.Kept)
	stays := content{s.Name, r.Kept}
	if v.hasPoint {
		p.BeginAt, p.above = v.point, content{name: s.Name}
		if !p.recovery.Clean { // after a clean stop there is nothing above
			p.above.runs = v.keptAbove(r.Kept)
		}
		stays.runs = append(append([]Run{}, r.Kept...), p.above.runs...)
	}
	p.contents = append(p.contents, stays)
	if v.isAll(r.Kept) {
		r.Action = KeepFile
	} else {
		r.Aside = p.asideName(s.BaseOffset)
	}
	if p.recovery.Gaps && !v.last {
		first, err := destroyedByCleaner(v.file, r.Kept)
		if err != nil {
			return err
		}
		if r.ByCleaner = first >= 0; r.ByCleaner { // nothing stood where the zeros are
			r.Lost = slices.DeleteFunc(r.Lost, func(o OffsetRange) bool { return o.To == r.Kept[first].BaseOffset })
		}
	}
	p.Segments = append(p.Segments, r)
	return nil
}

// asideName is the first free name for a damaged segment.
func (p *planner) asideName(base int64) string { return log.AsideName(p.fs, p.dir, base) }

// EachBatch calls fn with each batch of the repaired log, in order. Batches of withdrawn files are left out. raw is
// valid during the call.
func (r *Repair) EachBatch(under vfs.FS, dir string, fn func(h batch.Header, raw []byte) error) error {
	for _, c := range r.contents {
		f, err := under.OpenRead(path.Join(dir, c.name))
		if err != nil {
			return err
		}
		for _, run := range c.runs {
			err = log.EachVerified(f, dir, 0, run.From, run.To, true, func(_ int64, h batch.Header, raw []byte) error {
				return fn(h, raw)
			})
			if errors.Is(err, files.ErrDamaged) { // above the recovery point, where the next start cuts
				err = nil
			}
			if err != nil {
				break
			}
		}
		if err = errors.Join(err, f.Close()); err != nil {
			return err
		}
	}
	return nil
}
