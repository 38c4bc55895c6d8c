package groupcoordinator

import "errors"

// The errors of requests. Handlers map them to codes (spec: groups 1, 3, 5-8, 10-14).
var (
	ErrLoading              = errors.New("group coordinator is loading")
	ErrClosed               = errors.New("group coordinator is stopping")
	ErrInvalidGroupID       = errors.New("group ID is empty")
	ErrSessionTimeout       = errors.New("session timeout is outside of what the broker allows")
	ErrUnknownMember        = errors.New("member is not in the group")
	ErrFencedInstance       = errors.New("group instance ID belongs to another member by now")
	ErrIllegalGeneration    = errors.New("generation is not the group's current one")
	ErrInconsistentProtocol = errors.New("protocol type or protocols do not fit the group")
	ErrRebalanceInProgress  = errors.New("group is rebalancing")
	ErrMemberIDRequired     = errors.New("join again with the member ID given")
	ErrGroupFull            = errors.New("group has its maximum size")
	ErrGroupNotFound        = errors.New("group does not exist")
	ErrGroupNotEmpty        = errors.New("group has members")
	ErrSubscribed           = errors.New("group is subscribed to the topic")
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

// errDamaged marks a record that this version cannot read; it stays in the log and is skipped.
var errDamaged = errors.New("record is damaged")
