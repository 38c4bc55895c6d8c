package consumergroup

import "errors"

// The errors of consumer groups alone.
var (
	ErrUnsupportedAssignor = errors.New("server assignor is not supported")
	ErrInvalidRegex        = errors.New("invalid regular expression")
)
