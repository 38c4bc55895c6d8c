package handlers

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/wire"
)

// produceAdvertised is the lowest advertised Produce version, though none below 3 is served: librdkafka takes Produce
// v0 as the sign that a broker supports compression (KAFKA-18659).
var produceAdvertised int16

// row is an API that is served: its versions, those of Kafka 4.4, its handler, and its answer with nothing but an
// error. Dispatch, the ApiVersions answer and the metric labels use it.
type row struct {
	wire.API
	handle   func(s *Services, ctx context.Context, r *wire.Request) wire.Reply
	fail     failFunc
	subjects subjectsFunc // nil: it is about the cluster as a whole, or the connection
	// singleConnectionBelow: in lower versions clients before transactions V2 send the request for a transactional ID,
	// and closeOlderConnection checks it.
	singleConnectionBelow int16
	// feature is the feature without which the request is refused, as gates says; "" for none.
	feature string
	// listed says whether ApiVersions shows the API; nil: always.
	listed func(*Services) bool
}

// rows returns the table of all APIs that are served.
func rows() []row {
	return []row{
		{API: wire.API{Key: int16(kmsg.Produce), Min: 3, Max: 13, Advertised: &produceAdvertised, Pipelined: true},
			handle: (*Services).produce, fail: failProduce, subjects: aboutProduce},
		{API: wire.API{Key: int16(kmsg.Fetch), Min: 4, Max: 18},
			handle: (*Services).fetch, fail: failFetch, subjects: aboutFetch},
		{API: wire.API{Key: int16(kmsg.ListOffsets), Min: 1, Max: 11},
			handle: (*Services).listOffsets, fail: failListOffsets, subjects: aboutListOffsets},
		{API: wire.API{Key: int16(kmsg.Metadata), Min: 0, Max: 13},
			handle: (*Services).metadata, fail: failMetadata, subjects: aboutMetadata},
		{API: wire.API{Key: int16(kmsg.OffsetCommit), Min: 2, Max: 10},
			handle: (*Services).offsetCommit, fail: failOffsetCommit, subjects: aboutOffsetCommit},
		{API: wire.API{Key: int16(kmsg.OffsetFetch), Min: 1, Max: 10},
			handle: (*Services).offsetFetch, fail: failOffsetFetch, subjects: aboutOffsetFetch},
		{API: wire.API{Key: int16(kmsg.FindCoordinator), Min: 0, Max: 6},
			handle: (*Services).findCoordinator, fail: failFindCoordinator, subjects: aboutFindCoordinator},
		{API: wire.API{Key: int16(kmsg.JoinGroup), Min: 0, Max: 9},
			handle: (*Services).joinGroup, fail: failJoinGroup, subjects: aboutJoinGroup},
		{API: wire.API{Key: int16(kmsg.Heartbeat), Min: 0, Max: 4},
			handle: (*Services).heartbeat, fail: failHeartbeat, subjects: aboutHeartbeat},
		{API: wire.API{Key: int16(kmsg.LeaveGroup), Min: 0, Max: 5},
			handle: (*Services).leaveGroup, fail: failLeaveGroup, subjects: aboutLeaveGroup},
		{API: wire.API{Key: int16(kmsg.SyncGroup), Min: 0, Max: 5},
			handle: (*Services).syncGroup, fail: failSyncGroup, subjects: aboutSyncGroup},
		{API: wire.API{Key: int16(kmsg.DescribeGroups), Min: 0, Max: 6},
			handle: (*Services).describeGroups, fail: failDescribeGroups, subjects: aboutDescribeGroups},
		{API: wire.API{Key: int16(kmsg.ListGroups), Min: 0, Max: 5},
			handle: (*Services).listGroups, fail: failListGroups},
		{API: wire.API{Key: int16(kmsg.SASLHandshake), Min: 0, Max: 1},
			handle: (*Services).saslHandshake, fail: failSASLHandshake},
		{API: wire.API{Key: int16(kmsg.ApiVersions), Min: 0, Max: 5},
			handle: (*Services).apiVersions, fail: failApiVersions},
		{API: wire.API{Key: int16(kmsg.CreateTopics), Min: 2, Max: 7},
			handle: (*Services).createTopics, fail: failCreateTopics, subjects: aboutCreateTopics},
		{API: wire.API{Key: int16(kmsg.DeleteTopics), Min: 1, Max: 6},
			handle: (*Services).deleteTopics, fail: failDeleteTopics, subjects: aboutDeleteTopics},
		{API: wire.API{Key: int16(kmsg.DeleteRecords), Min: 0, Max: 2},
			handle: (*Services).deleteRecords, fail: failDeleteRecords, subjects: aboutDeleteRecords},
		{API: wire.API{Key: int16(kmsg.InitProducerID), Min: 0, Max: 5},
			handle: (*Services).initProducerID, fail: failInitProducerID, subjects: aboutInitProducerID},
		{API: wire.API{Key: int16(kmsg.OffsetForLeaderEpoch), Min: 2, Max: 4},
			handle: (*Services).offsetForLeaderEpoch, fail: failOffsetForLeaderEpoch,
			subjects: aboutOffsetForLeaderEpoch},
		{API: wire.API{Key: int16(kmsg.AddPartitionsToTxn), Min: 0, Max: 5},
			handle: (*Services).addPartitionsToTxn, fail: failAddPartitionsToTxn, subjects: aboutAddPartitionsToTxn,
			singleConnectionBelow: 4},
		{API: wire.API{Key: int16(kmsg.AddOffsetsToTxn), Min: 0, Max: 4},
			handle: (*Services).addOffsetsToTxn, fail: failAddOffsetsToTxn, subjects: aboutAddOffsetsToTxn,
			singleConnectionBelow: 5},
		{API: wire.API{Key: int16(kmsg.EndTxn), Min: 0, Max: 5},
			handle: (*Services).endTxn, fail: failEndTxn, subjects: aboutEndTxn, singleConnectionBelow: 5},
		{API: wire.API{Key: int16(kmsg.WriteTxnMarkers), Min: 1, Max: 2},
			handle: (*Services).writeTxnMarkers, fail: failWriteTxnMarkers, subjects: aboutWriteTxnMarkers},
		{API: wire.API{Key: int16(kmsg.TxnOffsetCommit), Min: 0, Max: 6},
			handle: (*Services).txnOffsetCommit, fail: failTxnOffsetCommit, subjects: aboutTxnOffsetCommit},
		{API: wire.API{Key: int16(kmsg.DescribeACLs), Min: 1, Max: 3},
			handle: (*Services).describeACLs, fail: failDescribeACLs},
		{API: wire.API{Key: int16(kmsg.CreateACLs), Min: 1, Max: 3},
			handle: (*Services).createACLs, fail: failCreateACLs},
		{API: wire.API{Key: int16(kmsg.DeleteACLs), Min: 1, Max: 3},
			handle: (*Services).deleteACLs, fail: failDeleteACLs},
		{API: wire.API{Key: int16(kmsg.DescribeConfigs), Min: 1, Max: 4},
			handle: (*Services).describeConfigs, fail: failDescribeConfigs, subjects: aboutDescribeConfigs},
		{API: wire.API{Key: int16(kmsg.AlterConfigs), Min: 0, Max: 2},
			handle: (*Services).alterConfigs, fail: failAlterConfigs, subjects: aboutAlterConfigs},
		{API: wire.API{Key: int16(kmsg.AlterReplicaLogDirs), Min: 1, Max: 2},
			handle: (*Services).alterReplicaLogDirs, fail: failAlterReplicaLogDirs, subjects: aboutAlterReplicaLogDirs},
		{API: wire.API{Key: int16(kmsg.DescribeLogDirs), Min: 1, Max: 5},
			handle: (*Services).describeLogDirs, fail: failDescribeLogDirs},
		{API: wire.API{Key: int16(kmsg.SASLAuthenticate), Min: 0, Max: 2},
			handle: (*Services).saslAuthenticate, fail: failSASLAuthenticate},
		{API: wire.API{Key: int16(kmsg.CreatePartitions), Min: 0, Max: 3},
			handle: (*Services).createPartitions, fail: failCreatePartitions, subjects: aboutCreatePartitions},
		{API: wire.API{Key: int16(kmsg.CreateDelegationToken), Min: 1, Max: 3},
			handle: (*Services).createDelegationToken, fail: failCreateDelegationToken},
		{API: wire.API{Key: int16(kmsg.RenewDelegationToken), Min: 1, Max: 2},
			handle: (*Services).renewDelegationToken, fail: failRenewDelegationToken},
		{API: wire.API{Key: int16(kmsg.ExpireDelegationToken), Min: 1, Max: 2},
			handle: (*Services).expireDelegationToken, fail: failExpireDelegationToken},
		{API: wire.API{Key: int16(kmsg.DescribeDelegationToken), Min: 1, Max: 3},
			handle: (*Services).describeDelegationToken, fail: failDescribeDelegationToken},
		{API: wire.API{Key: int16(kmsg.DeleteGroups), Min: 0, Max: 3},
			handle: (*Services).deleteGroups, fail: failDeleteGroups, subjects: aboutDeleteGroups},
		{API: wire.API{Key: int16(kmsg.ElectLeaders), Min: 0, Max: 2},
			handle: (*Services).electLeaders, fail: failElectLeaders, subjects: aboutElectLeaders},
		{API: wire.API{Key: int16(kmsg.IncrementalAlterConfigs), Min: 0, Max: 1},
			handle: (*Services).incrementalAlterConfigs, fail: failIncrementalAlterConfigs,
			subjects: aboutIncrementalAlterConfigs},
		{API: wire.API{Key: int16(kmsg.AlterPartitionAssignments), Min: 0, Max: 1},
			handle: (*Services).alterPartitionReassignments, fail: failAlterPartitionReassignments,
			subjects: aboutAlterPartitionReassignments},
		{API: wire.API{Key: int16(kmsg.ListPartitionReassignments), Min: 0, Max: 0},
			handle: (*Services).listPartitionReassignments, fail: failListPartitionReassignments},
		{API: wire.API{Key: int16(kmsg.OffsetDelete), Min: 0, Max: 0},
			handle: (*Services).offsetDelete, fail: failOffsetDelete, subjects: aboutOffsetDelete},
		{API: wire.API{Key: int16(kmsg.DescribeClientQuotas), Min: 0, Max: 1},
			handle: (*Services).describeClientQuotas, fail: failDescribeClientQuotas},
		{API: wire.API{Key: int16(kmsg.AlterClientQuotas), Min: 0, Max: 1},
			handle: (*Services).alterClientQuotas, fail: failAlterClientQuotas},
		{API: wire.API{Key: int16(kmsg.DescribeUserSCRAMCredentials), Min: 0, Max: 0},
			handle: (*Services).describeUserSCRAMCredentials, fail: failDescribeUserSCRAMCredentials},
		{API: wire.API{Key: int16(kmsg.AlterUserSCRAMCredentials), Min: 0, Max: 0},
			handle: (*Services).alterUserSCRAMCredentials, fail: failAlterUserSCRAMCredentials},
		{API: wire.API{Key: int16(kmsg.DescribeQuorum), Min: 0, Max: 2},
			handle: (*Services).describeQuorum, fail: failDescribeQuorum},
		{API: wire.API{Key: int16(kmsg.UpdateFeatures), Min: 0, Max: 2},
			handle: (*Services).updateFeatures, fail: failUpdateFeatures},
		{API: wire.API{Key: int16(kmsg.DescribeCluster), Min: 0, Max: 2},
			handle: (*Services).describeCluster, fail: failDescribeCluster},
		{API: wire.API{Key: int16(kmsg.DescribeProducers), Min: 0, Max: 0},
			handle: (*Services).describeProducers, fail: failDescribeProducers, subjects: aboutDescribeProducers},
		{API: wire.API{Key: int16(kmsg.UnregisterBroker), Min: 0, Max: 0},
			handle: (*Services).unregisterBroker, fail: failUnregisterBroker},
		{API: wire.API{Key: int16(kmsg.DescribeTransactions), Min: 0, Max: 0},
			handle: (*Services).describeTransactions, fail: failDescribeTransactions,
			subjects: aboutDescribeTransactions},
		{API: wire.API{Key: int16(kmsg.ListTransactions), Min: 0, Max: 2},
			handle: (*Services).listTransactions, fail: failListTransactions},
		{API: wire.API{Key: int16(kmsg.ConsumerGroupHeartbeat), Min: 0, Max: 1},
			handle: (*Services).consumerGroupHeartbeat, fail: failConsumerGroupHeartbeat,
			subjects: aboutConsumerGroupHeartbeat},
		{API: wire.API{Key: int16(kmsg.ConsumerGroupDescribe), Min: 0, Max: 1},
			handle: (*Services).consumerGroupDescribe, fail: failConsumerGroupDescribe,
			subjects: aboutConsumerGroupDescribe},
		{API: wire.API{Key: int16(kmsg.GetTelemetrySubscriptions), Min: 0, Max: 0},
			handle: (*Services).getTelemetrySubscriptions, fail: failGetTelemetrySubscriptions,
			listed: (*Services).collectsTelemetry},
		{API: wire.API{Key: int16(kmsg.PushTelemetry), Min: 0, Max: 0},
			handle: (*Services).pushTelemetry, fail: failPushTelemetry, listed: (*Services).collectsTelemetry},
		{API: wire.API{Key: int16(kmsg.ListConfigResources), Min: 0, Max: 1},
			handle: (*Services).listConfigResources, fail: failListConfigResources},
		{API: wire.API{Key: int16(kmsg.DescribeTopicPartitions), Min: 0, Max: 0},
			handle: (*Services).describeTopicPartitions, fail: failDescribeTopicPartitions,
			subjects: aboutDescribeTopicPartitions},
		{API: wire.API{Key: int16(kmsg.AddRaftVoter), Min: 0, Max: 1},
			handle: (*Services).addRaftVoter, fail: failAddRaftVoter},
		{API: wire.API{Key: int16(kmsg.RemoveRaftVoter), Min: 0, Max: 0},
			handle: (*Services).removeRaftVoter, fail: failRemoveRaftVoter},
		{API: wire.API{Key: int16(kmsg.StreamsGroupHeartbeat), Min: 0, Max: 1},
			handle: (*Services).streamsGroupHeartbeat, fail: failStreamsGroupHeartbeat,
			subjects: aboutStreamsGroupHeartbeat},
		{API: wire.API{Key: int16(kmsg.StreamsGroupDescribe), Min: 0, Max: 1},
			handle: (*Services).streamsGroupDescribe, fail: failStreamsGroupDescribe,
			subjects: aboutStreamsGroupDescribe},
		{API: wire.API{Key: int16(kmsg.StreamsGroupTopologyDescriptionUpdate), Min: 0, Max: 0},
			handle: (*Services).streamsGroupTopologyDescriptionUpdate, fail: failStreamsGroupTopologyDescriptionUpdate,
			subjects: aboutStreamsGroupTopologyDescriptionUpdate},
		{API: wire.API{Key: int16(kmsg.UnregisterController), Min: 0, Max: 0},
			handle: (*Services).unregisterController, fail: failUnregisterController},
		{API: wire.API{Key: int16(kmsg.ShareGroupHeartbeat), Min: 1, Max: 1},
			handle: (*Services).shareGroupHeartbeat, fail: failShareGroupHeartbeat, subjects: aboutShareGroupHeartbeat},
		{API: wire.API{Key: int16(kmsg.ShareGroupDescribe), Min: 1, Max: 1},
			handle: (*Services).shareGroupDescribe, fail: failShareGroupDescribe, subjects: aboutShareGroupDescribe},
		{API: wire.API{Key: int16(kmsg.ShareFetch), Min: 1, Max: 2},
			handle: (*Services).shareFetch, fail: failShareFetch, subjects: aboutShareFetch},
		{API: wire.API{Key: int16(kmsg.ShareAcknowledge), Min: 1, Max: 2},
			handle: (*Services).shareAcknowledge, fail: failShareAcknowledge, subjects: aboutShareAcknowledge},
		{API: wire.API{Key: int16(kmsg.InitializeShareGroupState), Min: 0, Max: 0},
			handle: (*Services).initializeShareGroupState, fail: failInitializeShareGroupState,
			subjects: aboutInitializeShareGroupState},
		{API: wire.API{Key: int16(kmsg.ReadShareGroupState), Min: 0, Max: 0},
			handle: (*Services).readShareGroupState, fail: failReadShareGroupState,
			subjects: aboutReadShareGroupState},
		{API: wire.API{Key: int16(kmsg.WriteShareGroupState), Min: 0, Max: 1},
			handle: (*Services).writeShareGroupState, fail: failWriteShareGroupState,
			subjects: aboutWriteShareGroupState},
		{API: wire.API{Key: int16(kmsg.DeleteShareGroupState), Min: 0, Max: 0},
			handle: (*Services).deleteShareGroupState, fail: failDeleteShareGroupState,
			subjects: aboutDeleteShareGroupState},
		{API: wire.API{Key: int16(kmsg.ReadShareGroupStateSummary), Min: 0, Max: 1},
			handle: (*Services).readShareGroupStateSummary, fail: failReadShareGroupStateSummary,
			subjects: aboutReadShareGroupStateSummary},
		{API: wire.API{Key: int16(kmsg.DescribeShareGroupOffsets), Min: 0, Max: 1},
			handle: (*Services).describeShareGroupOffsets, fail: failDescribeShareGroupOffsets,
			subjects: aboutDescribeShareGroupOffsets},
		{API: wire.API{Key: int16(kmsg.AlterShareGroupOffsets), Min: 0, Max: 0},
			handle: (*Services).alterShareGroupOffsets, fail: failAlterShareGroupOffsets, subjects: aboutAlterShareGroupOffsets},
		{API: wire.API{Key: int16(kmsg.DeleteShareGroupOffsets), Min: 0, Max: 0},
			handle: (*Services).deleteShareGroupOffsets, fail: failDeleteShareGroupOffsets,
			subjects: aboutDeleteShareGroupOffsets},
	}
}

// APIs returns every API that is served.
func APIs() []wire.API {
	var apis []wire.API
	for _, r := range rows() {
		apis = append(apis, r.API)
	}
	return apis
}

// response returns the empty response of a request's API and version, typed.
func response[T kmsg.Response](r *wire.Request) T { return r.Body.ResponseKind().(T) }
