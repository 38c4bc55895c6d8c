package log

import (
	"errors"
	"io/fs"
	"path"

	"once/internal/files"
	"once/internal/vfs"
)

// What follows is for tools that read the data directory of a stopped broker. Nothing here opens a log or writes.

// ParseSwapName splits the name of a segment that the next start puts in the place of all those from base up to end;
// see Log.FinishCleaning.
func ParseSwapName(name string) (base, end int64, ok bool) {
	sw, ok := parseSwap(name)
	return sw.base, sw.end, ok
}

// DecodeTxnIndex reads a .txnindex file of a segment. The error describes the first bad entry; the entries before it
// are returned.
func DecodeTxnIndex(b []byte, baseOffset int64) ([]AbortedTxn, error) {
	whole := len(b) / abortedEntryBytes * abortedEntryBytes
	for n := whole; ; n -= abortedEntryBytes {
		entries, err := decodeAborted(b[:n], baseOffset)
		if err != nil && n > 0 {
			continue
		}
		if n < len(b) {
			_, err = decodeAborted(b, baseOffset)
		}
		return entries, err
	}
}

// ReadTxnCheckpoint reads the txnindex-checkpoint of a partition's directory; found is false when there
// is none.
func ReadTxnCheckpoint(f vfs.FS, dir string) (c TxnCheckpoint, found bool, err error) {
	b, err := files.ReadSmall(f, path.Join(dir, TxnCheckpointFile))
	if errors.Is(err, fs.ErrNotExist) {
		return c, false, nil
	}
	if err != nil {
		return c, true, err
	}
	c, err = decodeTxnCheckpoint(b)
	return c, true, err
}
