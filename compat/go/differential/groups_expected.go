package main

import (
	"slices"
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"
)

var expectedOfClassicGroups = expectations{
	{
		row: "JoinGroup with a group instance ID and a member ID that was given out",
		why: "clients retry UNKNOWN_SERVER_ERROR",
		matches: func(_ []exchange, last exchange) bool {
			return last.API == kmsg.JoinGroup && last.Fields["InstanceID"] != nil && last.Fields["MemberID"] != "" &&
				strings.Contains(last.kafka, "UNKNOWN_SERVER_ERROR") && strings.Contains(last.once, "UNKNOWN_MEMBER_ID")
		},
	},
}

var expectedOfGroups = expectations{
	{
		row: "values with which Kafka fails inside",
		why: "no client sends a null member ID with an epoch",
		matches: func(_ []exchange, last exchange) bool {
			return last.API == kmsg.OffsetFetch && strings.Contains(last.kafka, "UNKNOWN_SERVER_ERROR")
		},
		goesOn: true,
	},
	{
		row: "a member without topics joins a consumer group",
		why: "Kafka takes the partitions from all members until the group changes again",
		matches: func(done []exchange, last exchange) bool {
			joined := func(e exchange) bool {
				topics, ok := e.Fields["SubscribedTopicNames"].([]any)
				return ok && len(topics) == 0
			}
			taken := strings.Count(last.kafka, "Partitions=") < strings.Count(last.once, "Partitions=") ||
				strings.Contains(last.kafka, "Assignment:") && strings.Contains(last.once, "Assignment=null")
			return taken && slices.ContainsFunc(done, joined)
		},
	},
}

var expectedOfShareMembers = expectations{
	{
		row: "values with which Kafka fails inside",
		why: "no client acknowledges what it has not got, from below the start offset of a window that is empty",
		matches: func(_ []exchange, last exchange) bool {
			acknowledges := last.API == kmsg.ShareFetch || last.API == kmsg.ShareAcknowledge
			return acknowledges && strings.HasPrefix(last.kafka, "ErrorCode=UNKNOWN_SERVER_ERROR")
		},
	},
}
