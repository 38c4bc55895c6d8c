package settings

import (
	"fmt"
	"maps"
	"slices"
	"strconv"

	"once/internal/invariant"
)

// Topic is the settings of one topic that are in force, as far as this broker implements them (spec: admin 6). Times
// are in ms, sizes in bytes; -1 as a retention means for ever.
type Topic struct {
	CleanupDelete               bool // cleanup.policy; neither means that nothing ever goes
	CleanupCompact              bool
	CompressionType             string // producer, uncompressed, gzip, snappy, lz4 or zstd
	CompressionGzipLevel        int32
	CompressionLz4Level         int32
	CompressionZstdLevel        int32
	DeadLetterGroupEnable       bool // errors.deadletterqueue.group.enable
	DeleteRetentionMs           int64
	FlushMessages               int64
	FlushMs                     int64
	IndexIntervalBytes          int32
	LogAppendTime               bool // message.timestamp.type
	MaxCompactionLagMs          int64
	MaxMessageBytes             int32
	MaxDecompressedMessageBytes int32 // of one record
	MinCleanableDirtyRatio      float64
	MinCompactionLagMs          int64
	RetentionBytes              int64
	RetentionMs                 int64
	SegmentBytes                int32
	SegmentIndexBytes           int32
	SegmentJitterMs             int64
	SegmentMs                   int64
	TimestampAfterMaxMs         int64
	TimestampBeforeMaxMs        int64
}

// Topic returns the settings of a topic for which overrides are set. The error is an *InvalidError: for
// the first name, in their order, that no topic has or whose value is not allowed, else for values that
// contradict each other (spec: admin 8).
func (b *Broker) Topic(overrides Values) (Topic, error) {
	if len(overrides) == 0 {
		return b.topic, nil
	}
	return b.resolveTopic(overrides)
}

func (b *Broker) resolveTopic(overrides Values) (Topic, error) {
	checked, err := checkOverrides(topicSettings, overrides, "topic")
	if err != nil {
		return Topic{}, err
	}
	v := topicValues{b, checked}
	if v.bool("remote.storage.enable") {
		return Topic{}, &InvalidError{Name: "remote.storage.enable", Value: "true",
			Reason: "must be false: tiered storage is off"}
	}
	policy := splitList(v.text("cleanup.policy"))
	t := Topic{
		CleanupDelete:               slices.Contains(policy, "delete"),
		CleanupCompact:              slices.Contains(policy, "compact"),
		CompressionType:             v.text("compression.type"),
		CompressionGzipLevel:        v.int32("compression.gzip.level"),
		CompressionLz4Level:         v.int32("compression.lz4.level"),
		CompressionZstdLevel:        v.int32("compression.zstd.level"),
		DeadLetterGroupEnable:       v.bool("errors.deadletterqueue.group.enable"),
		DeleteRetentionMs:           v.int64("delete.retention.ms"),
		FlushMessages:               v.int64("flush.messages"),
		FlushMs:                     v.int64("flush.ms"),
		IndexIntervalBytes:          v.int32("index.interval.bytes"),
		LogAppendTime:               v.text("message.timestamp.type") == "LogAppendTime",
		MaxCompactionLagMs:          v.int64("max.compaction.lag.ms"),
		MaxMessageBytes:             v.int32("max.message.bytes"),
		MaxDecompressedMessageBytes: v.int32("max.decompressed.message.bytes"),
		MinCleanableDirtyRatio:      v.float64("min.cleanable.dirty.ratio"),
		MinCompactionLagMs:          v.int64("min.compaction.lag.ms"),
		RetentionBytes:              v.int64("retention.bytes"),
		RetentionMs:                 v.int64("retention.ms"),
		SegmentBytes:                v.int32("segment.bytes"),
		SegmentIndexBytes:           v.int32("segment.index.bytes"),
		SegmentJitterMs:             v.int64("segment.jitter.ms"),
		SegmentMs:                   v.int64("segment.ms"),
		TimestampAfterMaxMs:         v.int64("message.timestamp.after.max.ms"),
		TimestampBeforeMaxMs:        v.int64("message.timestamp.before.max.ms"),
	}
	if _, ok := checked["internal.segment.bytes"]; ok {
		t.SegmentBytes = v.int32("internal.segment.bytes")
	}
	if t.MinCompactionLagMs > t.MaxCompactionLagMs {
		return Topic{}, &InvalidError{Name: "min.compaction.lag.ms", Value: strconv.FormatInt(t.MinCompactionLagMs, 10),
			Reason: fmt.Sprintf("must not be above max.compaction.lag.ms, which is %d", t.MaxCompactionLagMs)}
	}
	return t, nil
}

// checkOverrides returns the values in canonical form, or the first problem as an *InvalidError.
func checkOverrides(table []Definition, overrides Values, of string) (Values, error) {
	checked := make(Values, len(overrides))
	for _, name := range slices.Sorted(maps.Keys(overrides)) {
		value := overrides[name]
		d, ok := find(table, name)
		if !ok {
			return nil, &InvalidError{Name: name, Value: value, Reason: "no setting of a " + of + " has this name"}
		}
		if len(value) > maxValueLength {
			return nil, &InvalidError{Name: name, Value: value[:32] + "…",
				Reason: fmt.Sprintf("must not be longer than %d", maxValueLength)}
		}
		text, err := d.canonical(value)
		if err != nil {
			return nil, &InvalidError{Name: name, Value: value, Reason: err.Error()}
		}
		checked[name] = text
	}
	return checked, nil
}

// topicValues looks values up in a topic's overrides, then in the broker's settings.
type topicValues struct {
	broker    *Broker
	overrides Values // canonical
}

func (v topicValues) text(name string) string {
	if value, ok := v.overrides[name]; ok {
		return value
	}
	return v.broker.topicDefault(name)
}

func (v topicValues) bool(name string) bool { return v.text(name) == "true" }

func (v topicValues) int32(name string) int32 { return int32(v.int64(name)) }

func (v topicValues) int64(name string) int64 {
	n, err := strconv.ParseInt(v.text(name), 10, 64)
	invariant.Check(err == nil, "settings: %s is no whole number", name)
	return n
}

func (v topicValues) float64(name string) float64 {
	x, err := strconv.ParseFloat(v.text(name), 64)
	invariant.Check(err == nil, "settings: %s is no number", name)
	return x
}

// topicDefault returns the value of a topic setting that no topic overrides: that of the strongest broker
// setting behind it that has a value, in the topic setting's unit.
func (b *Broker) topicDefault(name string) string {
	behind := synonymsOfTopic(name)
	for _, s := range behind {
		value, ok := b.value(s.name)
		if !ok {
			continue
		}
		if len(behind) == 1 {
			return value
		}
		n, err := strconv.ParseInt(value, 10, 64)
		invariant.Check(err == nil, "settings: %s is no whole number", s.name)
		if n < 0 {
			return "-1" // for ever, in every unit
		}
		return strconv.FormatInt(n*s.factor, 10)
	}
	d, ok := LookupTopic(name)
	invariant.Check(ok, "settings: no topic setting is called %q", name)
	value, _ := d.Default()
	return value
}

func synonymsOfTopic(name string) []synonym {
	for i := range topicSynonyms {
		if topicSynonyms[i].topic == name {
			return topicSynonyms[i].broker
		}
	}
	return nil
}
