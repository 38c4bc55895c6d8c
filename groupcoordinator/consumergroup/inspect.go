package consumergroup

import (
	"fmt"
	"strings"

	"once/groupcoordinator/assignment"
	"once/groupcoordinator/group"
)

// What follows is for tools that read the groups of a stopped broker.

// Contradiction says what is wrong with a record as the next one of the group, "" for nothing. A log keeps the last
// record of each key at least, so this holds for a compacted log as well.
func (g *Group) Contradiction(record group.Record) string {
	switch v := record.(Record).value.(type) {
	case GroupValue:
		if v.GroupEpoch < g.groupEpoch {
			return fmt.Sprintf("goes back from epoch %d to %d", g.groupEpoch, v.GroupEpoch)
		}
	case CurrentValue:
		id := record.(Record).name
		for _, set := range []Owned{v.Assigned, v.PendingRevocation} {
			for at := range set.epochs {
				if owner := g.owners[at]; owner != "" && owner != id {
					return fmt.Sprintf("partition %d of topic %x has two members, %q and %q", at.index, at.topic, owner, id)
				}
			}
		}
	}
	return ""
}

// Text describes the record in words and key=value pairs.
func (r Record) Text() string {
	of := fmt.Sprintf("group=%q", r.groupID)
	switch {
	case r.keyType == keyRegex:
		of += fmt.Sprintf(" regex=%q", r.name)
	case r.hasName():
		of += fmt.Sprintf(" member_id=%q", r.name)
	}
	what := map[int16]string{
		keyGroup: "consumer-group", keyLegacyTopics: "consumer-group-topics", keyMember: "consumer-group-member",
		keyTargetEpoch: "consumer-group-target-epoch", keyTarget: "consumer-group-target",
		keyCurrent: "consumer-group-current", keyRegex: "consumer-group-regex",
	}[r.keyType]
	if r.value == nil {
		return what + "-tombstone " + of
	}
	return what + " " + of + " " + valueText(r.value)
}

func valueText(value Value) string {
	switch v := value.(type) {
	case GroupValue:
		return fmt.Sprintf("group_epoch=%d metadata_hash=%d", v.GroupEpoch, v.MetadataHash)
	case TargetEpochValue:
		return fmt.Sprintf("assignment_epoch=%d timestamp_ms=%d", v.AssignmentEpoch, v.TimestampMs)
	case TargetValue:
		return "partitions=" + setText(v.Partitions)
	case CurrentValue:
		return fmt.Sprintf("member_epoch=%d previous_member_epoch=%d state=%s assigned=%s pending_revocation=%s",
			v.MemberEpoch, v.PreviousMemberEpoch, v.State, setText(v.Assigned.Set), setText(v.PendingRevocation.Set))
	case RegexValue:
		return fmt.Sprintf("topics=%q version=%d timestamp_ms=%d", v.Topics, v.Version, v.TimestampMs)
	case MemberValue:
		text := fmt.Sprintf("client_id=%q client_host=%q topics=%q rebalance_timeout_ms=%d", v.ClientID, v.ClientHost,
			v.SubscribedTopics, v.RebalanceTimeoutMs)
		if v.InstanceID != nil {
			text += fmt.Sprintf(" group_instance_id=%q", *v.InstanceID)
		}
		if v.regex() != "" {
			text += fmt.Sprintf(" regex=%q", v.regex())
		}
		if v.ServerAssignor != nil {
			text += fmt.Sprintf(" server_assignor=%q", *v.ServerAssignor)
		}
		if v.Classic != nil {
			text += fmt.Sprintf(" classic=true session_timeout_ms=%d", v.Classic.SessionTimeoutMs)
		}
		return text
	}
	return ""
}

// setText is [ID:0,1 ID:2].
func setText(s assignment.Set) string {
	var topics []string
	for _, topic := range s.Topics() {
		topics = append(topics, fmt.Sprintf("%x:%s", topic,
			strings.Trim(strings.ReplaceAll(fmt.Sprint(s[topic]), " ", ","), "[]")))
	}
	return "[" + strings.Join(topics, " ") + "]"
}
