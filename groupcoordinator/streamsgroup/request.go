package streamsgroup

import (
	"fmt"
	"strings"
	"time"

	"once/groupcoordinator/group"
)

// Heartbeat is a request of a member. Nil fields say that nothing has changed.
type Heartbeat struct {
	MemberID           string
	MemberEpoch        int32
	EndpointEpoch      int32
	InstanceID         *string
	RackID             *string
	RebalanceTimeoutMs int32 // -1: not changed
	Topology           *Topology
	Owned              *Assignment
	// PartialOwned says that some, but not all of the three lists of owned tasks are there.
	PartialOwned bool
	ProcessID    *string
	Endpoint     *Endpoint
	ClientTags   []Config // nil: not changed
	Offsets      map[TaskID]int64
	EndOffsets   map[TaskID]int64
	Shutdown     bool
	ClientID     string
	ClientHost   string
	// KnowsClientTags says that the request's version has the status MissingClientTags.
	KnowsClientTags bool
}

// Answer is the answer to a Heartbeat.
type Answer struct {
	MemberID              string
	MemberEpoch           int32
	HeartbeatInterval     time.Duration
	TaskOffsetInterval    time.Duration
	AcceptableRecoveryLag int64
	Status                []Status
	Tasks                 *Assignment // nil: not changed
	EndpointEpoch         int32
	Endpoints             []EndpointPartitions // nil: not changed
	Missing               []InternalTopic      // to create
}

// EndpointPartitions are the partitions whose state a member's endpoint can be asked for.
type EndpointPartitions struct {
	Endpoint Endpoint
	Active   map[string][]int32
	Standby  map[string][]int32
}

// Validate checks what can be checked without a group (spec: streams-groups 5).
func (h *Heartbeat) Validate() error {
	refuse := func(format string, args ...any) error {
		return fmt.Errorf("%w: %s", group.ErrInvalidRequest, fmt.Sprintf(format, args...))
	}
	blank := func(s *string) bool { return s != nil && strings.TrimSpace(*s) == "" }
	switch {
	case strings.TrimSpace(h.MemberID) == "":
		return refuse("MemberId can't be empty.")
	case blank(h.InstanceID):
		return refuse("InstanceId can't be empty.")
	case blank(h.RackID):
		return refuse("RackId can't be empty.")
	case h.MemberEpoch == JoinEpoch:
		if err := h.validateJoin(refuse); err != nil {
			return err
		}
	case h.MemberEpoch == StaticLeaveEpoch && h.InstanceID == nil:
		return refuse("InstanceId can't be null when the member epoch is -2.")
	case h.MemberEpoch < StaticLeaveEpoch:
		return refuse("MemberEpoch is %d, but must be greater than or equal to -2.", h.MemberEpoch)
	}
	if h.PartialOwned {
		return refuse("If one task-type is non-null, all must be non-null.")
	}
	if h.MemberEpoch != JoinEpoch && h.Topology != nil {
		return refuse("Topology can only be provided when (re-)joining.")
	}
	return nil
}

func (h *Heartbeat) validateJoin(refuse func(string, ...any) error) error {
	switch {
	case h.RebalanceTimeoutMs < 0:
		return refuse("RebalanceTimeoutMs must be provided in first request.")
	case h.PartialOwned || h.Owned == nil || !h.Owned.empty():
		return refuse("The task lists must be empty when (re-)joining.")
	case h.Topology == nil:
		return refuse("Topology must be non-null when (re-)joining.")
	}
	for i := range h.Topology.Subtopologies {
		for _, changelog := range h.Topology.Subtopologies[i].ChangelogTopics {
			if changelog.Partitions != 0 {
				return fmt.Errorf("%w: Changelog topic %s must have an undefined partition count, but it is set to %d",
					ErrInvalidTopology, changelog.Name, changelog.Partitions)
			}
		}
	}
	return nil
}
