package broker_test

import (
	"testing"

	"once/internal/kafkatest"
)

// What goes after hours and days goes with a move of the clock: segments, offsets of a group without members, and
// transactional IDs that are not used. What is not due stays.
func TestMovesReachRetentionAndExpiry(t *testing.T) {
	l := startLab(t)
	l.CreateTopic("hours", 1, map[string]string{"retention.ms": "3600000"})
	l.CreateTopic("kept", 1, map[string]string{"retention.ms": "-1"})
	for _, topic := range []string{"hours", "kept"} {
		p, _ := l.InitProducer("pay")
		l.Produce(p, topic, 0, kafkatest.Values("a", "b")...)
		l.Client.End(p, true)
	}
	l.Commit("billing", "kept", 0, 1, "")

	l.expect("POST", "/v1/clock", `{"advance": "50m"}`, 200, `"did": []`)
	l.expect("GET", "/v1/topics/hours", "", 200, `"logStartOffset": 0`)
	l.expect("POST", "/v1/clock", `{"advance": "20m"}`, 200,
		`"logStartOffset": 3, "partition": 0, "segments": 1, "topic": "hours", "what": "deleted segments"`)
	l.expect("GET", "/v1/topics/hours", "", 200, `"logStartOffset": 3, "lastStableOffset": 3`)

	l.expect("POST", "/v1/clock", `{"advance": "160h"}`, 200) // 161 h 10 min of 168 h
	l.expect("GET", "/v1/groups/billing", "", 200, `"committed": 1`)
	l.expect("GET", "/v1/transactions/pay", "", 200, `"state": "CompleteCommit"`)
	l.expect("POST", "/v1/clock", `{"advance": "7h"}`, 200, `"offsets": 1,`, `"what": "expired offsets"`,
		`"transactionalId": "pay", "what": "expired transactional ID"`)
	l.expect("GET", "/v1/groups/billing", "", 404)
	l.expect("GET", "/v1/transactions/pay", "", 404)
	l.expect("GET", "/v1/records/kept/0", "", 200, `"value": "b"`)
	if offset, _ := l.Committed("billing", "kept", 0); offset != -1 {
		t.Errorf("committed offset %d", offset)
	}
}
