package log

import (
	"errors"
)

var (
	// ErrOutOfRange: the offset is below the log start offset or above the log end offset.
	ErrOutOfRange = errors.New("log: offset out of range")
	// ErrFailed: an earlier write or sync failed and what is on disk is not known. The log takes no
	// append until it is opened again.
	ErrFailed = errors.New("log: failed earlier, not writable")
	// ErrNotWritten: the disk refused a write, what was written of it has been taken out again, and the
	// log goes on.
	ErrNotWritten = errors.New("log: not written")
	// ErrAppendInDoubt: a write failed and could not be taken back. The batch may be in the log when it is
	// opened again. It comes with ErrFailed.
	ErrAppendInDoubt = errors.New("log: write failed, and it is not known how much of it is stored")
	// ErrClosed: the log was closed or removed.
	ErrClosed = errors.New("log: closed")
)

// errNotAsWritten: a file that was to replace another one was read back and is something else. What it was to replace
// stays.
var errNotAsWritten = errors.New("log: not what was written")
