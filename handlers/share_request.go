package handlers

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"once/sharepartition"
	"once/sharepartition/window"
	"once/wire"
)

// maxShareMemberIDLength is the length of a member ID of a share group, a UUID as text.
const maxShareMemberIDLength = 36

// shareEnabled says whether share groups are served: share.version is at least 1.
func (s *Services) shareEnabled() bool { return s.Features.ShareVersion() > 0 }

// checkShareRequest checks what ShareFetch and ShareAcknowledge have in common, and returns group and member.
func (s *Services) checkShareRequest(groupID, memberID *string) (group, member string, code wire.Code) {
	switch {
	case !s.shareEnabled():
		return "", "", wire.UnsupportedVersion
	case groupID == nil, memberID == nil, !isShareMemberID(*memberID):
		return "", "", wire.InvalidRequest
	}
	return *groupID, *memberID, wire.NoError
}

func isShareMemberID(id string) bool { return id != "" && len(id) <= maxShareMemberIDLength }

// shareAcknowledgements converts the acknowledgements of one partition.
func shareAcknowledgements[T any](batches []T, convert func(*T) window.Acknowledgement) []window.Acknowledgement {
	return eachOf(batches, convert)
}

// acknowledge carries out the acknowledgements of one partition (spec: share-groups 10). The answer waits for what is
// added to waits. tried is false for those that were refused by their form, or because there is no such partition.
func (s *Services) acknowledge(
	group, member string, p sharepartition.TopicPartition, list []window.Acknowledgement, renew bool, r *wire.Request,
	waits *shareWaits,
) (code wire.Code, tried bool) {
	t, code := s.Catalogue.TopicByID(p.TopicID)
	if code != wire.NoError {
		return code, false
	}
	if err := window.CheckForm(list, renew); err != nil {
		return codeFor(err, r.Key, r.Version), false
	}
	if _, code := partitionOf(t, p.Partition); code != wire.NoError || len(list) == 0 {
		return code, false
	}
	ticket, err := s.Shares.Acknowledge(sharepartition.Key{Group: group, TopicID: p.TopicID, Partition: p.Partition},
		member, list)
	if err != nil {
		return codeFor(err, r.Key, r.Version), true
	}
	waits.add(ticket)
	return wire.NoError, true
}

// aboutShareGroup makes the subjects of a request of a share session: the group, and the topics.
func aboutShareGroup(c Catalogue, group *string, topics []TopicSubject) Subjects {
	s := Subjects{Topics: topics}
	if group != nil {
		s.Groups = []string{*group}
	}
	return s
}

// shareTopics groups the partitions of an answer by topic, in the order in which they come.
type shareTopics[T any] struct {
	byID map[[16]byte]int
	list []T
}

// at returns the topic of an ID; add makes it.
func (s *shareTopics[T]) at(id [16]byte, add func() T) *T {
	i, ok := s.byID[id]
	if !ok {
		if s.byID == nil {
			s.byID = map[[16]byte]int{}
		}
		i = len(s.list)
		s.byID[id] = i
		s.list = append(s.list, add())
	}
	return &s.list[i]
}

func leaderOf(nodeID, leaderEpoch int32) kmsg.ShareFetchResponseTopicPartitionCurrentLeader {
	l := kmsg.NewShareFetchResponseTopicPartitionCurrentLeader()
	l.LeaderID, l.LeaderEpoch = nodeID, leaderEpoch
	return l
}
