package cluster

import (
	"errors"
	"time"

	"once/partition"
	"once/topics"
)

// Reloaded is what coordinators have loaded again.
type Reloaded struct {
	TransactionalIDs int
	Resumed          []string // transactional IDs that were prepared, and got their markers again
	Groups           int
	SharePartitions  int
	Took             time.Duration
}

// ReloadCoordinators makes the coordinators of groups, of share partitions' state and of transactions drop their memory
// and read their logs again. Each answers with COORDINATOR_LOAD_IN_PROGRESS meanwhile. Partitions that are offline stay
// without a coordinator.
func (v View) ReloadCoordinators() (r Reloaded, err error) {
	began := time.Now()
	groups, groupsErr := v.Groups.ReloadAll()
	share, shareErr := v.engine.shareStates.ReloadAll()
	txns, txnsErr := v.Txns.ReloadAll()
	return Reloaded{TransactionalIDs: txns.TransactionalIDs, Resumed: txns.Resumed, Groups: groups.Groups,
		SharePartitions: share, Took: time.Since(began)}, errors.Join(groupsErr, shareErr, txnsErr)
}

// coordinator is the coordinator of a partition of an internal topic.
type coordinator interface {
	// Unload drops the memory of a partition.
	Unload(partition int32)
	// Reload reads the log of a partition.
	Reload(partition int32) error
	// Partitions is the number of partitions that it has loaded.
	Partitions() int32
}

// coordinatorOf returns nil for a partition of a user's topic, and for one of an internal topic that was added since
// the start.
func (v View) coordinatorOf(id partition.ID) (c coordinator) {
	switch id.Topic {
	case topics.ConsumerOffsets:
		c = v.Groups
	case topics.TransactionState:
		c = v.Txns
	case topics.ShareGroupState:
		c = v.engine.shareStates
	}
	if c == nil || id.Index >= c.Partitions() {
		return nil
	}
	return c
}

// TakeOffline takes a partition offline, as the failure of its log directory does. The coordinator of a partition of an
// internal topic drops its memory before.
func (v View) TakeOffline(p *partition.Partition) {
	if c := v.coordinatorOf(p.ID()); c != nil {
		c.Unload(p.ID().Index)
	}
	p.TakeOffline()
}

// BringOnline brings a partition back that a test has taken offline. Its coordinator reads its log; markers that the
// partition owes are written. Errors: partition.ErrOffline for one that is offline for another reason.
func (v View) BringOnline(p *partition.Partition) error {
	if err := p.BringOnline(); err != nil {
		return err
	}
	if c := v.coordinatorOf(p.ID()); c != nil {
		if err := c.Reload(p.ID().Index); err != nil {
			return err
		}
	}
	v.Txns.RetryNow()
	return nil
}
