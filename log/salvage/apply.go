package salvage

import (
	"errors"
	"fmt"
	"path"

	"once/durability"
	"once/internal/files"
	"once/internal/vfs"
	"once/log"
	"once/log/batch"
)

// Apply carries out repairs of logs in a data directory, whose lock the caller holds. After an error or a crash nothing
// is lost beyond the plan, and another plan can continue.
func Apply(under vfs.FS, dir string, repairs []*Repair) error {
	names := make([]string, len(repairs))
	for i, r := range repairs {
		names[i] = r.DirBase
	}
	if err := durability.AllowGaps(under, dir, names); err != nil {
		return fmt.Errorf("write the barrier record: %w", err)
	}
	for _, r := range repairs {
		a := applier{fs: under, dir: path.Join(dir, r.DirBase)}
		if err := a.repair(r); err != nil {
			return fmt.Errorf("repair %s: %w", a.dir, err)
		}
	}
	return nil
}

// applier carries out the repair of one log.
type applier struct {
	fs  vfs.FS
	dir string
}

// copyBytes is one step of a copy.
const copyBytes = 1 << 20

func (a *applier) path(name string) string { return path.Join(a.dir, name) }

func (a *applier) repair(r *Repair) error {
	for _, s := range r.Segments {
		if s.Action != Withdraw {
			if err := log.RemoveDerivedOf(a.fs, a.dir, s.BaseOffset); err != nil {
				return err
			}
		}
	}
	if err := a.fs.SyncDir(a.dir); err != nil {
		return err
	}
	if r.BeginAt >= 0 {
		if err := a.writeRuns(a.path(log.FileName(r.BeginAt, log.LogSuffix)), r.above, false); err != nil {
			return err
		}
	}
	for _, s := range r.Segments {
		if err := a.repairSegment(&s); err != nil {
			return err
		}
	}
	return nil
}

func (a *applier) repairSegment(s *SegmentRepair) error {
	switch s.Action {
	case Replace:
		name := a.path(log.FileName(s.BaseOffset, log.RepairedSuffix))
		if err := a.writeRuns(name, content{s.Name, s.Kept}, true); err != nil {
			return err
		}
		return log.FinishRepair(a.fs, a.dir, s.BaseOffset)
	case Finish:
		return log.FinishRepair(a.fs, a.dir, s.BaseOffset)
	case Withdraw:
		if err := a.fs.Rename(a.path(s.Name), a.path(log.AsideName(a.fs, a.dir, s.BaseOffset))); err != nil {
			return err
		}
		return a.fs.SyncDir(a.dir)
	}
	return nil
}

// writeRuns copies stretches of a file to a new one. It syncs the new file before it gives it its name and, if all
// batches in it are whole, reads it back.
func (a *applier) writeRuns(name string, of content, whole bool) (err error) {
	tmp := name + files.TmpSuffix
	out, err := files.CreateAnew(a.fs, tmp)
	if err != nil {
		return err
	}
	if err := errors.Join(a.copyRuns(out, of, whole), out.Close()); err != nil {
		return errors.Join(err, files.RemoveIfThere(a.fs, tmp))
	}
	if err := a.fs.Rename(tmp, name); err != nil {
		return err
	}
	return a.fs.SyncDir(a.dir)
}

func (a *applier) copyRuns(out vfs.File, of content, whole bool) error {
	var size, batches int64
	if len(of.runs) > 0 {
		in, err := a.fs.OpenRead(a.path(of.name))
		if err != nil {
			return err
		}
		defer in.Close()
		for _, r := range of.runs {
			err := files.EachChunk(in, r.From, r.To, copyBytes, func(b []byte, at int64) error {
				_, err := out.WriteAt(b, size+at-r.From)
				return err
			})
			if err != nil {
				return err
			}
			size += r.To - r.From
			batches += r.Batches
		}
	}
	if err := out.Sync(); err != nil || !whole {
		return err
	}
	err := log.EachVerified(out, a.dir, 0, 0, size, false, func(int64, batch.Header, []byte) error {
		batches--
		return nil
	})
	if err == nil && batches != 0 {
		err = errors.New("it does not have as many batches as were whole")
	}
	if err != nil {
		return fmt.Errorf("read back what was written: %w", err)
	}
	return nil
}
