package log

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"strconv"
	"strings"

	"once/internal/vfs"
)

// File names of a partition's directory (spec: log 5). A name that is none of these is left alone.
const (
	suffixLog       = ".log"
	suffixIndex     = ".index"
	suffixTimeIndex = ".timeindex"
	suffixTxnIndex  = ".txnindex"
	suffixSnapshot  = ".snapshot"
	// suffixKept is a copy of what recovery keeps, until it gets its final name.
	suffixKept = ".log.kept"
	suffixTmp  = ".tmp"
	// suffixBelow is an empty file: segments below its offset are being deleted.
	suffixBelow = ".below"

	metadataFile        = "partition.metadata"
	epochCheckpointFile = "leader-epoch-checkpoint"
	txnCheckpointFile   = "txnindex-checkpoint"

	stemDigits = 20
	// maxOffset leaves room to add to any offset; no log gets there.
	maxOffset = 1 << 62
	// maxSmallFileBytes bounds what is read whole: checkpoints, indexes, snapshots.
	maxSmallFileBytes = 1 << 28
)

// stem is the name of everything that belongs to an offset.
func stem(offset int64) string { return fmt.Sprintf("%0*d", stemDigits, offset) }

// parseName splits `00000000000000000042.log` into 42 and `.log`.
func parseName(name string) (offset int64, suffix string, ok bool) {
	if len(name) <= stemDigits || name[stemDigits] != '.' {
		return 0, "", false
	}
	for _, c := range name[:stemDigits] {
		if c < '0' || c > '9' {
			return 0, "", false
		}
	}
	offset, err := strconv.ParseInt(name[:stemDigits], 10, 64)
	return offset, name[stemDigits:], err == nil && offset <= maxOffset
}

func (l *Log) path(name string) string { return path.Join(l.dir, name) }

func (l *Log) fileOf(offset int64, suffix string) string { return l.path(stem(offset) + suffix) }

// readSmall reads a whole file, at most maxSmallFileBytes of it.
func readSmall(f vfs.FS, name string) ([]byte, error) {
	file, err := f.OpenRead(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	size, err := file.Size()
	if err != nil {
		return nil, err
	}
	if size > maxSmallFileBytes {
		return nil, fmt.Errorf("%s has %d bytes, more than any such file can have", name, size)
	}
	b := make([]byte, size)
	n, err := file.ReadAt(b, 0)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	return b[:n], nil
}

// replaceFile gives name the content b, whole or not at all when the process dies. After a power cut
// the content can be anything unless a barrier came between, so whoever reads it must be able to tell.
func replaceFile(f vfs.FS, name string, b []byte) error {
	tmp := name + suffixTmp
	file, err := createAnew(f, tmp)
	if err != nil {
		return err
	}
	_, err = file.WriteAt(b, 0)
	if cerr := file.Close(); err == nil {
		err = cerr
	}
	if err != nil {
		return err
	}
	return f.Rename(tmp, name)
}

// createAnew is Create where a file left over from an earlier try is replaced.
func createAnew(f vfs.FS, name string) (vfs.File, error) {
	file, err := f.Create(name)
	if !errors.Is(err, fs.ErrExist) {
		return file, err
	}
	if err := f.Remove(name); err != nil {
		return nil, err
	}
	return f.Create(name)
}

// openOrCreate opens name for writing, making it when missing.
func openOrCreate(f vfs.FS, name string) (vfs.File, error) {
	file, err := f.OpenReadWrite(name)
	if errors.Is(err, fs.ErrNotExist) {
		return f.Create(name)
	}
	return file, err
}

// isLogDirectory says whether a name in the data directory is that of a partition: `orders-0`.
func isLogDirectory(name string) bool {
	i := strings.LastIndexByte(name, '-')
	if i <= 0 {
		return false
	}
	n, err := strconv.ParseInt(name[i+1:], 10, 32)
	return err == nil && n >= 0
}
