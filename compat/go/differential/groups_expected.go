package main

import (
	"strings"

	"github.com/twmb/franz-go/pkg/kmsg"
)

var expectedOfGroups = expectations{
	{
		row: "values with which Kafka fails inside",
		why: "no client sends a null member ID with an epoch",
		matches: func(_ []exchange, last exchange) bool {
			return last.API == kmsg.OffsetFetch && strings.Contains(last.kafka, "UNKNOWN_SERVER_ERROR")
		},
		goesOn: true,
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
