package log

import (
	"errors"
	"fmt"
	"io/fs"
	"path"

	"once/internal/files"
	"once/internal/vfs"
)

// The next start finishes a repair by package salvage that was interrupted.

// AsideName is the first free name for a damaged segment.
func AsideName(under vfs.FS, dir string, base int64) string {
	for n := 0; ; n++ {
		name := fmt.Sprintf("%s%s%d", stem(base), DamagedInfix, n)
		if _, err := under.Stat(path.Join(dir, name)); err != nil { // its users meet other errors
			return name
		}
	}
}

// RemoveDerivedOf removes the files derived from the batches of a segment: indexes, aborted transactions, and
// snapshots above its base offset.
func RemoveDerivedOf(under vfs.FS, dir string, base int64) error {
	names, err := under.List(dir)
	if err != nil {
		return err
	}
	for _, name := range names {
		offset, suffix, ok := ParseFileName(name)
		of := ok && offset == base && (suffix == IndexSuffix || suffix == TimeIndexSuffix || suffix == TxnIndexSuffix)
		if of || ok && offset > base && suffix == SnapshotSuffix || name == TxnCheckpointFile {
			if err := files.RemoveIfThere(under, path.Join(dir, name)); err != nil {
				return err
			}
		}
	}
	return nil
}

// FinishRepair puts the complete repaired segment in the place of the damaged one of the same base, which is moved
// aside. It removes the files derived from the damaged one first.
func FinishRepair(under vfs.FS, dir string, base int64) error {
	name := path.Join(dir, FileName(base, LogSuffix))
	if _, err := under.Stat(name); err == nil {
		if err := under.Rename(name, path.Join(dir, AsideName(under, dir, base))); err != nil {
			return err
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := RemoveDerivedOf(under, dir, base); err != nil {
		return err
	}
	if err := under.SyncDir(dir); err != nil {
		return err
	}
	if err := under.Rename(path.Join(dir, FileName(base, RepairedSuffix)), name); err != nil {
		return err
	}
	return under.SyncDir(dir)
}

// finishRepairs finishes, at a start, the finishRepairs that were interrupted.
func (rc *recoverer) finishRepairs() error {
	l := rc.log
	again := false
	for _, name := range rc.names {
		if base, suffix, ok := ParseFileName(name); ok && suffix == RepairedSuffix {
			if err := FinishRepair(l.fs, l.dir, base); err != nil {
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
