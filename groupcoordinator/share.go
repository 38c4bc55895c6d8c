package groupcoordinator

import (
	"errors"
	"time"

	"once/groupcoordinator/group"
	"once/groupcoordinator/sharegroup"
)

// ShareStates stores the state of share partitions, for their groups. It is called under the lock of a shard, and calls
// nothing of this package. What it stores is durable with what the coordinator appends after it.
type ShareStates interface {
	// Initialize gives a share partition its start offset, -1 for the first fetch to decide, and forgets what it was.
	Initialize(groupID string, topicID [16]byte, partition, stateEpoch int32, startOffset int64) error
	// Delete removes the state of a share partition; there need not be any.
	Delete(groupID string, topicID [16]byte, partition int32) error
}

// ShareHeartbeatResult answers a ShareHeartbeat.
type ShareHeartbeatResult struct {
	sharegroup.Answer
	Err error
}

// shareLocked returns the share group of an ID; nil without an error if there is no group.
func (s *shard) shareLocked(groupID string) (*entry, *sharegroup.Group, error) {
	at := s.mu.groups[groupID]
	if at == nil {
		return nil, nil, nil
	}
	g, ok := at.Group.(*sharegroup.Group)
	if !ok {
		return nil, nil, s.noGroupLocked(groupID, group.Share)
	}
	return at, g, nil
}

// existingShareLocked is shareLocked for requests that need the group.
func (s *shard) existingShareLocked(groupID string) (*entry, *sharegroup.Group, error) {
	at, g, err := s.shareLocked(groupID)
	if err == nil && g == nil {
		err = s.noGroupLocked(groupID, group.Share)
	}
	return at, g, err
}

// ShareHeartbeat takes a member into a share group, keeps it there, or lets it leave (spec: share-groups 3). Partitions
// get their share group state, and a member that joins its assignment, in the same request.
func (c *Coordinator) ShareHeartbeat(h *sharegroup.Heartbeat) *Future[ShareHeartbeatResult] {
	refuse := func(err error) *Future[ShareHeartbeatResult] { return immediate(ShareHeartbeatResult{Err: err}) }
	if err := h.Validate(); err != nil {
		return refuse(err)
	}
	s, err := c.lockShard(h.GroupID)
	if err != nil {
		return refuse(err)
	}
	defer s.mu.Unlock()
	at, g, err := s.shareLocked(h.GroupID)
	switch {
	case err != nil:
		return refuse(err)
	case g == nil && h.MemberEpoch != 0:
		return refuse(s.noGroupLocked(h.GroupID, group.Share))
	case g == nil:
		g = c.newGroup(group.Share, h.GroupID).(*sharegroup.Group)
	}
	if err := g.Check(h); err != nil {
		return refuse(err)
	}
	if h.MemberEpoch == sharegroup.LeaveEpoch {
		if err := s.carryOutLocked(at, g.Leave(h.MemberID)); err != nil {
			return refuse(err)
		}
		return ready(ShareHeartbeatResult{Answer: sharegroup.Answer{MemberID: h.MemberID,
			MemberEpoch: sharegroup.LeaveEpoch}}, s.mu.durable)
	}
	var result ShareHeartbeatResult
	step := g.Heartbeat(h, s.initializeLocked(g, g.Uninitialized(h)), c.cfg.Members.Now(), &result.Answer)
	if at == nil {
		at = s.putGroupLocked(g)
		defer func() {
			if result.Err != nil {
				delete(s.mu.groups, g.ID())
			}
		}()
	}
	if result.Err = s.carryOutLocked(at, step); result.Err != nil {
		return refuse(result.Err)
	}
	s.heardLocked(h.GroupID, h.MemberID)
	return ready(result, s.mu.durable)
}

// initializeLocked makes share group state for partitions, and returns those that have it. A failure is logged: a later
// heartbeat tries again.
func (s *shard) initializeLocked(g *sharegroup.Group,
	wanted []sharegroup.Uninitialized) (done []sharegroup.Uninitialized) {
	for _, u := range wanted {
		partitions := u.Partitions
		u.Partitions = nil
		for _, p := range partitions {
			err := s.c.cfg.ShareStates.Initialize(g.ID(), u.Topic.ID, p, max(g.Epoch(), 1), u.StartOffset)
			if err != nil {
				s.c.cfg.Logger.Warn("share partition is not initialized; tried again at the next heartbeat",
					"group", g.ID(), "topic", u.Topic.Name, "partition", p, "error", err)
				break
			}
			u.Partitions = append(u.Partitions, p)
		}
		if len(u.Partitions) > 0 {
			done = append(done, u)
		}
	}
	return done
}

// DescribeShare returns a description of a share group.
func (c *Coordinator) DescribeShare(groupID string) (sharegroup.Description, error) {
	s, err := c.lockShardOfNamedGroup(groupID)
	if err != nil {
		return sharegroup.Description{}, err
	}
	defer s.mu.Unlock()
	_, g, err := s.existingShareLocked(groupID)
	if err != nil {
		return sharegroup.Description{}, err
	}
	return g.Describe(), nil
}

// SharePartitions returns the partitions of a group that have share group state. An unknown group has none, and one of
// another type neither.
func (c *Coordinator) SharePartitions(groupID string) ([]sharegroup.StateTopic, error) {
	s, err := c.lockShard(groupID)
	if err != nil {
		return nil, err
	}
	defer s.mu.Unlock()
	_, g, _ := s.shareLocked(groupID)
	if g == nil {
		return nil, nil
	}
	return g.Initialized(), nil
}

// ShareStart is a start offset for a partition.
type ShareStart struct {
	Topic     group.Topic
	Partition int32
	Offset    int64
}

// AlterShareStarts sets start offsets of a share group without members. With create it makes the group if there is
// none. The result has an error, or nil, for each one (spec: share-groups 17).
func (c *Coordinator) AlterShareStarts(groupID string, starts []ShareStart, create bool) *Future[DeleteResult] {
	refuse := func(err error) *Future[DeleteResult] { return immediate(DeleteResult{Err: err}) }
	s, err := c.lockShardOfNamedGroup(groupID)
	if err != nil {
		return refuse(err)
	}
	defer s.mu.Unlock()
	at, g, err := s.shareLocked(groupID)
	switch {
	case err != nil:
		return refuse(err)
	case g == nil && !create:
		return immediate(DeleteResult{})
	case g == nil:
		g = c.newGroup(group.Share, groupID).(*sharegroup.Group)
		at = s.putGroupLocked(g)
		if err := s.carryOutLocked(at, g.Create()); err != nil {
			delete(s.mu.groups, g.ID())
			return refuse(err)
		}
	case !g.IsEmpty():
		return refuse(ErrGroupNotEmpty)
	}
	result := DeleteResult{Offsets: make([]error, len(starts))}
	var done []sharegroup.Uninitialized
	for i, start := range starts {
		err := c.cfg.ShareStates.Initialize(g.ID(), start.Topic.ID, start.Partition, g.Epoch(), start.Offset)
		if err == nil {
			done = append(done, sharegroup.Uninitialized{Topic: start.Topic, Partitions: []int32{start.Partition}})
		}
		result.Offsets[i] = err
	}
	if len(done) > 0 {
		if err := s.carryOutLocked(at, g.AddState(done)); err != nil {
			return refuse(err)
		}
	}
	return ready(result, s.mu.durable)
}

// ErrNoShareOffsets: the topic has no share group state in the group.
var ErrNoShareOffsets = errors.New("there is no offset information to delete")

// DeleteShareTopics removes the share group state of topics from a group without members. The result has an error, or
// nil, for each one.
func (c *Coordinator) DeleteShareTopics(groupID string, topicIDs [][16]byte) *Future[DeleteResult] {
	refuse := func(err error) *Future[DeleteResult] { return immediate(DeleteResult{Err: err}) }
	s, err := c.lockShardOfNamedGroup(groupID)
	if err != nil {
		return refuse(err)
	}
	defer s.mu.Unlock()
	at, g, err := s.existingShareLocked(groupID)
	switch {
	case err != nil:
		return refuse(err)
	case !g.IsEmpty():
		return refuse(ErrGroupNotEmpty)
	}
	result := DeleteResult{Offsets: make([]error, len(topicIDs))}
	for i, id := range topicIDs {
		if !g.HasState(id) {
			result.Offsets[i] = ErrNoShareOffsets
			continue
		}
		result.Offsets[i] = s.removeShareTopicLocked(at, g, id)
	}
	return ready(result, s.mu.durable)
}

// removeShareTopicLocked removes the state of a topic's share partitions. After a crash in between the rest is removed
// with the group.
func (s *shard) removeShareTopicLocked(at *entry, g *sharegroup.Group, topicID [16]byte) error {
	if err := s.removeShareStatesLocked(g, func(id [16]byte) bool { return id == topicID }); err != nil {
		return err
	}
	return s.carryOutLocked(at, g.RemoveState(topicID))
}

func (s *shard) removeShareStatesLocked(g *sharegroup.Group, of func(topicID [16]byte) bool) error {
	for _, t := range g.WithState() {
		if !of(t.ID) {
			continue
		}
		for _, p := range t.Partitions {
			if err := s.c.cfg.ShareStates.Delete(g.ID(), t.ID, p); err != nil {
				return err
			}
		}
	}
	return nil
}

// shareTopicDeletedLocked removes the state of a deleted topic from every share group.
func (s *shard) shareTopicDeletedLocked(topicID [16]byte) error {
	var errs []error
	for _, at := range s.mu.groups {
		if g, ok := at.Group.(*sharegroup.Group); ok && g.HasState(topicID) {
			errs = append(errs, s.removeShareTopicLocked(at, g, topicID))
		}
	}
	return errors.Join(errs...)
}

// shareConfig is the configuration of share groups.
func (c *Config) shareConfig() *sharegroup.Config {
	settings := c.ShareSettings
	if settings == nil {
		settings = func(string) sharegroup.Settings { return defaultShareSettings }
	}
	topics := c.Topics
	if topics == nil {
		topics = group.NoTopics{}
	}
	maxSize := c.ShareMaxSize
	if maxSize == 0 {
		maxSize = sharegroup.DefaultMaxSize
	}
	return &sharegroup.Config{Topics: topics, MaxSize: maxSize, Settings: settings}
}

var defaultShareSettings = sharegroup.Settings{
	SessionTimeout: 45 * time.Second, HeartbeatInterval: 5 * time.Second, AssignmentInterval: time.Second,
}

// noShareStates is for a coordinator that is made without a store.
type noShareStates struct{}

var errNoShareStates = errors.New("there is no store for share group state")

func (noShareStates) Initialize(string, [16]byte, int32, int32, int64) error { return errNoShareStates }
func (noShareStates) Delete(string, [16]byte, int32) error                   { return nil }
