package meta

import (
	"errors"
	"fmt"
	"strings"
)

var (
	// ErrLocked: another process has the file open.
	ErrLocked = errors.New("metadata is in use by another process")
	// ErrDamaged: the file has changed, is no metadata file, or is of an unknown version. Every error of this kind is a
	// *DamagedError.
	ErrDamaged = errors.New("metadata is damaged")
	// ErrFailed: a write or a sync of the file failed, now or earlier. The content of the disk is unknown, and all
	// calls of the store fail until it is opened again.
	ErrFailed = errors.New("a write or sync of the metadata failed")
	// ErrNoSpace: the disk has no room for the change. Nothing has changed, and the store can be used.
	ErrNoSpace = errors.New("no space left for the metadata")
)

// noPage and noPosition stand for an unknown place.
const (
	noPage     = -1
	noPosition = -1
)

// DamagedError describes damage in a metadata file and its place. It is an ErrDamaged.
type DamagedError struct {
	File     string
	Page     int64 // of the file; -1 when it is not known
	Position int64 // bytes from the start of the file; -1 when it is not known
	Bucket   Bucket
	Key      string
	Cause    error
}

// Error implements error.
func (e *DamagedError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%v: %s", ErrDamaged, e.File)
	if e.Page != noPage {
		fmt.Fprintf(&b, ", page %d", e.Page)
	}
	if e.Position != noPosition {
		fmt.Fprintf(&b, ", byte %d", e.Position)
	}
	if e.Bucket != "" {
		fmt.Fprintf(&b, ", bucket %q", string(e.Bucket))
	}
	if e.Key != "" {
		fmt.Fprintf(&b, ", record %q", e.Key)
	}
	fmt.Fprintf(&b, ": %v. The file stays as it is; restore the data directory from a copy that was made while "+
		"the broker was stopped", e.Cause)
	return b.String()
}

// Unwrap gives the cause.
func (e *DamagedError) Unwrap() error { return e.Cause }

// Is makes errors.Is(err, ErrDamaged) true.
func (e *DamagedError) Is(target error) bool { return target == ErrDamaged }

// damaged is damage at an unknown place in a file.
func damaged(file, format string, args ...any) *DamagedError {
	return &DamagedError{File: file, Page: noPage, Position: noPosition, Cause: fmt.Errorf(format, args...)}
}
