package log

import (
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
)

// encodeMetadata writes Kafka's partition.metadata.
func encodeMetadata(topicID [16]byte) []byte {
	return fmt.Appendf(nil, "version: 0\ntopic_id: %s\n", base64.RawURLEncoding.EncodeToString(topicID[:]))
}

// DecodeMetadata reads partition.metadata.
func DecodeMetadata(b []byte) (topicID [16]byte, err error) {
	lines := strings.Split(strings.TrimRight(string(b), "\n"), "\n")
	if len(lines) != 2 || lines[0] != "version: 0" {
		return topicID, errors.New("not a version 0 partition.metadata")
	}
	text, ok := strings.CutPrefix(lines[1], "topic_id: ")
	if !ok {
		return topicID, errors.New("no topic_id")
	}
	id, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || len(id) != len(topicID) {
		return topicID, fmt.Errorf("topic_id %q is no topic id", text)
	}
	copy(topicID[:], id)
	return topicID, nil
}
