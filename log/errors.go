package log

import (
	"errors"
	"fmt"
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
	// ErrUnknown: a write failed and could not be taken back. The batch may be in the log when it is
	// opened again. It comes with ErrFailed.
	ErrUnknown = errors.New("log: write failed, and it is not known how much of it is stored")
	// ErrDiskFull: what is left of the disk is reserved for the broker's own records. Nothing was
	// written.
	ErrDiskFull = errors.New("log: disk is full")
	// ErrClosed: the log was closed or removed.
	ErrClosed = errors.New("log: closed")
	// ErrFormat: a file of this package's own format has a version that this program does not know.
	ErrFormat = errors.New("log: unknown format version")
)

// errNotAsWritten: a file that was to replace another one was read back and is something else. What it was to replace
// stays.
var errNotAsWritten = errors.New("log: not what was written")

// DamagedError is stored data that is not what was written: a batch, an identity or a barrier record.
// Bytes are left as they are. Use errors.As, or errors.Is with ErrDamaged.
type DamagedError struct {
	File     string
	Position int64 // bytes from the start of the file
	Cause    error
}

// ErrDamaged matches every *DamagedError.
var ErrDamaged = errors.New("log: damaged")

// Error implements error.
func (e *DamagedError) Error() string {
	return fmt.Sprintf("log: %s is damaged at byte %d: %v", e.File, e.Position, e.Cause)
}

// Unwrap gives the cause.
func (e *DamagedError) Unwrap() error { return e.Cause }

// Is makes errors.Is(err, ErrDamaged) true.
func (e *DamagedError) Is(target error) bool { return target == ErrDamaged }
