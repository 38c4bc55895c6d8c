package handlers

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"once/internal/clock"
	"once/wire"
)

// produceAdvertised is the lowest Produce version that is shown, though none below 3 is served:
// librdkafka takes Produce v0 as the sign that a broker knows compression (KAFKA-18659).
var produceAdvertised int16

// Table returns every API that is served, each with the versions of Kafka 4.3, bound to s. Dispatch,
// the ApiVersions answer and the metric labels all come from it.
func (s *Services) Table() []wire.API {
	if s.Sessions == nil {
		s.Sessions = newFetchSessions(s.Settings.Int("max.incremental.fetch.session.cache.slots"), clock.Real{})
	}
	s.apis = []wire.API{
		{Key: int16(kmsg.Produce), Min: 3, Max: 13, Advertised: &produceAdvertised, Handle: s.produce, Pipelined: true},
		{Key: int16(kmsg.Fetch), Min: 4, Max: 18, Handle: s.fetch},
		{Key: int16(kmsg.ListOffsets), Min: 1, Max: 11, Handle: s.listOffsets},
		{Key: int16(kmsg.Metadata), Min: 0, Max: 13, Handle: s.metadata},
		{Key: int16(kmsg.OffsetCommit), Min: 2, Max: 10, Handle: s.offsetCommit},
		{Key: int16(kmsg.OffsetFetch), Min: 1, Max: 10, Handle: s.offsetFetch},
		{Key: int16(kmsg.FindCoordinator), Min: 0, Max: 6, Handle: s.findCoordinator},
		{Key: int16(kmsg.JoinGroup), Min: 0, Max: 9, Handle: s.joinGroup},
		{Key: int16(kmsg.Heartbeat), Min: 0, Max: 4, Handle: s.heartbeat},
		{Key: int16(kmsg.LeaveGroup), Min: 0, Max: 5, Handle: s.leaveGroup},
		{Key: int16(kmsg.SyncGroup), Min: 0, Max: 5, Handle: s.syncGroup},
		{Key: int16(kmsg.DescribeGroups), Min: 0, Max: 6, Handle: s.describeGroups},
		{Key: int16(kmsg.ListGroups), Min: 0, Max: 5, Handle: s.listGroups},
		{Key: int16(kmsg.SASLHandshake), Min: 0, Max: 1, Handle: s.saslHandshake},
		{Key: int16(kmsg.ApiVersions), Min: 0, Max: 4, Handle: s.apiVersions},
		{Key: int16(kmsg.CreateTopics), Min: 2, Max: 7, Handle: s.createTopics},
		{Key: int16(kmsg.DeleteTopics), Min: 1, Max: 6, Handle: s.deleteTopics},
		{Key: int16(kmsg.DeleteRecords), Min: 0, Max: 2, Handle: s.deleteRecords},
		{Key: int16(kmsg.InitProducerID), Min: 0, Max: 5, Handle: s.initProducerID},
		{Key: int16(kmsg.OffsetForLeaderEpoch), Min: 2, Max: 4, Handle: s.offsetForLeaderEpoch},
		{Key: int16(kmsg.AddPartitionsToTxn), Min: 0, Max: 5, Handle: s.addPartitionsToTxn},
		{Key: int16(kmsg.AddOffsetsToTxn), Min: 0, Max: 4, Handle: s.addOffsetsToTxn},
		{Key: int16(kmsg.EndTxn), Min: 0, Max: 5, Handle: s.endTxn},
		{Key: int16(kmsg.WriteTxnMarkers), Min: 1, Max: 2, Handle: s.writeTxnMarkers},
		{Key: int16(kmsg.TxnOffsetCommit), Min: 0, Max: 5, Handle: s.txnOffsetCommit},
		{Key: int16(kmsg.DescribeACLs), Min: 1, Max: 3, Handle: s.describeACLs},
		{Key: int16(kmsg.CreateACLs), Min: 1, Max: 3, Handle: s.createACLs},
		{Key: int16(kmsg.DeleteACLs), Min: 1, Max: 3, Handle: s.deleteACLs},
		{Key: int16(kmsg.DescribeConfigs), Min: 1, Max: 4, Handle: s.describeConfigs},
		{Key: int16(kmsg.AlterConfigs), Min: 0, Max: 2, Handle: s.alterConfigs},
		{Key: int16(kmsg.SASLAuthenticate), Min: 0, Max: 2, Handle: s.saslAuthenticate},
		{Key: int16(kmsg.CreatePartitions), Min: 0, Max: 3, Handle: s.createPartitions},
		{Key: int16(kmsg.CreateDelegationToken), Min: 1, Max: 3, Handle: s.createDelegationToken},
		{Key: int16(kmsg.RenewDelegationToken), Min: 1, Max: 2, Handle: s.renewDelegationToken},
		{Key: int16(kmsg.ExpireDelegationToken), Min: 1, Max: 2, Handle: s.expireDelegationToken},
		{Key: int16(kmsg.DescribeDelegationToken), Min: 1, Max: 3, Handle: s.describeDelegationToken},
		{Key: int16(kmsg.DeleteGroups), Min: 0, Max: 2, Handle: s.deleteGroups},
		{Key: int16(kmsg.IncrementalAlterConfigs), Min: 0, Max: 1, Handle: s.incrementalAlterConfigs},
		{Key: int16(kmsg.OffsetDelete), Min: 0, Max: 0, Handle: s.offsetDelete},
		{Key: int16(kmsg.DescribeClientQuotas), Min: 0, Max: 1, Handle: s.describeClientQuotas},
		{Key: int16(kmsg.DescribeUserSCRAMCredentials), Min: 0, Max: 0, Handle: s.describeUserSCRAMCredentials},
		{Key: int16(kmsg.DescribeQuorum), Min: 0, Max: 2, Handle: s.describeQuorum},
		{Key: int16(kmsg.DescribeCluster), Min: 0, Max: 2, Handle: s.describeCluster},
		{Key: int16(kmsg.DescribeProducers), Min: 0, Max: 0, Handle: s.describeProducers},
		{Key: int16(kmsg.DescribeTransactions), Min: 0, Max: 0, Handle: s.describeTransactions},
		{Key: int16(kmsg.ListTransactions), Min: 0, Max: 2, Handle: s.listTransactions},
		{Key: int16(kmsg.ListConfigResources), Min: 0, Max: 1, Handle: s.listConfigResources},
		{Key: int16(kmsg.DescribeTopicPartitions), Min: 0, Max: 0, Handle: s.describeTopicPartitions},
	}
	return s.apis
}

// response returns the empty response of a request's kind and version, typed.
func response[T kmsg.Response](r *wire.Request) T { return r.Body.ResponseKind().(T) }
