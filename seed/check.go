package seed

import (
	"errors"
	"strings"

	"once/settings"
)

// Check completes topics with the settings of a broker, and finds what these do not allow. nowMs is the time.
// The error joins one *Error for each of the first mistakes.
func Check(all []Topic, s *settings.Broker, nowMs int64) error {
	var m mistakes
	for i := range all {
		t := &all[i]
		if t.Partitions == 0 {
			t.Partitions = s.NumPartitions
		}
		if t.ReplicationFactor > 1 && s.DevStrictReplication {
			m.add(t.at.mistake("the replication factor is %d, there is 1 broker", t.ReplicationFactor))
		}
		config, err := s.Topic(t.Configs)
		if err != nil {
			m.add(t.configMistake(err))
			continue
		}
		t.batchBytes = min(maxBatchBytes, int64(config.MaxMessageBytes), int64(config.SegmentBytes))
		for j := range t.Records {
			m.add(t.Records[j].check(t.Partitions, config, nowMs))
		}
	}
	return m.err()
}

// configMistake is the mistake for settings that are allowed each, and not together.
func (t *Topic) configMistake(err error) error {
	at := t.at.below(".configs", t.at.line)
	var invalid *settings.InvalidError
	if errors.As(err, &invalid) {
		at = at.below("."+invalid.Name, at.line)
	}
	return at.mistake("%v", err)
}

func (r *Record) check(partitions int32, config settings.Topic, nowMs int64) error {
	if err := r.checkPartition(partitions); err != nil {
		return err
	}
	switch {
	case config.CleanupCompact && r.Key == nil:
		return r.at.below(".key", r.at.line).mistake("is missing, and the topic is compacted")
	case r.isAbove(int64(config.MaxMessageBytes)):
		return r.at.mistake("is larger than max.message.bytes, which is %d", config.MaxMessageBytes)
	case r.isAbove(int64(config.SegmentBytes)):
		return r.at.mistake("is larger than segment.bytes, which is %d", config.SegmentBytes)
	}
	if r.TimestampMs < 0 || config.LogAppendTime {
		return nil
	}
	if r.TimestampMs-nowMs > config.TimestampAfterMaxMs || nowMs-r.TimestampMs > config.TimestampBeforeMaxMs {
		return r.at.below(".timestamp", r.at.line).mistake("is further from the present than the topic allows")
	}
	return nil
}

// ParseCreateTopics reads KAFKA_CREATE_TOPICS of compose files, NAME:PARTITIONS:REPLICAS[:CLEANUP.POLICY], with a
// separator between the topics, "" for a comma. from names the variable in errors.
func ParseCreateTopics(text, separator, from string) ([]Topic, error) {
	if separator == "" {
		separator = ","
	}
	d := &decoder{}
	var all []Topic
	seen := map[string]bool{}
	for _, entry := range strings.Split(text, separator) {
		if entry = strings.TrimSpace(entry); entry == "" {
			continue
		}
		at := place{field: from + " " + entry}
		part := strings.Split(entry, ":")
		if len(part) < 3 || len(part) > 4 {
			d.add(at.mistake("must be NAME:PARTITIONS:REPLICAS or NAME:PARTITIONS:REPLICAS:CLEANUP.POLICY"))
			continue
		}
		t := Topic{Name: part[0], Configs: settings.Values{}, at: at}
		number := func(i int, high int64) int64 { return d.whole(&node{kind: literal, text: part[i]}, at, 1, high) }
		t.Partitions, t.ReplicationFactor = int32(number(1, maxPartitions)), int(number(2, 32767))
		if len(part) == 4 && part[3] != "" {
			t.Configs["cleanup.policy"] = part[3]
			if _, err := settings.CanonicalTopic(t.Configs); err != nil {
				d.add(at.mistake("%v", err))
			}
		}
		d.add(checkName(t.Name, at))
		if seen[t.Name] {
			d.add(at.mistake("the topic %q stands twice", t.Name))
		}
		seen[t.Name] = true
		all = append(all, t)
	}
	return all, d.err()
}
