package handlers

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"once/groupcoordinator"
	"once/groupcoordinator/streamsgroup"
	"once/wire"
)

// groupErrors end with the errors of the group log. Those wrap the partition's error, whose own row comes first;
// groupLogCodes then replaces the code by one that group clients handle.
var groupErrors = []errorRow{
	{groupcoordinator.ErrLoading, wire.CoordinatorLoadInProgress},
	{groupcoordinator.ErrUnsupportedAssignor, wire.UnsupportedAssignor},
	{groupcoordinator.ErrInvalidRegex, wire.InvalidRegularExpression},
	{groupcoordinator.ErrProtocolNotServed, wire.UnsupportedVersion},
	{groupcoordinator.ErrClosed, wire.CoordinatorNotAvailable},
	{groupcoordinator.ErrNotCoordinator, wire.NotCoordinator},
	{groupcoordinator.ErrInvalidGroupID, wire.InvalidGroupID},
	{groupcoordinator.ErrSessionTimeout, wire.InvalidSessionTimeout},
	{groupcoordinator.ErrUnknownMember, wire.UnknownMemberID},
	{groupcoordinator.ErrFencedInstance, wire.FencedInstanceID},
	{groupcoordinator.ErrIllegalGeneration, wire.IllegalGeneration},
	{groupcoordinator.ErrInconsistentProtocol, wire.InconsistentGroupProtocol},
	{groupcoordinator.ErrRebalanceInProgress, wire.RebalanceInProgress},
	{groupcoordinator.ErrMemberIDRequired, wire.MemberIDRequired},
	{groupcoordinator.ErrGroupFull, wire.GroupMaxSizeReached},
	{groupcoordinator.ErrGroupNotFound, wire.GroupIDNotFound},
	{groupcoordinator.ErrNoMember, wire.UnknownMemberID},
	{groupcoordinator.ErrGroupNotEmpty, wire.NonEmptyGroup},
	{groupcoordinator.ErrSubscribed, wire.GroupSubscribedToTopic},
	{groupcoordinator.ErrInvalidRequest, wire.InvalidRequest},
	{groupcoordinator.ErrFencedMemberEpoch, wire.FencedMemberEpoch},
	{groupcoordinator.ErrStaleMemberEpoch, wire.StaleMemberEpoch},
	{groupcoordinator.ErrUnreleasedInstance, wire.UnreleasedInstanceID},
	{groupcoordinator.ErrUnsupportedCommit, wire.UnsupportedVersion},
	{streamsgroup.ErrInvalidTopology, wire.StreamsInvalidTopology},
	{groupcoordinator.ErrMetadataTooLarge, wire.OffsetMetadataTooLarge},
	{groupcoordinator.ErrUnstableOffset, wire.UnstableOffsetCommit},
	{groupcoordinator.ErrBatchTooLarge, wire.MessageTooLarge},
	{groupcoordinator.ErrNotWritten, wire.NotCoordinator},
	{groupcoordinator.ErrNotDurable, wire.CoordinatorNotAvailable},
}

var groupDowngrades = []downgradeRow{
	{int16(kmsg.OffsetCommit), 9, wire.GroupIDNotFound, wire.IllegalGeneration},
	{int16(kmsg.TxnOffsetCommit), 6, wire.GroupIDNotFound, wire.IllegalGeneration},
	{int16(kmsg.TxnOffsetCommit), 6, wire.StaleMemberEpoch, wire.IllegalGeneration},
	{int16(kmsg.TxnOffsetCommit), 2, wire.CoordinatorLoadInProgress, wire.CoordinatorNotAvailable},
	// Consumers before 3.9 do not retry an OffsetFetch with code 15.
	{int16(kmsg.OffsetFetch), allVersions, wire.CoordinatorNotAvailable, wire.NotCoordinator},
}

// groupLogCodes replaces the codes of a failed append to the group log (spec: groups 1): clients must look for the
// coordinator again, rather than for a topic that they do not know. If a request names such a topic itself, the same
// codes stay.
var groupLogCodes = groupLogCodesOf(
	kmsg.JoinGroup, kmsg.SyncGroup, kmsg.LeaveGroup, kmsg.OffsetCommit, kmsg.OffsetFetch, kmsg.TxnOffsetCommit,
	kmsg.DeleteGroups, kmsg.OffsetDelete, kmsg.ConsumerGroupHeartbeat, kmsg.StreamsGroupHeartbeat)

func groupLogCodesOf(keys ...kmsg.Key) []downgradeRow {
	var rows []downgradeRow
	for _, key := range keys {
		for _, c := range []struct{ from, to wire.Code }{
			{wire.UnknownTopicOrPartition, wire.CoordinatorNotAvailable},
			{wire.NotEnoughReplicas, wire.CoordinatorNotAvailable},
			{wire.RequestTimedOut, wire.CoordinatorNotAvailable},
			{wire.NotLeaderOrFollower, wire.NotCoordinator},
			{wire.KafkaStorageError, wire.NotCoordinator},
			{wire.MessageTooLarge, wire.UnknownServerError},
			{wire.RecordListTooLarge, wire.UnknownServerError},
		} {
			rows = append(rows, downgradeRow{int16(key), allVersions, c.from, c.to})
		}
	}
	return rows
}
