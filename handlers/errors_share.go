package handlers

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"once/groupcoordinator"
	"once/groupcoordinator/sharegroup"
	"once/sharecoordinator"
	"once/sharepartition"
	"once/sharepartition/window"
	"once/wire"
)

// shareErrors are those of share groups (spec: share-groups 3, 6, 7, 10, 16).
var shareErrors = []errorRow{
	{sharegroup.ErrInvalidRequest, wire.InvalidRequest},
	{sharegroup.ErrFencedMemberEpoch, wire.FencedMemberEpoch},
	{errNoSharePartition, wire.UnknownTopicOrPartition},
	{groupcoordinator.ErrNoShareOffsets, wire.UnknownTopicOrPartition},
	{window.ErrInvalidState, wire.InvalidRecordState},
	{window.ErrInvalidBatch, wire.InvalidRequest},
	{sharepartition.ErrNotLoaded, wire.UnknownTopicOrPartition},
	{sharepartition.ErrNoOffset, wire.OffsetNotAvailable},
	{sharepartition.ErrSessionNotFound, wire.ShareSessionNotFound},
	{sharepartition.ErrSessionEpoch, wire.InvalidShareSessionEpoch},
	{sharepartition.ErrSessionLimit, wire.ShareSessionLimitReached},
	{sharepartition.ErrSessionBegins, wire.InvalidRequest},
	{sharecoordinator.ErrNoState, wire.InvalidRequest},
	{sharecoordinator.ErrFencedStateEpoch, wire.FencedStateEpoch},
	{sharecoordinator.ErrFencedLeaderEpoch, wire.FencedLeaderEpoch},
	{sharecoordinator.ErrLoading, wire.CoordinatorLoadInProgress},
	{sharecoordinator.ErrClosed, wire.CoordinatorNotAvailable},
	{sharecoordinator.ErrNotCoordinator, wire.NotCoordinator},
	{sharecoordinator.ErrNotWritten, wire.CoordinatorNotAvailable},
}

// shareCodes replaces codes of the share coordinator by those that share consumers know from the leader of a partition
// (spec: share-groups 6, 10).
var shareCodes = shareCodesOf(kmsg.ShareFetch, kmsg.ShareAcknowledge)

func shareCodesOf(keys ...kmsg.Key) []downgradeRow {
	var rows []downgradeRow
	for _, key := range keys {
		for _, c := range []struct{ from, to wire.Code }{
			{wire.CoordinatorLoadInProgress, wire.CoordinatorNotAvailable},
			{wire.NotCoordinator, wire.CoordinatorNotAvailable},
			{wire.KafkaStorageError, wire.CoordinatorNotAvailable},
			{wire.FencedStateEpoch, wire.NotLeaderOrFollower},
			{wire.FencedLeaderEpoch, wire.NotLeaderOrFollower},
		} {
			rows = append(rows, downgradeRow{int16(key), allVersions, c.from, c.to})
		}
	}
	return rows
}
