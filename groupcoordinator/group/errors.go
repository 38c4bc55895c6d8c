package group

import "errors"

// The errors of all types of groups (spec: groups 1, 3, 5-8, 10-14). Handlers map them to codes.
var (
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
	ErrInvalidRequest       = errors.New("request is not valid")
	ErrFencedMemberEpoch    = errors.New("member epoch is not the member's")
	ErrStaleMemberEpoch     = errors.New("member epoch is not the member's any more")
	ErrUnreleasedInstance   = errors.New("group instance ID is in use")
	ErrUnsupportedCommit    = errors.New("commits to this type of group need a newer version")
)

// ErrDamaged marks a record that this version cannot read; it stays in the log and is skipped.
var ErrDamaged = errors.New("record is damaged")
