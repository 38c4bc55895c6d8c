package log

import "errors"

var (
	// ErrOutOfRange: the offset is below the log start offset or above the log end offset.
	ErrOutOfRange = errors.New("log: offset out of range")
	// ErrFailed: an earlier write or sync failed and what is on disk is not known. The log takes no
	// append until it is opened again.
	ErrFailed = errors.New("log: failed earlier, not writable")
	// ErrNotWritten: a write failed and was undone. The log still takes appends.
	ErrNotWritten = errors.New("log: not written")
	// ErrAppendInDoubt: a write failed and could not be undone. The batch may be in the log when it is opened
	// again. It comes with ErrFailed.
	ErrAppendInDoubt = errors.New("log: write failed, and it is not known how much of it is stored")
	// ErrClosed: the log was closed or removed.
	ErrClosed = errors.New("log: closed")
)
