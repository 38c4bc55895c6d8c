package sharegroup

import (
	"encoding/base64"
	"fmt"
	"strings"
)

// Text describes the record, for tools: a word for its kind, then fields.
func (r *Record) Text() string {
	names := map[int16]string{
		KeyMember: "share-member", KeyGroup: "share-group", KeyTargetMetadata: "share-target-epoch",
		KeyTargetMember: "share-target", KeyCurrentAssignment: "share-assignment",
		KeyStatePartitions: "share-state-partitions",
	}
	text := names[r.Key]
	if r.Tombstone {
		text += "-tombstone"
	}
	text += fmt.Sprintf(" group=%q", r.Group)
	if ofMember(r.Key) {
		text += fmt.Sprintf(" member_id=%q", r.MemberID)
	}
	if r.Tombstone {
		return text
	}
	switch r.Key {
	case KeyMember:
		return text + fmt.Sprintf(" client_id=%q client_host=%q subscribed_topics=%q", r.ClientID, r.ClientHost, r.Subscribed)
	case KeyGroup:
		return text + fmt.Sprintf(" group_epoch=%d metadata_hash=%d", r.GroupEpoch, r.MetadataHash)
	case KeyTargetMetadata:
		return text + fmt.Sprintf(" assignment_epoch=%d assignment_timestamp=%d", r.AssignmentEpoch, r.AssignmentTimestamp)
	case KeyTargetMember:
		return text + " partitions=" + assignmentText(r.Partitions)
	case KeyCurrentAssignment:
		return text + fmt.Sprintf(" member_epoch=%d previous_member_epoch=%d partitions=%s",
			r.MemberEpoch, r.PreviousMemberEpoch, assignmentText(r.Partitions))
	}
	return text + fmt.Sprintf(" initializing=%s initialized=%s deleting=%s",
		topicsText(r.Initializing), topicsText(r.Initialized), topicsText(r.Deleting))
}

func assignmentText(a Assignment) string {
	var all []string
	for _, t := range a.InOrder() {
		all = append(all, base64.RawURLEncoding.EncodeToString(t.ID[:])+fmt.Sprint(t.Partitions))
	}
	return "[" + strings.Join(all, " ") + "]"
}

func topicsText(topics []StateTopic) string {
	var all []string
	for _, t := range topics {
		all = append(all, fmt.Sprintf("%s%v", t.Name, t.Partitions))
	}
	return "[" + strings.Join(all, " ") + "]"
}
