package handlers

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/wire"
)

// produceAdvertised is the lowest Produce version that is shown, though none below 3 is served:
// librdkafka takes Produce v0 as the sign that a broker knows compression (KAFKA-18659).
var produceAdvertised int16

// row is an API that is served: its versions, those of Kafka 4.4, what carries a request out, and how it is answered
// with nothing but an error. Dispatch, the ApiVersions answer and the metric labels all come from it.
type row struct {
	wire.API
	handle func(s *Services, ctx context.Context, r *wire.Request) wire.Reply
	fail   failFunc
}

// rows returns the table of all APIs that are served.
func rows() []row {
	return []row{
		{wire.API{Key: int16(kmsg.Produce), Min: 3, Max: 13, Advertised: &produceAdvertised, Pipelined: true}, (*Services).produce, failProduce},
		{wire.API{Key: int16(kmsg.Fetch), Min: 4, Max: 18}, (*Services).fetch, failFetch},
		{wire.API{Key: int16(kmsg.ListOffsets), Min: 1, Max: 11}, (*Services).listOffsets, failListOffsets},
		{wire.API{Key: int16(kmsg.Metadata), Min: 0, Max: 13}, (*Services).metadata, failMetadata},
		{wire.API{Key: int16(kmsg.OffsetCommit), Min: 2, Max: 10}, (*Services).offsetCommit, failOffsetCommit},
		{wire.API{Key: int16(kmsg.OffsetFetch), Min: 1, Max: 10}, (*Services).offsetFetch, failOffsetFetch},
		{wire.API{Key: int16(kmsg.FindCoordinator), Min: 0, Max: 6}, (*Services).findCoordinator, failFindCoordinator},
		{wire.API{Key: int16(kmsg.JoinGroup), Min: 0, Max: 9}, (*Services).joinGroup, failJoinGroup},
		{wire.API{Key: int16(kmsg.Heartbeat), Min: 0, Max: 4}, (*Services).heartbeat, failHeartbeat},
		{wire.API{Key: int16(kmsg.LeaveGroup), Min: 0, Max: 5}, (*Services).leaveGroup, failLeaveGroup},
		{wire.API{Key: int16(kmsg.SyncGroup), Min: 0, Max: 5}, (*Services).syncGroup, failSyncGroup},
		{wire.API{Key: int16(kmsg.DescribeGroups), Min: 0, Max: 6}, (*Services).describeGroups, failDescribeGroups},
		{wire.API{Key: int16(kmsg.ListGroups), Min: 0, Max: 5}, (*Services).listGroups, failListGroups},
		{wire.API{Key: int16(kmsg.SASLHandshake), Min: 0, Max: 1}, (*Services).saslHandshake, failSASLHandshake},
		{wire.API{Key: int16(kmsg.ApiVersions), Min: 0, Max: 4}, (*Services).apiVersions, failApiVersions},
		{wire.API{Key: int16(kmsg.CreateTopics), Min: 2, Max: 7}, (*Services).createTopics, failCreateTopics},
		{wire.API{Key: int16(kmsg.DeleteTopics), Min: 1, Max: 6}, (*Services).deleteTopics, failDeleteTopics},
		{wire.API{Key: int16(kmsg.DeleteRecords), Min: 0, Max: 2}, (*Services).deleteRecords, failDeleteRecords},
		{wire.API{Key: int16(kmsg.InitProducerID), Min: 0, Max: 5}, (*Services).initProducerID, failInitProducerID},
		{wire.API{Key: int16(kmsg.OffsetForLeaderEpoch), Min: 2, Max: 4}, (*Services).offsetForLeaderEpoch, failOffsetForLeaderEpoch},
		{wire.API{Key: int16(kmsg.AddPartitionsToTxn), Min: 0, Max: 5}, (*Services).addPartitionsToTxn, failAddPartitionsToTxn},
		{wire.API{Key: int16(kmsg.AddOffsetsToTxn), Min: 0, Max: 4}, (*Services).addOffsetsToTxn, failAddOffsetsToTxn},
		{wire.API{Key: int16(kmsg.EndTxn), Min: 0, Max: 5}, (*Services).endTxn, failEndTxn},
		{wire.API{Key: int16(kmsg.WriteTxnMarkers), Min: 1, Max: 2}, (*Services).writeTxnMarkers, failWriteTxnMarkers},
		{wire.API{Key: int16(kmsg.TxnOffsetCommit), Min: 0, Max: 5}, (*Services).txnOffsetCommit, failTxnOffsetCommit},
		{wire.API{Key: int16(kmsg.DescribeACLs), Min: 1, Max: 3}, (*Services).describeACLs, failDescribeACLs},
		{wire.API{Key: int16(kmsg.CreateACLs), Min: 1, Max: 3}, (*Services).createACLs, failCreateACLs},
		{wire.API{Key: int16(kmsg.DeleteACLs), Min: 1, Max: 3}, (*Services).deleteACLs, failDeleteACLs},
		{wire.API{Key: int16(kmsg.DescribeConfigs), Min: 1, Max: 4}, (*Services).describeConfigs, failDescribeConfigs},
		{wire.API{Key: int16(kmsg.AlterConfigs), Min: 0, Max: 2}, (*Services).alterConfigs, failAlterConfigs},
		{wire.API{Key: int16(kmsg.SASLAuthenticate), Min: 0, Max: 2}, (*Services).saslAuthenticate, failSASLAuthenticate},
		{wire.API{Key: int16(kmsg.CreatePartitions), Min: 0, Max: 3}, (*Services).createPartitions, failCreatePartitions},
		{wire.API{Key: int16(kmsg.CreateDelegationToken), Min: 1, Max: 3}, (*Services).createDelegationToken, failCreateDelegationToken},
		{wire.API{Key: int16(kmsg.RenewDelegationToken), Min: 1, Max: 2}, (*Services).renewDelegationToken, failRenewDelegationToken},
		{wire.API{Key: int16(kmsg.ExpireDelegationToken), Min: 1, Max: 2}, (*Services).expireDelegationToken, failExpireDelegationToken},
		{wire.API{Key: int16(kmsg.DescribeDelegationToken), Min: 1, Max: 3}, (*Services).describeDelegationToken, failDescribeDelegationToken},
		{wire.API{Key: int16(kmsg.DeleteGroups), Min: 0, Max: 2}, (*Services).deleteGroups, failDeleteGroups},
		{wire.API{Key: int16(kmsg.IncrementalAlterConfigs), Min: 0, Max: 1}, (*Services).incrementalAlterConfigs, failIncrementalAlterConfigs},
		{wire.API{Key: int16(kmsg.OffsetDelete), Min: 0, Max: 0}, (*Services).offsetDelete, failOffsetDelete},
		{wire.API{Key: int16(kmsg.DescribeClientQuotas), Min: 0, Max: 1}, (*Services).describeClientQuotas, failDescribeClientQuotas},
		{wire.API{Key: int16(kmsg.DescribeUserSCRAMCredentials), Min: 0, Max: 0}, (*Services).describeUserSCRAMCredentials, failDescribeUserSCRAMCredentials},
		{wire.API{Key: int16(kmsg.DescribeQuorum), Min: 0, Max: 2}, (*Services).describeQuorum, failDescribeQuorum},
		{wire.API{Key: int16(kmsg.DescribeCluster), Min: 0, Max: 2}, (*Services).describeCluster, failDescribeCluster},
		{wire.API{Key: int16(kmsg.DescribeProducers), Min: 0, Max: 0}, (*Services).describeProducers, failDescribeProducers},
		{wire.API{Key: int16(kmsg.DescribeTransactions), Min: 0, Max: 0}, (*Services).describeTransactions, failDescribeTransactions},
		{wire.API{Key: int16(kmsg.ListTransactions), Min: 0, Max: 2}, (*Services).listTransactions, failListTransactions},
		{wire.API{Key: int16(kmsg.ListConfigResources), Min: 0, Max: 1}, (*Services).listConfigResources, failListConfigResources},
		{wire.API{Key: int16(kmsg.DescribeTopicPartitions), Min: 0, Max: 0}, (*Services).describeTopicPartitions, failDescribeTopicPartitions},
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

// response returns the empty response of a request's kind and version, typed.
func response[T kmsg.Response](r *wire.Request) T { return r.Body.ResponseKind().(T) }
