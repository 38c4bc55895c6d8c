package handlers

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/wire"
)

// produceAdvertised is the lowest Produce version that is shown, though none below 3 is served:
// librdkafka takes Produce v0 as the sign that a broker knows compression (KAFKA-18659).
var produceAdvertised int16

// row is an API that is served: its versions, those of Kafka 4.4, and what carries a request out. Dispatch, the
// ApiVersions answer and the metric labels all come from it.
type row struct {
	wire.API
	handle func(s *Services, ctx context.Context, r *wire.Request) wire.Reply
}

// rows returns the table of all APIs that are served.
func rows() []row {
	return []row{
		{wire.API{Key: int16(kmsg.Produce), Min: 3, Max: 13, Advertised: &produceAdvertised, Pipelined: true}, (*Services).produce},
		{wire.API{Key: int16(kmsg.Fetch), Min: 4, Max: 18}, (*Services).fetch},
		{wire.API{Key: int16(kmsg.ListOffsets), Min: 1, Max: 11}, (*Services).listOffsets},
		{wire.API{Key: int16(kmsg.Metadata), Min: 0, Max: 13}, (*Services).metadata},
		{wire.API{Key: int16(kmsg.OffsetCommit), Min: 2, Max: 10}, (*Services).offsetCommit},
		{wire.API{Key: int16(kmsg.OffsetFetch), Min: 1, Max: 10}, (*Services).offsetFetch},
		{wire.API{Key: int16(kmsg.FindCoordinator), Min: 0, Max: 6}, (*Services).findCoordinator},
		{wire.API{Key: int16(kmsg.JoinGroup), Min: 0, Max: 9}, (*Services).joinGroup},
		{wire.API{Key: int16(kmsg.Heartbeat), Min: 0, Max: 4}, (*Services).heartbeat},
		{wire.API{Key: int16(kmsg.LeaveGroup), Min: 0, Max: 5}, (*Services).leaveGroup},
		{wire.API{Key: int16(kmsg.SyncGroup), Min: 0, Max: 5}, (*Services).syncGroup},
		{wire.API{Key: int16(kmsg.DescribeGroups), Min: 0, Max: 6}, (*Services).describeGroups},
		{wire.API{Key: int16(kmsg.ListGroups), Min: 0, Max: 5}, (*Services).listGroups},
		{wire.API{Key: int16(kmsg.SASLHandshake), Min: 0, Max: 1}, (*Services).saslHandshake},
		{wire.API{Key: int16(kmsg.ApiVersions), Min: 0, Max: 4}, (*Services).apiVersions},
		{wire.API{Key: int16(kmsg.CreateTopics), Min: 2, Max: 7}, (*Services).createTopics},
		{wire.API{Key: int16(kmsg.DeleteTopics), Min: 1, Max: 6}, (*Services).deleteTopics},
		{wire.API{Key: int16(kmsg.DeleteRecords), Min: 0, Max: 2}, (*Services).deleteRecords},
		{wire.API{Key: int16(kmsg.InitProducerID), Min: 0, Max: 5}, (*Services).initProducerID},
		{wire.API{Key: int16(kmsg.OffsetForLeaderEpoch), Min: 2, Max: 4}, (*Services).offsetForLeaderEpoch},
		{wire.API{Key: int16(kmsg.AddPartitionsToTxn), Min: 0, Max: 5}, (*Services).addPartitionsToTxn},
		{wire.API{Key: int16(kmsg.AddOffsetsToTxn), Min: 0, Max: 4}, (*Services).addOffsetsToTxn},
		{wire.API{Key: int16(kmsg.EndTxn), Min: 0, Max: 5}, (*Services).endTxn},
		{wire.API{Key: int16(kmsg.WriteTxnMarkers), Min: 1, Max: 2}, (*Services).writeTxnMarkers},
		{wire.API{Key: int16(kmsg.TxnOffsetCommit), Min: 0, Max: 5}, (*Services).txnOffsetCommit},
		{wire.API{Key: int16(kmsg.DescribeACLs), Min: 1, Max: 3}, (*Services).describeACLs},
		{wire.API{Key: int16(kmsg.CreateACLs), Min: 1, Max: 3}, (*Services).createACLs},
		{wire.API{Key: int16(kmsg.DeleteACLs), Min: 1, Max: 3}, (*Services).deleteACLs},
		{wire.API{Key: int16(kmsg.DescribeConfigs), Min: 1, Max: 4}, (*Services).describeConfigs},
		{wire.API{Key: int16(kmsg.AlterConfigs), Min: 0, Max: 2}, (*Services).alterConfigs},
		{wire.API{Key: int16(kmsg.SASLAuthenticate), Min: 0, Max: 2}, (*Services).saslAuthenticate},
		{wire.API{Key: int16(kmsg.CreatePartitions), Min: 0, Max: 3}, (*Services).createPartitions},
		{wire.API{Key: int16(kmsg.CreateDelegationToken), Min: 1, Max: 3}, (*Services).createDelegationToken},
		{wire.API{Key: int16(kmsg.RenewDelegationToken), Min: 1, Max: 2}, (*Services).renewDelegationToken},
		{wire.API{Key: int16(kmsg.ExpireDelegationToken), Min: 1, Max: 2}, (*Services).expireDelegationToken},
		{wire.API{Key: int16(kmsg.DescribeDelegationToken), Min: 1, Max: 3}, (*Services).describeDelegationToken},
		{wire.API{Key: int16(kmsg.DeleteGroups), Min: 0, Max: 2}, (*Services).deleteGroups},
		{wire.API{Key: int16(kmsg.IncrementalAlterConfigs), Min: 0, Max: 1}, (*Services).incrementalAlterConfigs},
		{wire.API{Key: int16(kmsg.OffsetDelete), Min: 0, Max: 0}, (*Services).offsetDelete},
		{wire.API{Key: int16(kmsg.DescribeClientQuotas), Min: 0, Max: 1}, (*Services).describeClientQuotas},
		{wire.API{Key: int16(kmsg.DescribeUserSCRAMCredentials), Min: 0, Max: 0}, (*Services).describeUserSCRAMCredentials},
		{wire.API{Key: int16(kmsg.DescribeQuorum), Min: 0, Max: 2}, (*Services).describeQuorum},
		{wire.API{Key: int16(kmsg.DescribeCluster), Min: 0, Max: 2}, (*Services).describeCluster},
		{wire.API{Key: int16(kmsg.DescribeProducers), Min: 0, Max: 0}, (*Services).describeProducers},
		{wire.API{Key: int16(kmsg.DescribeTransactions), Min: 0, Max: 0}, (*Services).describeTransactions},
		{wire.API{Key: int16(kmsg.ListTransactions), Min: 0, Max: 2}, (*Services).listTransactions},
		{wire.API{Key: int16(kmsg.ListConfigResources), Min: 0, Max: 1}, (*Services).listConfigResources},
		{wire.API{Key: int16(kmsg.DescribeTopicPartitions), Min: 0, Max: 0}, (*Services).describeTopicPartitions},
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
