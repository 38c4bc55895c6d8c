package log

import (
	"errors"
	"fmt"
	"io/fs"
	"path"

	"once/durability"
	"once/internal/files"
	"once/internal/vfs"
	"once/log/batch"
)

// ApplyRepairs carries out repairs of logs in a data directory, whose lock the caller holds. After an error, or a
// death in the middle, nothing is lost that the plan did not say, and another plan goes on from there.
func ApplyRepairs(under vfs.FS, dir string, repairs []*Repair) error {
	names := make([]string, len(repairs))
	for i, r := range repairs {
		names[i] = r.DirBase
	}
	if err := durability.AllowGaps(under, dir, names); err != nil {
		return fmt.Errorf("write the barrier record: %w", err)
	}
	for _, r := range repairs {
		l := &Log{fs: under, dir: path.Join(dir, r.DirBase), sizes: &defaultSizes}
		l.gaps.Store(true)
		if err := l.repair(r); err != nil {
			return fmt.Errorf("repair %s: %w", l.dir, err)
		}
	}
	return nil
}

func (l *Log) repair(r *Repair) error {
	for _, s := range r.Segments {
		if s.Action != Withdraw {
			if err := l.removeDerivedOf(s.BaseOffset); err != nil {
				return err
			}
		}
	}
	if err := l.fs.SyncDir(l.dir); err != nil {
		return err
	}
	if r.BeginAt >= 0 {
		if err := l.writeRuns(l.fileOf(r.BeginAt, suffixLog), r.above, false); err != nil {
			return err
		}
	}
	for _, s := range r.Segments {
		if err := l.repairSegment(&s); err != nil {
			return err
		}
	}
	return nil
}

func (l *Log) repairSegment(s *SegmentRepair) error {
	switch s.Action {
	case Replace:
		if err := l.writeRuns(l.fileOf(s.BaseOffset, suffixRepaired), content{s.Name, s.Kept}, true); err != nil {
			return err
		}
		return l.finishRepair(s.BaseOffset)
	case Finish:
		return l.finishRepair(s.BaseOffset)
	case Withdraw:
		if err := l.fs.Rename(l.path(s.Name), l.path(asideName(l.fs, l.dir, s.BaseOffset))); err != nil {
			return err
		}
		return l.fs.SyncDir(l.dir)
	}
	return nil
}

// removeDerivedOf removes what says something about the batches of a segment: positions, aborted transactions, and
// producers as of offsets behind its first.
func (l *Log) removeDerivedOf(base int64) error {
	names, err := l.fs.List(l.dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		offset, suffix, ok := parseName(name)
		of := ok && offset == base && (suffix == suffixIndex || suffix == suffixTimeIndex || suffix == suffixTxnIndex)
		if of || ok && offset > base && suffix == suffixSnapshot || name == txnCheckpointFile {
			if err := l.removeIfThere(l.path(name)); err != nil {
				return err
			}
		}
	}
	return nil
}

// writeRuns gives a file stretches of another one. It is synced before it has its name, and, if all is whole in it,
// read back.
func (l *Log) writeRuns(name string, of content, whole bool) (err error) {
	tmp := name + files.TmpSuffix
	out, err := files.CreateAnew(l.fs, tmp)
	if err != nil {
		return err
	}
	if err := errors.Join(l.copyRuns(out, of, whole), out.Close()); err != nil {
		return errors.Join(err, l.removeIfThere(tmp))
	}
	if err := l.fs.Rename(tmp, name); err != nil {
		return err
	}
	return l.fs.SyncDir(l.dir)
}

func (l *Log) copyRuns(out vfs.File, of content, whole bool) error {
	var size, batches int64
	if len(of.runs) > 0 {
		in, err := l.fs.OpenRead(l.path(of.name))
		if err != nil {
			return err
		}
		defer in.Close()
		for _, r := range of.runs {
			err := eachChunk(in, r.From, r.To, copyBytes, func(b []byte, at int64) error {
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
	buf := scanBuffers.Get().(*[]byte)
	defer putScanBuffer(buf)
	err := (&segment{}).eachVerified(out, 0, size, buf, false, func(int64, batch.Header, []byte) error {
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

// finishRepair puts a segment that is complete in the place of the damaged one of the same base, which is moved
// aside. What was derived from that goes before the new one has its name.
func (l *Log) finishRepair(base int64) error {
	name := l.fileOf(base, suffixLog)
	if _, err := l.fs.Stat(name); err == nil {
		if err := l.fs.Rename(name, l.path(asideName(l.fs, l.dir, base))); err != nil {
			return err
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := l.removeDerivedOf(base); err != nil {
		return err
	}
	if err := l.fs.SyncDir(l.dir); err != nil {
		return err
	}
	if err := l.fs.Rename(l.fileOf(base, suffixRepaired), name); err != nil {
		return err
	}
	return l.fs.SyncDir(l.dir)
}

// repairs finishes, at a start, the replacements of a repair that was interrupted.
func (rc *recoverer) repairs() error {
	l := rc.log
	again := false
	for _, name := range rc.names {
		if base, suffix, ok := parseName(name); ok && suffix == suffixRepaired {
			if err := l.finishRepair(base); err != nil {
				return err
			}
			again = true
		}
	}
	if !again {
		return nil
	}
	rc.report.changed = true
	names, err := l.fs.List(l.dir)
	rc.names = names
	return err
}
