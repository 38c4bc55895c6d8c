package cluster

import (
	"errors"
	"log/slog"
	"slices"

	"github.com/prometheus/client_golang/prometheus"

	"once/configs"
	"once/durability"
	"once/groupcoordinator"
	"once/groupcoordinator/streamsgroup"
	"once/log/batch"
	"once/partition"
	"once/topics"
	"once/txncoordinator"
)

// The coordinators declare interfaces for partitions; the types here implement them.

// stateLog is a partition of an internal topic.
type stateLog struct {
	*partition.Partition
	logger *slog.Logger
}

// refused logs that a batch is larger than its topic allows: the client only gets UNKNOWN_SERVER_ERROR.
func (l stateLog) refused(err error) error {
	if errors.Is(err, batch.ErrTooLarge) || errors.Is(err, batch.ErrRecordListTooLarge) {
		l.logger.Warn("record of a coordinator is too large for its topic", "error", err)
	}
	return err
}

type txnStateLog struct{ stateLog }

func (l txnStateLog) AppendCoordinator(raw []byte, answer durability.Answer) (txncoordinator.Appended, error) {
	a, err := l.Partition.AppendCoordinator(raw, answer)
	if err != nil {
		return txncoordinator.Appended{}, l.refused(err)
	}
	return txncoordinator.Appended{BaseOffset: a.BaseOffset, Durable: a.Durable}, nil
}

type groupStateLog struct{ stateLog }

func (l groupStateLog) appended(a partition.Appended, err error) (groupcoordinator.Appended, error) {
	if err != nil {
		return groupcoordinator.Appended{}, l.refused(err)
	}
	return groupcoordinator.Appended{BaseOffset: a.BaseOffset, LastOffset: a.LastOffset, Durable: a.Durable}, nil
}

func (l groupStateLog) AppendCoordinator(raw []byte, answer durability.Answer) (groupcoordinator.Appended, error) {
	return l.appended(l.Partition.AppendCoordinator(raw, answer))
}

func (l groupStateLog) AppendTransactionalOffsets(raw []byte,
	guard groupcoordinator.Guard) (groupcoordinator.Appended, error) {
	return l.appended(l.Partition.AppendTransactionalOffsets(raw, partition.Guard(guard)))
}

func (l groupStateLog) AppendMarker(m batch.Marker, transactionVersion int16) (groupcoordinator.Appended, error) {
	return l.appended(l.Partition.AppendMarker(m, transactionVersion))
}

// dataParticipant is a partition of user data at the end of a transaction.
type dataParticipant struct{ *partition.Partition }

func (p dataParticipant) ApplyMarker(m batch.Marker, transactionVersion int16) error {
	_, err := p.AppendMarker(m, transactionVersion)
	return err
}

// offsetsParticipant is a partition of __consumer_offsets at the end of a transaction.
type offsetsParticipant struct {
	*groupcoordinator.OffsetsPartition
	partition *partition.Partition
}

func (p offsetsParticipant) HasOpenTransaction(producerID int64) bool {
	return p.partition.HasOpenTransaction(producerID)
}

// participants returns the participant for a marker: the group coordinator for offsets, which makes them visible or
// drops them, and the partition for data. A partition of __consumer_offsets that was added since the start has no
// offsets.
func participants(
	ts *topics.Topics, groups *groupcoordinator.Coordinator,
) func(string, int32) (txncoordinator.Participant, bool) {
	return func(topic string, index int32) (txncoordinator.Participant, bool) {
		p, ok := ts.Partition(topic, index)
		if !ok {
			return nil, false
		}
		if topic == topics.ConsumerOffsets && index < groups.Partitions() {
			return offsetsParticipant{groups.Participant(index), p}, true
		}
		return dataParticipant{p}, true
	}
}

// openTransactions returns the transactions that are open in partitions.
func openTransactions(ts *topics.Topics) (open []txncoordinator.OpenTransaction) {
	for _, t := range ts.All() {
		for i, p := range t.Partitions() {
			p.EachOpenTransaction(func(producerID int64, producerEpoch int16) {
				open = append(open, txncoordinator.OpenTransaction{
					TopicPartition: txncoordinator.TopicPartition{Topic: t.Name, Partition: int32(i)}, ProducerID: producerID,
					ProducerEpoch: producerEpoch,
				})
			})
		}
	}
	return open
}

// markerRefused says whether a partition refused a marker for good.
func markerRefused(err error) bool {
	return errors.Is(err, partition.ErrFencedEpoch) || errors.Is(err, partition.ErrCoordinatorFenced)
}

func (e *engine) openGroups(registerer prometheus.Registerer) (*groupcoordinator.Coordinator, error) {
	s := e.env.Settings
	return groupcoordinator.New(groupcoordinator.Config{
		StateLogs: func(i int32) groupcoordinator.StateLog {
			p, ok := e.topics.Partition(topics.ConsumerOffsets, i)
			if !ok {
				return nil
			}
			return groupStateLog{stateLog{Partition: p, logger: e.env.Logger}}
		},
		Partitions:             e.partitionsOf(topics.ConsumerOffsets),
		Topics:                 topicImage{e.topics},
		ConsumerProtocol:       e.servesConsumerProtocol,
		ConsumerGroupMaxSize:   s.GroupConsumerMaxSize,
		ConsumerAssignors:      s.GroupConsumerAssignors,
		MigrationPolicy:        migrationPolicies[s.GroupConsumerMigrationPolicy],
		RegexRefreshInterval:   s.GroupConsumerRegexRefreshInterval,
		ConsumerSettings:       e.consumerSettings,
		StreamsSettings:        e.streamsSettings,
		MinSessionTimeout:      s.GroupMinSessionTimeout,
		MaxSessionTimeout:      s.GroupMaxSessionTimeout,
		InitialRebalanceDelay:  s.GroupInitialRebalanceDelay,
		MaxSize:                s.GroupMaxSize,
		OffsetMetadataMaxBytes: s.OffsetMetadataMaxBytes,
		ShareStates:            shareStates{e},
		ShareMaxSize:           s.GroupShareMaxSize,
		ShareSettings:          e.shareSettings,
		OffsetsRetention:       s.OffsetsRetention,
		RetentionCheckInterval: s.OffsetsRetentionCheckInterval,
		Clock:                  e.env.Clock, Members: e.members, Logger: e.env.Logger, Registerer: registerer,
		Faults: e.env.Faults,
	})
}

// migrationPolicies are the values of group.consumer.migration.policy.
var migrationPolicies = map[string]groupcoordinator.MigrationPolicy{
	"bidirectional": {},
	"upgrade":       {NoDowngrade: true},
	"downgrade":     {NoUpgrade: true},
	"disabled":      {NoUpgrade: true, NoDowngrade: true},
}

func (e *engine) servesConsumerProtocol() bool {
	return e.features.GroupVersion() > 0 && slices.Contains(e.env.Settings.GroupProtocols, "consumer")
}

// consumerSettings returns the settings of a consumer group. It is called under the lock of its shard.
func (e *engine) consumerSettings(groupID string) groupcoordinator.ConsumerSettings {
	s := e.configs.Settings()
	of := s.GroupConsumer
	if overrides := e.configs.Get(configs.Group, groupID); len(overrides) > 0 {
		of = s.ConsumerGroup(overrides)
	}
	return groupcoordinator.ConsumerSettings{
		SessionTimeout: of.SessionTimeout, HeartbeatInterval: of.HeartbeatInterval,
		AssignmentInterval: of.AssignmentInterval, RebalanceHeartbeatInterval: s.DevGroupRebalanceHeartbeatInterval,
	}
}

// streamsSettings returns the settings in force of a streams group.
func (e *engine) streamsSettings(groupID string) streamsgroup.Settings {
	b := e.configs.Settings()
	s := b.StreamsGroup(e.configs.Get(configs.Group, groupID))
	return streamsgroup.Settings{
		SessionTimeout: s.SessionTimeout, HeartbeatInterval: s.HeartbeatInterval,
		TaskOffsetInterval: s.TaskOffsetInterval, InitialRebalanceDelay: s.InitialRebalanceDelay,
		AssignmentInterval: s.AssignmentInterval, AcceptableRecoveryLag: s.AcceptableRecoveryLag,
		StandbyReplicas: s.StandbyReplicas, RackAwareTags: s.RackAwareTags, MaxSize: b.StreamsGroups.MaxSize,
	}
}

func (e *engine) openTxns(registerer prometheus.Registerer) (*txncoordinator.Coordinator, error) {
	s := e.env.Settings
	var observer txncoordinator.Observer
	if e.cluster.noticed != nil {
		observer = transactionObserver{e}
	}
	return txncoordinator.New(txncoordinator.Config{
		Partitions: e.partitionsOf(topics.TransactionState),
		StateLogs: func(i int32) txncoordinator.StateLog {
			p, ok := e.topics.Partition(topics.TransactionState, i)
			if !ok {
				return nil
			}
			return txnStateLog{stateLog{Partition: p, logger: e.env.Logger}}
		},
		ProducerIDs:        e.producerIDs,
		Participants:       participants(e.topics, e.groups),
		Refused:            markerRefused,
		TransactionVersion: e.features.TransactionVersion,
		MaxTimeoutMs:       int32(s.TransactionMaxTimeout.Milliseconds()),
		IDExpiration:       s.TransactionalIDExpiration,
		AbortInterval:      s.TransactionAbortTimedOutInterval,
		RemoveInterval:     s.TransactionRemoveExpiredInterval,
		AddRetryInterval:   s.AddPartitionsToTxnRetryBackoff,
		AddRetryLimit:      s.AddPartitionsToTxnRetryBackoffMax,
		Ended:              e.stopped,
		KeepTransitions:    s.Lab,
		Observer:           observer,
		Clock:              e.env.Clock, Logger: e.env.Logger, Registerer: registerer,
		Faults: e.env.Faults,
	})
}

func (e *engine) partitionsOf(topic string) int32 {
	t, _ := e.topics.Lookup(topic)
	return int32(len(t.Partitions()))
}
