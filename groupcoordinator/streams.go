package groupcoordinator

import (
	"fmt"
	"strings"

	"once/groupcoordinator/group"
	"once/groupcoordinator/streamsgroup"
)

// StreamsHeartbeatResult answers a heartbeat of a member of a streams group: Err, or the answer.
type StreamsHeartbeatResult struct {
	Err    error
	Answer *streamsgroup.Answer
}

// StreamsHeartbeat handles a heartbeat of a member of a streams group (spec: streams-groups 5). A join makes the group,
// also in place of an empty classic one, whose offsets stay.
func (c *Coordinator) StreamsHeartbeat(groupID string, h *streamsgroup.Heartbeat) *Future[StreamsHeartbeatResult] {
	refuse := func(err error) *Future[StreamsHeartbeatResult] {
		return immediate(StreamsHeartbeatResult{Err: err})
	}
	if groupID == "" {
		return refuse(fmt.Errorf("%w: GroupId can't be empty", group.ErrInvalidRequest))
	}
	if err := h.Validate(); err != nil {
		return refuse(err)
	}
	s, err := c.lockShard(groupID)
	if err != nil {
		return refuse(err)
	}
	defer s.mu.Unlock()
	at, g, tombstones, err := s.streamsForHeartbeatLocked(groupID, h)
	if err != nil {
		return refuse(err)
	}
	step, answer, err := g.Heartbeat(c.cfg.Members.Now(), h)
	if err != nil {
		return refuse(err)
	}
	step.Records = append(tombstones, step.Records...)
	if at == nil {
		at = s.putGroupLocked(g)
		if err := s.carryOutLocked(at, step); err != nil {
			s.removeGroupLocked(at)
			return refuse(err)
		}
		s.heardLocked(groupID, h.MemberID)
		return ready(StreamsHeartbeatResult{Answer: answer}, s.mu.durable)
	}
	if err := s.carryOutLocked(at, step); err != nil {
		return refuse(err)
	}
	s.heardLocked(groupID, h.MemberID)
	return ready(StreamsHeartbeatResult{Answer: answer}, s.mu.durable)
}

// streamsForHeartbeatLocked returns the group of a heartbeat, and its entry unless it is a new one. An empty classic
// group is replaced: its tombstones go first.
func (s *shard) streamsForHeartbeatLocked(groupID string, h *streamsgroup.Heartbeat) (
	at *entry, g *streamsgroup.Group, tombstones []group.Record, err error,
) {
	at = s.mu.groups[groupID]
	if at == nil {
		if h.MemberEpoch != streamsgroup.JoinEpoch {
			return nil, nil, nil, s.noGroupLocked(groupID, group.Streams)
		}
		return nil, s.c.newStreamsGroup(groupID), nil, nil
	}
	if g, ok := at.Group.(*streamsgroup.Group); ok {
		return at, g, nil, nil
	}
	if h.MemberEpoch != streamsgroup.JoinEpoch || at.Type() != group.Classic || !at.IsEmpty() {
		return nil, nil, nil, s.noGroupLocked(groupID, group.Streams)
	}
	return at, s.c.newStreamsGroup(groupID), at.Tombstones(), nil
}

// newStreamsGroup returns a group without members. It copies the ID.
func (c *Coordinator) newStreamsGroup(groupID string) *streamsgroup.Group {
	env := &streamsgroup.Env{Topics: c.cfg.Topics, Settings: c.cfg.StreamsSettings}
	return streamsgroup.New(env, strings.Clone(groupID))
}

// DescribeStreams describes a streams group. Its errors are ErrLoading, ErrClosed, ErrInvalidGroupID and
// ErrGroupNotFound, also for a group of another type.
func (c *Coordinator) DescribeStreams(groupID string) (streamsgroup.Description, error) {
	s, err := c.lockShardOfNamedGroup(groupID)
	if err != nil {
		return streamsgroup.Description{}, err
	}
	defer s.mu.Unlock()
	if at := s.mu.groups[groupID]; at != nil {
		if g, ok := at.Group.(*streamsgroup.Group); ok {
			return g.Describe(), nil
		}
	}
	return streamsgroup.Description{}, s.noGroupLocked(groupID, group.Streams)
}
