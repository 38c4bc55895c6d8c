package tools

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
)

// jsonPartition is a partition in the files that Kafka's tools read.
type jsonPartition struct {
	Topic     *string  `json:"topic"`
	Partition *int32   `json:"partition"`
	Offset    *int64   `json:"offset"`
	Replicas  []int32  `json:"replicas"`
	LogDirs   []string `json:"log_dirs"`
}

// jsonFile is a file with partitions, or with topics.
type jsonFile struct {
	Version    *int             `json:"version"`
	Partitions *[]jsonPartition `json:"partitions"`
	Topics     *[]struct {
		Topic string `json:"topic"`
	} `json:"topics"`
}

// readJSON reads a file, of which the version is 1 or none. The partitions have topic and partition.
func readJSON(name string) (file jsonFile, err error) {
	text, err := os.ReadFile(name)
	if err != nil {
		return file, err
	}
	if err := json.Unmarshal(text, &file); err != nil {
		return file, say("The input string is not a valid JSON")
	}
	if file.Version != nil && *file.Version != 1 {
		return file, say("Not supported version field value %d", *file.Version)
	}
	if file.Partitions != nil {
		for _, p := range *file.Partitions {
			switch {
			case p.Topic == nil:
				return file, say("No such field exists: `topic`")
			case p.Partition == nil:
				return file, say("No such field exists: `partition`")
			}
		}
	}
	return file, nil
}

// partitions returns the partitions of the file; it has to have them.
func (f jsonFile) partitions() ([]jsonPartition, error) {
	if f.Partitions == nil {
		return nil, say("Missing partitions field")
	}
	return *f.Partitions, nil
}

func (p jsonPartition) String() string { return fmt.Sprintf("%s-%d", *p.Topic, *p.Partition) }

// duplicates returns the partitions that a list has twice.
func duplicates(partitions []jsonPartition) (twice []string) {
	seen := map[string]int{}
	for _, p := range partitions {
		if seen[p.String()]++; seen[p.String()] == 2 {
			twice = append(twice, p.String())
		}
	}
	slices.Sort(twice)
	return twice
}
