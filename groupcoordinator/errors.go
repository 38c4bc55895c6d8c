package groupcoordinator

import (
	"errors"
	"fmt"

	"once/groupcoordinator/consumergroup"
	"once/groupcoordinator/group"
)

// The errors of requests. Handlers map them to codes (spec: groups 1, 3, 5-8, 10-14).
var (
	ErrLoading              = errors.New("group coordinator is loading")
	ErrClosed               = errors.New("group coordinator is stopping")
	ErrNotCoordinator       = errors.New("partition of the group is offline")
	ErrInvalidGroupID       = errors.New("group ID is empty")
	ErrSessionTimeout       = errors.New("session timeout is outside of what the broker allows")
	ErrUnknownMember        = group.ErrUnknownMember
	ErrFencedInstance       = group.ErrFencedInstance
	ErrIllegalGeneration    = group.ErrIllegalGeneration
	ErrInconsistentProtocol = group.ErrInconsistentProtocol
	ErrRebalanceInProgress  = group.ErrRebalanceInProgress
	ErrMemberIDRequired     = group.ErrMemberIDRequired
	ErrGroupFull            = group.ErrGroupFull
	ErrGroupNotFound        = group.ErrGroupNotFound
	ErrGroupNotEmpty        = group.ErrGroupNotEmpty
	ErrSubscribed           = group.ErrSubscribed
	ErrUnsupportedAssignor  = consumergroup.ErrUnsupportedAssignor
	ErrInvalidRegex         = consumergroup.ErrInvalidRegex
	ErrProtocolNotServed    = errors.New("the protocol of the group is not served")
	ErrInvalidRequest       = group.ErrInvalidRequest
	ErrFencedMemberEpoch    = group.ErrFencedMemberEpoch
	ErrStaleMemberEpoch     = group.ErrStaleMemberEpoch
	ErrUnreleasedInstance   = group.ErrUnreleasedInstance
	ErrUnsupportedCommit    = group.ErrUnsupportedCommit
	ErrMetadataTooLarge     = errors.New("metadata of the offset is too large")
	ErrUnstableOffset       = errors.New("offset is staged in an open transaction")

	// ErrBatchTooLarge: the records of a request do not fit Config.MaxBatchBytes. None of them is stored.
	ErrBatchTooLarge = errors.New("records of the group are too large")
	// ErrNotWritten wraps the error of a state log that appended nothing: memory and log are unchanged.
	ErrNotWritten = errors.New("group log did not take the records")
	// ErrNotDurable wraps the error of a state log that appended the records but cannot make them durable; the outcome
	// is open.
	ErrNotDurable = errors.New("group log cannot confirm the records")
)

// noGroupError is ErrGroupNotFound in the words that Kafka's tools show.
type noGroupError struct {
	groupID string
	wanted  group.Type
	isOther bool // there is a group of another type
}

func (e *noGroupError) Error() string {
	if e.isOther {
		return fmt.Sprintf("Group %s is not a %s group.", e.groupID, e.wanted)
	}
	return fmt.Sprintf("Group %s not found.", e.groupID)
}

// Unwrap makes it an ErrGroupNotFound.
func (e *noGroupError) Unwrap() error { return ErrGroupNotFound }

// noGroupLocked is the error for a request that needs a group of that type, which the ID does not name.
func (s *shard) noGroupLocked(groupID string, wanted group.Type) error {
	return &noGroupError{groupID, wanted, s.mu.groups[groupID] != nil}
}
