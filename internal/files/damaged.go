package files

import (
	"errors"
	"fmt"
)

// ErrFormat: a file of the broker's own format has a version that this program does not know.
var ErrFormat = errors.New("unknown format version")

// ErrDamaged matches every *DamagedError.
var ErrDamaged = errors.New("damaged")

// DamagedError reports damaged stored data: a batch, a topic ID, a barrier record, the journal. The bytes are left as
// they are. Use errors.As, or errors.Is with ErrDamaged.
type DamagedError struct {
	File     string
	Position int64 // bytes from the start of the file
	Cause    error
}

// Error implements error.
func (e *DamagedError) Error() string {
	return fmt.Sprintf("log: %s is damaged at byte %d: %v", e.File, e.Position, e.Cause)
}

// Unwrap gives the cause.
func (e *DamagedError) Unwrap() error { return e.Cause }

// Is makes errors.Is(err, ErrDamaged) true.
func (e *DamagedError) Is(target error) bool { return target == ErrDamaged }
