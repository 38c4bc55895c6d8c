package sharecoordinator

import (
	"encoding/base64"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf16"
)

// Key names a share partition.
type Key struct {
	Group     string
	TopicID   [16]byte
	Partition int32
}

// String returns the key as FindCoordinator has it.
func (k Key) String() string {
	return k.Group + ":" + base64.RawURLEncoding.EncodeToString(k.TopicID[:]) + ":" + strconv.Itoa(int(k.Partition))
}

// ParseKey reads a key as FindCoordinator has it; a group may contain colons.
func ParseKey(s string) (Key, error) {
	refuse := func() (Key, error) { return Key{}, fmt.Errorf("%q is no group:topicId:partition", s) }
	last := strings.LastIndexByte(s, ':')
	if last < 0 {
		return refuse()
	}
	middle := strings.LastIndexByte(s[:last], ':')
	if middle <= 0 {
		return refuse()
	}
	id, err := base64.RawURLEncoding.DecodeString(s[middle+1 : last])
	partition, numberErr := strconv.ParseInt(s[last+1:], 10, 32)
	if err != nil || numberErr != nil || len(id) != 16 {
		return refuse()
	}
	return Key{Group: s[:middle], TopicID: [16]byte(id), Partition: int32(partition)}, nil
}

// PartitionOf returns the partition of the topic for a key: the absolute value of Java's String.hashCode, modulo the
// number of partitions. It is 0 for the one hash without an absolute value.
func PartitionOf(k Key, partitions int32) int32 {
	var h int32
	for _, u := range utf16.Encode([]rune(k.String())) {
		h = 31*h + int32(u)
	}
	if h < 0 {
		h = max(0, -h)
	}
	return h % partitions
}
