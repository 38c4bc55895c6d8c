package cluster

import (
	"cmp"
	"fmt"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"once/configs"
	"once/durability"
	"once/groupcoordinator/sharegroup"
	"once/handlers"
	"once/partition"
	"once/settings"
	"once/sharecoordinator"
	"once/sharepartition"
	"once/topics"
	"once/wire"
)

// shareStateLog is a partition of __share_group_state.
type shareStateLog struct{ stateLog }

func (l shareStateLog) AppendCoordinator(raw []byte, answer durability.Answer) (sharecoordinator.Appended, error) {
	a, err := l.Partition.AppendCoordinator(raw, answer)
	if err != nil {
		return sharecoordinator.Appended{}, l.refused(err)
	}
	return sharecoordinator.Appended{BaseOffset: a.BaseOffset, Durable: a.Durable}, nil
}

func (l shareStateLog) DeleteRecords(offset int64) error {
	_, err := l.Partition.DeleteRecords(offset)
	return err
}

// shareStates is the share coordinator as the group coordinator sees it. What it replaces is dropped from memory at
// once.
type shareStates struct{ e *engine }

// Initialize implements groupcoordinator.ShareStates.
func (s shareStates) Initialize(groupID string, topicID [16]byte, index, stateEpoch int32, startOffset int64) error {
	k := sharecoordinator.Key{Group: groupID, TopicID: topicID, Partition: index}
	err := s.e.shareStates.Persist(k, func() error {
		_, err := s.e.shareStates.Initialize(k, stateEpoch, startOffset)
		return err
	})
	if err == nil && s.e.shares != nil {
		s.e.shares.Drop(k)
	}
	return err
}

// Delete implements groupcoordinator.ShareStates.
func (s shareStates) Delete(groupID string, topicID [16]byte, index int32) error {
	k := sharecoordinator.Key{Group: groupID, TopicID: topicID, Partition: index}
	err := s.e.shareStates.Persist(k, func() error {
		_, err := s.e.shareStates.Delete(k)
		return err
	})
	if s.e.shares != nil {
		s.e.shares.Drop(k)
	}
	return err
}

// shareGroup returns the settings of a share group that are in force.
func (e *engine) shareGroup(groupID string) settings.ShareGroup {
	return e.configs.Settings().ShareGroup(e.configs.Get(configs.Group, groupID))
}

// shareSettings are those that the group coordinator uses.
func (e *engine) shareSettings(groupID string) sharegroup.Settings {
	g := e.shareGroup(groupID)
	return sharegroup.Settings{
		SessionTimeout: g.SessionTimeout, HeartbeatInterval: g.HeartbeatInterval, AssignmentInterval: g.AssignmentInterval,
	}
}

// openShareStates loads the state of share partitions. The topic need not exist.
func (e *engine) openShareStates() error {
	s := e.env.Settings
	partitions := s.ShareCoordinatorStateTopicPartitions
	if _, ok := e.topics.Lookup(topics.ShareGroupState); ok {
		partitions = e.partitionsOf(topics.ShareGroupState)
	}
	e.shareStates = sharecoordinator.New(sharecoordinator.Config{
		StateLogs: func(i int32) sharecoordinator.StateLog {
			p, ok := e.topics.Partition(topics.ShareGroupState, i)
			if !ok {
				return nil
			}
			return shareStateLog{stateLog{Partition: p, logger: e.env.Logger}}
		},
		CreateTopic:          e.createShareStateTopic,
		Partitions:           partitions,
		UpdatesPerSnapshot:   cmp.Or(s.ShareCoordinatorSnapshotUpdateRecords, -1),
		ColdSnapshotInterval: s.ShareCoordinatorColdSnapshotInterval,
		PruneInterval:        s.ShareCoordinatorPruneInterval,
		Clock:                e.env.Clock, Logger: e.env.Logger, Faults: e.env.Faults,
	})
	if err := e.shareStates.Load(); err != nil {
		return e.stateError(err)
	}
	return nil
}

// createShareStateTopic creates the topic for the first share group. Most brokers never have one.
func (e *engine) createShareStateTopic() error {
	s := e.env.Settings
	_, err := e.topics.Create(topics.Spec{
		Name: topics.ShareGroupState, Partitions: s.ShareCoordinatorStateTopicPartitions, Overrides: settings.Values{
			"cleanup.policy":   "delete",
			"compression.type": "producer",
			"retention.ms":     "-1",
			"segment.bytes":    strconv.Itoa(int(s.ShareCoordinatorStateTopicSegment)),
		},
	})
	if err != nil {
		return fmt.Errorf("creating %s: %w", topics.ShareGroupState, err)
	}
	return nil
}

func (e *engine) openShares(registerer prometheus.Registerer) (err error) {
	catalogue := handlers.NewCatalogue(e.topics)
	e.shares, err = sharepartition.New(sharepartition.Config{
		States: e.shareStates,
		Partition: func(topicID [16]byte, index int32) (*partition.Partition, bool) {
			t, code := catalogue.TopicByID(topicID)
			if code != wire.NoError {
				return nil, false
			}
			return t.Partition(index)
		},
		Settings:    e.shareGroup,
		MaxSessions: e.env.Settings.GroupShareMaxShareSessions,
		Enabled:     func() bool { return e.features.ShareVersion() > 0 },
		Letters:     &deadLetters{e},
		Clock:       e.env.Clock, Locks: e.locks, Logger: e.env.Logger, Registerer: registerer,
	})
	return err
}

// Disconnected ends what a connection has begun and left open.
func (c *Cluster) Disconnected(conn *wire.Conn) {
	if e := c.enter(); e != nil {
		defer e.requests.Done()
		e.services.Disconnected(conn)
	}
}
