package handlers

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/groupcoordinator"
	"once/groupcoordinator/group"
	"once/groupcoordinator/streamsgroup"
	"once/internal/clock"
	"once/settings"
	"once/topics"
	"once/wire"
)

// StreamsGroupHeartbeat v0 to v1 (KIP-1071). v1 has the recovery lag in 64 bits, and a status for client tags that a
// member lacks.
//
// Internal topics that the topology lacks are created before the answer is sent. The answer says that they are missing,
// and the member's next heartbeat finds them, as in Kafka.
func (s *Services) streamsGroupHeartbeat(_ context.Context, r *wire.Request) wire.Reply {
	req, resp := r.Body.(*kmsg.StreamsGroupHeartbeatRequest), response[*kmsg.StreamsGroupHeartbeatResponse](r)
	refused := func(err error) kmsg.Response {
		code := codeFor(err, r.Key, r.Version)
		message := ""
		if !isCoordinatorMoving(code) {
			message = err.Error()
		}
		resp := failStreamsGroupHeartbeat(r, code, "").(*kmsg.StreamsGroupHeartbeatResponse)
		resp.ErrorMessage = messageOrNull(message)
		return resp
	}
	h, err := s.streamsHeartbeatOf(req, r)
	if err != nil {
		return wire.Respond(refused(err))
	}
	failed := func(err error) groupcoordinator.StreamsHeartbeatResult {
		return groupcoordinator.StreamsHeartbeatResult{Err: err}
	}
	return await(s.Groups.StreamsHeartbeat(req.Group, h), failed,
		func(result groupcoordinator.StreamsHeartbeatResult) kmsg.Response {
			if result.Err != nil {
				return refused(result.Err)
			}
			s.streamsTopics.create(s, result.Answer)
			fillStreamsGroupHeartbeat(resp, result.Answer, r.Version)
			return resp
		})
}

// isCoordinatorMoving reports whether a code stands for the coordinator and not for the request: Kafka sends these
// without a message.
func isCoordinatorMoving(code wire.Code) bool {
	return code == wire.CoordinatorLoadInProgress || code == wire.CoordinatorNotAvailable || code == wire.NotCoordinator ||
		code == wire.UnknownServerError
}

// streamsHeartbeatOf checks the topics of a topology and converts the request (spec: streams-groups 5).
func (s *Services) streamsHeartbeatOf(req *kmsg.StreamsGroupHeartbeatRequest,
	r *wire.Request) (*streamsgroup.Heartbeat, error) {
	h := &streamsgroup.Heartbeat{
		MemberID: strings.Clone(req.MemberID), MemberEpoch: req.MemberEpoch, EndpointEpoch: req.EndpointInformationEpoch,
		InstanceID: cloneOptional(req.InstanceID), RackID: cloneOptional(req.RackID),
		RebalanceTimeoutMs: req.RebalanceTimeoutMillis, ProcessID: cloneOptional(req.ProcessID),
		Shutdown: req.ShutdownApplication, ClientID: strings.Clone(r.ClientID), ClientHost: clientHost(r.Conn),
		KnowsClientTags: r.Version >= 1,
	}
	var err error
	if req.Topology != nil {
		if h.Topology, err = s.topologyOf(req.Topology); err != nil {
			return nil, err
		}
	}
	lists := 0
	for _, list := range [][]kmsg.TaskIDs{req.ActiveTasks, req.StandbyTasks, req.WarmupTasks} {
		if list != nil {
			lists++
		}
	}
	if h.PartialOwned = lists == 1 || lists == 2; lists == 3 {
		h.Owned = &streamsgroup.Assignment{Active: tasksOf(req.ActiveTasks), Standby: tasksOf(req.StandbyTasks),
			Warmup: tasksOf(req.WarmupTasks)}
	}
	if e := req.UserEndpoint; e != nil {
		h.Endpoint = &streamsgroup.Endpoint{Host: strings.Clone(e.Host), Port: e.Port}
	}
	if req.ClientTags != nil {
		h.ClientTags = []streamsgroup.Config{}
		for _, tag := range req.ClientTags {
			h.ClientTags = append(h.ClientTags, streamsgroup.Config{Key: strings.Clone(tag.Key),
				Value: strings.Clone(tag.Value)})
		}
	}
	if h.Offsets, err = taskOffsetsOf(req.TaskOffsets); err != nil {
		return nil, err
	}
	h.EndOffsets, err = taskOffsetsOf(req.TaskEndOffsets)
	return h, err
}

func cloneOptional(s *string) *string {
	if s == nil {
		return nil
	}
	clone := strings.Clone(*s)
	return &clone
}

func tasksOf(lists []kmsg.TaskIDs) streamsgroup.TaskSet {
	set := streamsgroup.TaskSet{}
	for _, list := range lists {
		subtopology := strings.Clone(list.SubtopologyID)
		for _, p := range list.Partitions {
			set[streamsgroup.TaskID{Subtopology: subtopology, Partition: p}] = struct{}{}
		}
	}
	return set
}

func taskOffsetsOf(list []kmsg.TaskOffset) (map[streamsgroup.TaskID]int64, error) {
	if list == nil {
		return nil, nil
	}
	offsets := make(map[streamsgroup.TaskID]int64, len(list))
	for _, o := range list {
		id := streamsgroup.TaskID{Subtopology: strings.Clone(o.SubtopologyID), Partition: o.Partition}
		if _, ok := offsets[id]; ok {
			return nil, fmt.Errorf("%w: the offset of task %s_%d is given twice", group.ErrInvalidRequest, id.Subtopology,
				id.Partition)
		}
		offsets[id] = o.Offset
	}
	return offsets, nil
}

func (s *Services) topologyOf(t *kmsg.StreamsGroupHeartbeatRequestTopology) (*streamsgroup.Topology, error) {
	subtopologies := make([]streamsgroup.Subtopology, len(t.Subtopologies))
	for i := range t.Subtopologies {
		from, to := &t.Subtopologies[i], &subtopologies[i]
		if len(from.SourceTopicRegex) > 0 {
			return nil, fmt.Errorf("%w: regular expressions for source topics are not supported", group.ErrInvalidRequest)
		}
		*to = streamsgroup.Subtopology{ID: strings.Clone(from.SubtopologyID), SourceTopics: cloneStrings(from.SourceTopics),
			RepartitionSinkTopics:   cloneStrings(from.RepartitionSinkTopics),
			ChangelogTopics:         internalTopicsOf(from.StateChangelogTopics),
			RepartitionSourceTopics: internalTopicsOf(from.RepartitionSourceTopics)}
		for _, g := range from.CopartitionGroups {
			to.CopartitionGroups = append(to.CopartitionGroups, streamsgroup.CopartitionGroup{
				SourceTopics:            slices.Clone(g.SourceTopics),
				RepartitionSourceTopics: slices.Clone(g.RepartitionSourceTopics)})
		}
	}
	topology, err := streamsgroup.NewTopology(t.Epoch, subtopologies)
	if err != nil {
		return nil, err
	}
	var internal []string
	for _, name := range topology.Topics() {
		if topics.IsInternal(name) {
			internal = append(internal, name)
		} else if err := topics.CheckName(name); err != nil {
			return nil, fmt.Errorf("%w: Topic names must be legal: %v", streamsgroup.ErrInvalidTopology, err)
		}
	}
	if len(internal) > 0 {
		return nil, fmt.Errorf("%w: Use of Kafka internal topics %s in a Kafka Streams topology is prohibited",
			streamsgroup.ErrInvalidTopology, strings.Join(internal, ","))
	}
	return topology, nil
}

func cloneStrings(list []string) []string {
	return eachOf(list, func(s *string) string { return strings.Clone(*s) })
}

func internalTopicsOf(list []kmsg.TopicInfo) []streamsgroup.InternalTopic {
	return eachOf(list, func(t *kmsg.TopicInfo) streamsgroup.InternalTopic {
		return streamsgroup.InternalTopic{Name: strings.Clone(t.Topic), Partitions: t.NumPartitions,
			ReplicationFactor: t.ReplicationFactor,
			Configs: eachOf(t.Configs, func(c *kmsg.TopicInfoConfig) streamsgroup.Config {
				return streamsgroup.Config{Key: strings.Clone(c.Key), Value: strings.Clone(c.Value)}
			})}
	})
}

func fillStreamsGroupHeartbeat(resp *kmsg.StreamsGroupHeartbeatResponse, a *streamsgroup.Answer, version int16) {
	resp.MemberID, resp.MemberEpoch = a.MemberID, a.MemberEpoch
	resp.HeartbeatIntervalMillis = int32(a.HeartbeatInterval.Milliseconds())
	resp.TaskOffsetIntervalMillis = int32(a.TaskOffsetInterval.Milliseconds())
	resp.AcceptableRecoveryLag = a.AcceptableRecoveryLag
	resp.EndpointInformationEpoch = a.EndpointEpoch
	resp.Status = []kmsg.StreamsGroupHeartbeatResponseStatus{}
	for _, status := range a.Status {
		x := kmsg.NewStreamsGroupHeartbeatResponseStatus()
		x.StatusCode, x.StatusDetail = int8(status.Code), *errorMessage(status.Detail)
		resp.Status = append(resp.Status, x)
	}
	if a.Tasks != nil {
		resp.ActiveTasks, resp.StandbyTasks = taskLists(a.Tasks.Active), taskLists(a.Tasks.Standby)
		resp.WarmupTasks = taskLists(a.Tasks.Warmup)
	}
	if a.Endpoints == nil {
		return
	}
	resp.PartitionsByUserEndpoint = []kmsg.StreamsGroupHeartbeatResponsePartitionsByUserEndpoint{}
	for _, e := range a.Endpoints {
		x := kmsg.NewStreamsGroupHeartbeatResponsePartitionsByUserEndpoint()
		x.UserEndpoint.Host, x.UserEndpoint.Port = e.Endpoint.Host, e.Endpoint.Port
		for _, topic := range slices.Sorted(maps.Keys(e.Active)) {
			p := kmsg.NewStreamsGroupHeartbeatResponsePartitionsByUserEndpointActivePartition()
			p.Topic, p.Partitions = topic, e.Active[topic]
			x.ActivePartitions = append(x.ActivePartitions, p)
		}
		for _, topic := range slices.Sorted(maps.Keys(e.Standby)) {
			p := kmsg.NewStreamsGroupHeartbeatResponsePartitionsByUserEndpointStandbyPartition()
			p.Topic, p.Partitions = topic, e.Standby[topic]
			x.StandbyPartitions = append(x.StandbyPartitions, p)
		}
		resp.PartitionsByUserEndpoint = append(resp.PartitionsByUserEndpoint, x)
	}
}

// taskLists groups tasks by subtopology. It is not nil: null stands for no change.
func taskLists(tasks streamsgroup.TaskSet) []kmsg.TaskIDs {
	lists := []kmsg.TaskIDs{}
	for _, id := range streamsgroup.SortedTasks(tasks) {
		if n := len(lists); n == 0 || lists[n-1].SubtopologyID != id.Subtopology {
			list := kmsg.NewTaskIDs()
			list.SubtopologyID = id.Subtopology
			lists = append(lists, list)
		}
		last := &lists[len(lists)-1]
		last.Partitions = append(last.Partitions, id.Partition)
	}
	return lists
}

func failStreamsGroupHeartbeat(r *wire.Request, code wire.Code, _ string) kmsg.Response {
	resp := response[*kmsg.StreamsGroupHeartbeatResponse](r)
	resp.ErrorCode = int16(code)
	resp.Status = []kmsg.StreamsGroupHeartbeatResponseStatus{}
	return resp
}

func aboutStreamsGroupHeartbeat(_ Catalogue, r *wire.Request) Subjects {
	req := r.Body.(*kmsg.StreamsGroupHeartbeatRequest)
	about := Subjects{Groups: []string{req.Group}}
	if req.Topology == nil {
		return about
	}
	names := map[string]bool{}
	for _, sub := range req.Topology.Subtopologies {
		for _, name := range slices.Concat(sub.SourceTopics, sub.RepartitionSinkTopics) {
			names[name] = true
		}
		for _, internal := range slices.Concat(sub.RepartitionSourceTopics, sub.StateChangelogTopics) {
			names[internal.Topic] = true
		}
	}
	for _, name := range slices.Sorted(maps.Keys(names)) {
		about.Topics = append(about.Topics, TopicSubject{Name: name})
	}
	return about
}

// streamsTopics creates the internal topics of streams groups. It remembers why one could not be created, so that it is
// not tried again with each heartbeat. The zero value is ready to use. Locking: mu is a leaf lock.
type streamsTopics struct {
	mu struct {
		sync.Mutex
		failed map[string]failedCreation // by topic
	}
}

type failedCreation struct {
	err   error
	until time.Time // it is not tried again before
}

// maxFailedCreations bounds what is remembered.
const maxFailedCreations = 1000

// create creates the topics that the answer says are missing, and adds to its status why some could not be created
// before.
func (c *streamsTopics) create(s *Services, a *streamsgroup.Answer) {
	if len(a.Missing) == 0 {
		return
	}
	now := clock.Real{}.Now()
	var failures []string
	room := maxPartitionsPerRequest
	for _, t := range a.Missing {
		if err := c.failure(t.Name, now); err != nil {
			failures = append(failures, t.Name+" ("+err.Error()+")")
			continue
		}
		spec := topics.Spec{Name: t.Name, Partitions: t.Partitions, Overrides: settings.Values{}}
		for _, config := range t.Configs {
			spec.Overrides[config.Key] = config.Value
		}
		err := error(nil)
		if factor := int(t.ReplicationFactor); factor > 0 && s.isTooManyReplicas(factor) {
			err = fmt.Errorf("the replication factor is %d, there is 1 broker (dev.strict.replication is on)", factor)
		} else if int(t.Partitions) > room {
			err = errors.New(tooManyPartitions(int(t.Partitions)))
		} else if _, err = s.Topics.Create(spec); errors.Is(err, topics.ErrExists) {
			err = nil
		}
		if err == nil {
			room -= int(t.Partitions)
		}
		if err != nil {
			c.remember(t.Name, failedCreation{err, now.Add(2 * a.HeartbeatInterval)}, now)
		}
	}
	if len(failures) == 0 {
		return
	}
	for i := range a.Status {
		if a.Status[i].Code == streamsgroup.MissingInternalTopics {
			a.Status[i].Detail += "; Creation failed: " + strings.Join(failures, ", ") + "."
		}
	}
}

func (c *streamsTopics) failure(topic string, now time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if f, ok := c.mu.failed[topic]; ok && now.Before(f.until) {
		return f.err
	}
	return nil
}

func (c *streamsTopics) remember(topic string, f failedCreation, now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	maps.DeleteFunc(c.mu.failed, func(_ string, f failedCreation) bool { return !now.Before(f.until) })
	if c.mu.failed == nil {
		c.mu.failed = map[string]failedCreation{}
	}
	if len(c.mu.failed) < maxFailedCreations {
		c.mu.failed[topic] = f
	}
}
