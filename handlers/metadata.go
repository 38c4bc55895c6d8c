package handlers

import (
	"context"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/topics"
	"once/wire"
)

// noAuthorizedOperations is the value when the request did not ask for authorized operations.
const noAuthorizedOperations = -2147483648

// Metadata v0 to v13. v1: null means all topics, empty means none; v2 cluster ID; v4 auto-creation is
// a choice; v5 offline replicas; v7 leader epochs; v8 authorized operations; v9 flexible; v10 topic
// IDs in answers, v12 in requests; v13 top-level error (KIP-1102).
//
// A topic is created before the answer, which saves the client a retry, unless dev.auto.create.delay.ms is set.
func (s *Services) metadata(_ context.Context, r *wire.Request) wire.Reply {
	req, resp := r.Body.(*kmsg.MetadataRequest), response[*kmsg.MetadataResponse](r)
	if hasEarlyID(req, r.Version) {
		return wire.Respond(failMetadata(r, wire.InvalidRequest, ""))
	}
	host, port := s.Advertised(r.Conn)
	broker := kmsg.NewMetadataResponseBroker()
	broker.NodeID, broker.Host, broker.Port = s.NodeID, host, port
	resp.Brokers = []kmsg.MetadataResponseBroker{broker}
	resp.ClusterID, resp.ControllerID = &s.ClusterID, s.NodeID
	resp.AuthorizedOperations = noAuthorizedOperations
	if req.IncludeClusterAuthorizedOperations {
		resp.AuthorizedOperations = clusterOperations
	}
	switch {
	case asksForAll(req, r.Version):
		for _, t := range s.Catalogue.All() {
			resp.Topics = append(resp.Topics, s.describeTopic(t))
		}
	case s.asksByID(req, r.Version):
		resp.Topics = s.metadataByIDs(req.Topics)
	default:
		create := (r.Version < 4 || req.AllowAutoTopicCreation) && s.Settings.AutoCreateTopicsEnable
		resp.Topics = s.metadataByNames(req.Topics, create)
	}
	if req.IncludeTopicAuthorizedOperations {
		for i := range resp.Topics {
			if resp.Topics[i].Topic != nil { // else its ID is unknown
				resp.Topics[i].AuthorizedOperations = topicOperations
			}
		}
	}
	return wire.Respond(resp)
}

// hasEarlyID says whether a topic is named by its ID alone, or has one, in v10 or v11. They have the field, but Kafka
// serves IDs from v12 on only, and refuses the whole request.
func hasEarlyID(req *kmsg.MetadataRequest, version int16) bool {
	return version >= 10 && version < 12 && slices.ContainsFunc(req.Topics, func(t kmsg.MetadataRequestTopic) bool {
		return t.Topic == nil || t.TopicID != [16]byte{}
	})
}

// asksForAll says whether the request is for all topics.
func asksForAll(req *kmsg.MetadataRequest, version int16) bool {
	return req.Topics == nil || version == 0 && len(req.Topics) == 0
}

// asksByID says whether the request names any topic by ID; names are ignored then.
func (s *Services) asksByID(req *kmsg.MetadataRequest, version int16) bool {
	if version < 12 {
		return false
	}
	return slices.ContainsFunc(req.Topics, func(t kmsg.MetadataRequestTopic) bool { return t.TopicID != [16]byte{} })
}

// metadataByIDs describes topics by their IDs, each once.
func (s *Services) metadataByIDs(asked []kmsg.MetadataRequestTopic) []kmsg.MetadataResponseTopic {
	all := make([]kmsg.MetadataResponseTopic, 0, len(asked))
	seen := map[[16]byte]bool{{}: true}
	for i := range asked {
		id := asked[i].TopicID
		if seen[id] {
			continue
		}
		seen[id] = true
		if t, code := s.Catalogue.TopicByID(id); code == wire.NoError {
			all = append(all, s.describeTopic(t))
		} else {
			all = append(all, errorTopic(nil, id, code))
		}
	}
	return all
}

// metadataByNames describes topics by their names, each once.
func (s *Services) metadataByNames(asked []kmsg.MetadataRequestTopic, create bool) []kmsg.MetadataResponseTopic {
	all := make([]kmsg.MetadataResponseTopic, 0, len(asked))
	seen := make(map[string]bool, len(asked))
	for i := range asked {
		name := asked[i].Topic
		if name != nil {
			if seen[*name] {
				continue
			}
			seen[*name] = true
		}
		all = append(all, s.metadataByName(name, create))
	}
	return all
}

func (s *Services) metadataByName(name *string, create bool) kmsg.MetadataResponseTopic {
	if name == nil {
		return errorTopic(nil, [16]byte{}, wire.InvalidRequest)
	}
	t, err := s.lookupOrCreate(*name, create)
	if err != nil {
		return errorTopic(name, [16]byte{}, codeFor(err, int16(kmsg.Metadata), 0))
	}
	return s.describeTopic(t)
}

// lookupOrCreate returns a topic, and creates it with the broker's defaults if create is set.
func (s *Services) lookupOrCreate(name string, create bool) (*topics.Topic, error) {
	if t, code := s.Catalogue.Topic(name); code == wire.NoError {
		return t, nil
	}
	if err := topics.CheckName(name); err != nil {
		return nil, err
	}
	if !create {
		return nil, topics.ErrUnknownTopic
	}
	return s.autoCreate(name)
}

func errorTopic(name *string, id [16]byte, code wire.Code) kmsg.MetadataResponseTopic {
	t := kmsg.NewMetadataResponseTopic()
	t.Topic, t.TopicID, t.ErrorCode = name, id, int16(code)
	t.Partitions = []kmsg.MetadataResponseTopicPartition{}
	t.AuthorizedOperations = noAuthorizedOperations
	return t
}

func (s *Services) describeTopic(t *topics.Topic) kmsg.MetadataResponseTopic {
	mt := kmsg.NewMetadataResponseTopic()
	mt.Topic, mt.TopicID, mt.IsInternal = &t.Name, t.ID, t.Internal
	mt.AuthorizedOperations = noAuthorizedOperations
	partitions := t.Partitions()
	mt.Partitions = make([]kmsg.MetadataResponseTopicPartition, len(partitions))
	replicas := []int32{s.NodeID}
	for i, p := range partitions {
		mp := kmsg.NewMetadataResponseTopicPartition()
		mp.Partition, mp.Leader, mp.LeaderEpoch = int32(i), s.NodeID, p.LeaderEpoch()
		mp.Replicas, mp.ISR, mp.OfflineReplicas = replicas, replicas, []int32{}
		mt.Partitions[i] = mp
	}
	return mt
}

// failMetadata has the code with each topic, and from v13 on at the top.
func failMetadata(r *wire.Request, code wire.Code, _ string) kmsg.Response {
	req, resp := r.Body.(*kmsg.MetadataRequest), response[*kmsg.MetadataResponse](r)
	resp.ErrorCode = int16(code)
	for i := range req.Topics {
		resp.Topics = append(resp.Topics, errorTopic(req.Topics[i].Topic, req.Topics[i].TopicID, code))
	}
	return resp
}

func aboutMetadata(c Catalogue, r *wire.Request) Subjects {
	req := r.Body.(*kmsg.MetadataRequest)
	return Subjects{
		AllTopics: asksForAll(req, r.Version),
		Topics: eachOf(req.Topics, func(t *kmsg.MetadataRequestTopic) TopicSubject {
			return c.subject(orEmpty(t.Topic), t.TopicID, t.TopicID != [16]byte{}, nil)
		}),
	}
}
