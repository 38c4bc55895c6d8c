package handlers

import (
	"context"
	"math"
	"time"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/groupcoordinator"
	"once/topics"
	"once/wire"
)

// longestRetentionMs is the longest retention of a commit: 292 years, the longest time.Duration.
const longestRetentionMs = int64(math.MaxInt64 / time.Millisecond)

// OffsetCommit v2 to v10. v2 to v4 an explicit retention, v6 leader epoch, v7 static members,
// v8 flexible, v9 GROUP_ID_NOT_FOUND, v10 topic IDs.
//
// Partitions that do not exist are refused here; the group decides about the others.
func (s *Services) offsetCommit(_ context.Context, r *wire.Request) wire.Reply {
	req, resp := r.Body.(*kmsg.OffsetCommitRequest), response[*kmsg.OffsetCommitResponse](r)
	commit := groupcoordinator.CommitRequest{
		GroupID: req.Group, MemberID: req.MemberID, InstanceID: req.InstanceID, Generation: req.Generation,
		KnowsMemberEpochs: r.Version >= 9, Retention: -1,
	}
	if r.Version <= 4 && req.RetentionTimeMillis != -1 {
		commit.Retention = time.Duration(min(max(req.RetentionTimeMillis, 0), longestRetentionMs)) * time.Millisecond
	}
	var asked askedOffsets
	resp.Topics = make([]kmsg.OffsetCommitResponseTopic, len(req.Topics))
	for i := range req.Topics {
		t, out := &req.Topics[i], &resp.Topics[i]
		*out = kmsg.NewOffsetCommitResponseTopic()
		out.Topic, out.TopicID = t.Topic, t.TopicID
		topic, missing := s.offsetTopic(t.Topic, t.TopicID, r.Version >= 10)
		out.Partitions = make([]kmsg.OffsetCommitResponseTopicPartition, len(t.Partitions))
		for j := range t.Partitions {
			p, answer := &t.Partitions[j], &out.Partitions[j]
			*answer = kmsg.NewOffsetCommitResponseTopicPartition()
			answer.Partition = p.Partition
			asked.add(topic, missing, groupcoordinator.OffsetCommit{
				Partition: p.Partition, Offset: p.Offset, LeaderEpoch: p.LeaderEpoch, Metadata: orEmpty(p.Metadata),
			}, &answer.ErrorCode)
		}
	}
	finish := func() kmsg.Response {
		if asked.refused {
			resp.Topics = mergeBy(resp.Topics,
				func(t *kmsg.OffsetCommitResponseTopic) topicKey { return topicKey{t.Topic, t.TopicID} },
				func(into, more *kmsg.OffsetCommitResponseTopic) {
					into.Partitions = append(into.Partitions, more.Partitions...)
				})
		}
		return resp
	}
	if commit.Offsets = asked.offsets; len(commit.Offsets) == 0 {
		return wire.Respond(finish())
	}
	return await(s.Groups.CommitOffsets(&commit), commitFailed, func(result groupcoordinator.CommitResult) kmsg.Response {
		asked.fill(&result, r)
		return finish()
	})
}

// offsetTopic finds the topic of an offset; refused is the code for all its partitions.
func (s *Services) offsetTopic(name string, id [16]byte, byID bool) (topic *topics.Topic, refused wire.Code) {
	if byID {
		return s.Catalogue.TopicByID(id)
	}
	return s.Catalogue.Topic(name)
}

func offsetPartition(topic *topics.Topic, partition int32, refused wire.Code) wire.Code {
	if refused != wire.NoError {
		return refused
	}
	_, refused = partitionOf(topic, partition)
	return refused
}

// askedOffsets are the offsets of a commit that go to the group. Entries for unknown partitions are answered here.
type askedOffsets struct {
	offsets []groupcoordinator.OffsetCommit
	codes   []*int16 // where the error codes of offsets go
	refused bool     // some were answered here
}

// add adds an offset of a topic; missing is the code for all partitions of an unknown topic.
func (a *askedOffsets) add(topic *topics.Topic, missing wire.Code, o groupcoordinator.OffsetCommit, code *int16) {
	if *code = int16(offsetPartition(topic, o.Partition, missing)); *code != 0 {
		a.refused = true
		return
	}
	o.Topic, o.TopicID = topic.Name, topic.ID
	a.offsets = append(a.offsets, o)
	a.codes = append(a.codes, code)
}

func commitFailed(err error) groupcoordinator.CommitResult {
	return groupcoordinator.CommitResult{Err: err}
}

// fill writes the codes of the group's result into the answer.
func (a *askedOffsets) fill(result *groupcoordinator.CommitResult, r *wire.Request) {
	for i, code := range a.codes {
		err := result.Err
		if err == nil && result.Offsets != nil {
			err = result.Offsets[i]
		}
		*code = int16(codeFor(err, r.Key, r.Version))
	}
}

func orEmpty(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

func failOffsetCommit(r *wire.Request, code wire.Code, _ string) kmsg.Response {
	req, resp := r.Body.(*kmsg.OffsetCommitRequest), response[*kmsg.OffsetCommitResponse](r)
	for i := range req.Topics {
		t := kmsg.NewOffsetCommitResponseTopic()
		t.Topic, t.TopicID = req.Topics[i].Topic, req.Topics[i].TopicID
		for j := range req.Topics[i].Partitions {
			p := kmsg.NewOffsetCommitResponseTopicPartition()
			p.Partition, p.ErrorCode = req.Topics[i].Partitions[j].Partition, int16(code)
			t.Partitions = append(t.Partitions, p)
		}
		resp.Topics = append(resp.Topics, t)
	}
	return resp
}

func aboutOffsetCommit(c Catalogue, r *wire.Request) Subjects {
	req := r.Body.(*kmsg.OffsetCommitRequest)
	return Subjects{
		Groups: []string{req.Group},
		Topics: eachOf(req.Topics, func(t *kmsg.OffsetCommitRequestTopic) TopicSubject {
			indexes := eachOf(t.Partitions,
				func(p *kmsg.OffsetCommitRequestTopicPartition) int32 { return p.Partition })
			return c.subject(t.Topic, t.TopicID, r.Version >= 10, indexes)
		}),
	}
}
