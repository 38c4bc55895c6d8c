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
const (
	suffixRepaired = ".log.repaired" // counts in the place of the damaged segment of the same base
	infixDamaged   = ".damaged-"     // a damaged segment that has been moved aside
)

// AsideName is the first free name for a damaged segment.
func AsideName(under vfs.FS, dir string, base int64) string {
	for n := 0; ; n++ {
		name := fmt.Sprintf("%s%s%d", stem(base), infixDamaged, n)
		if _, err := under.Stat(path.Join(dir, name)); err != nil { // whoever uses it finds out about other errors
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
		offset, suffix, ok := parseName(name)
		of := ok && offset == base && (suffix == suffixIndex || suffix == suffixTimeIndex || suffix == suffixTxnIndex)
		if of || ok && offset > base && suffix == suffixSnapshot || name == txnCheckpointFile {
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
	name := path.Join(dir, FileName(base, suffixLog))
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
	if err := under.Rename(path.Join(dir, FileName(base, suffixRepaired)), name); err != nil {
		return err
	}
	return under.SyncDir(dir)
}

// finishRepairs finishes, at a start, the finishRepairs that were interrupted.
func (rc *recoverer) finishRepairs() error {
	l := rc.log
	again := false
	for _, name := range rc.names {
		if base, suffix, ok := parseName(name); ok && suffix == suffixRepaired {
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
