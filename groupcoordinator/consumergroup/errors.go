package consumergroup

import "errors"

// The errors of consumer groups, besides those of package group.
var (
	ErrInvalidRequest       = errors.New("invalid heartbeat")
	ErrUnsupportedAssignor  = errors.New("server assignor is not supported")
	ErrInvalidRegex         = errors.New("invalid regular expression")
	ErrFencedMemberEpoch    = errors.New("member has to give up its partitions and to rejoin")
	ErrUnreleasedInstance   = errors.New("group instance ID belongs to another member")
	ErrStaleMemberEpoch     = errors.New("member epoch is not the member's current one")
	ErrMemberEpochsRequired = errors.New("members of the consumer protocol commit with newer versions")
)
