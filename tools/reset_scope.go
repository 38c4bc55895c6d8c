package tools

import (
	"context"
	"encoding/csv"
	"os"
	"strconv"
	"strings"

	"github.com/twmb/franz-go/pkg/kadm"
)

// topicArguments reads TOPIC and TOPIC:0,1; a topic alone is whole.
func topicArguments(topics []string) (scope kadm.TopicsSet, whole []string, err error) {
	scope = kadm.TopicsSet{}
	for _, entry := range topics {
		name, list, found := strings.Cut(entry, ":")
		if !found {
			whole = append(whole, name)
			continue
		}
		for _, number := range strings.Split(list, ",") {
			p, err := strconv.ParseInt(strings.TrimSpace(number), 10, 32)
			if err != nil {
				return nil, nil, say("Invalid topic arg '%s', expected format: 'topic:partitions'", entry)
			}
			scope.Add(name, int32(p))
		}
	}
	return scope, whole, nil
}

// partitionScope returns the partitions that TOPIC and TOPIC:0,1 mean; a topic alone means all of its partitions.
func partitionScope(ctx context.Context, admin *kadm.Client, topics []string) (kadm.TopicsSet, error) {
	scope, whole, err := topicArguments(topics)
	if err != nil || len(whole) == 0 {
		return scope, err
	}
	metadata, err := admin.ListTopicsWithInternal(ctx, whole...)
	if err != nil {
		return nil, err
	}
	for _, t := range metadata.Sorted() {
		if t.Err != nil {
			return nil, t.Err
		}
		scope.Add(t.Topic, t.Partitions.Numbers()...)
	}
	return scope, nil
}

// isWithin tells whether there is an offset for each partition of the scope.
func isWithin(scope kadm.TopicsSet, offsets kadm.Offsets) bool {
	for _, p := range sortedPartitions(scope) {
		if _, ok := offsets.Lookup(p.topic, p.partition); !ok {
			return false
		}
	}
	return true
}

// fileOffsets reads a file with lines TOPIC,PARTITION,OFFSET, or GROUP,TOPIC,PARTITION,OFFSET.
func fileOffsets(name, group string, withGroups bool) (kadm.Offsets, error) {
	file, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	lines := csv.NewReader(file)
	lines.FieldsPerRecord = 3
	if withGroups {
		lines.FieldsPerRecord = 4
	}
	lines.TrimLeadingSpace = true
	records, err := lines.ReadAll()
	if err != nil {
		return nil, err
	}
	offsets := kadm.Offsets{}
	for _, r := range records {
		if withGroups {
			if r[0] != group {
				continue
			}
			r = r[1:]
		}
		partition, err := strconv.ParseInt(r[1], 10, 32)
		if err != nil {
			return nil, err
		}
		at, err := strconv.ParseInt(r[2], 10, 64)
		if err != nil {
			return nil, err
		}
		offsets.AddOffset(r[0], int32(partition), at, -1)
	}
	return offsets, nil
}
