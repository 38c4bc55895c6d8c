package settings

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"once/internal/invariant"
)

// CheckGroup says whether these may be all the settings of a group. The error is an *InvalidError: a value must be
// allowed by itself, lie between the broker's minimum and maximum, and leave the session timeout above the heartbeat
// interval (spec: groups 23).
func (b *Broker) CheckGroup(overrides Values) error {
	checked, err := checkOverrides(perGroupSettings, overrides, "group")
	if err != nil {
		return err
	}
	for _, r := range groupBounds {
		name := strings.TrimPrefix(r.name, "group.")
		value, set := checked[name]
		if !set || r.name == "" {
			continue
		}
		n, _ := strconv.ParseInt(value, 10, 64)
		if r.low != "" && n < b.int64(r.low) {
			return &InvalidError{Name: name, Value: value,
				Reason: fmt.Sprintf("must not be below %s, which is %d", r.low, b.int64(r.low))}
		}
		if n > b.int64(r.up) {
			return &InvalidError{Name: name, Value: value,
				Reason: fmt.Sprintf("must not be above %s, which is %d", r.up, b.int64(r.up))}
		}
	}
	if name, set := checked["streams.assignor.name"]; set {
		if known := splitList(b.text("group.streams.assignors")); !slices.Contains(known, name) {
			return &InvalidError{Name: "streams.assignor.name", Value: name,
				Reason: "must be one of " + strings.Join(known, ", ")}
		}
	}
	for _, kind := range []string{"consumer", "share", "streams"} {
		session, heartbeat := kind+".session.timeout.ms", kind+".heartbeat.interval.ms"
		if s, h := b.groupInt64(checked, session), b.groupInt64(checked, heartbeat); s <= h {
			return &InvalidError{Name: session, Value: strconv.FormatInt(s, 10),
				Reason: fmt.Sprintf("must be above %s, which is %d", heartbeat, h)}
		}
	}
	return nil
}

func (b *Broker) groupInt64(overrides Values, name string) int64 {
	value, ok := overrides[name]
	if !ok {
		return b.int64("group." + name)
	}
	n, err := strconv.ParseInt(value, 10, 64)
	invariant.Check(err == nil, "settings: %s is no whole number", name)
	return n
}

// ConsumerGroup is the settings of one consumer group.
type ConsumerGroup struct {
	SessionTimeout     time.Duration
	HeartbeatInterval  time.Duration
	AssignmentInterval time.Duration
}

// ConsumerGroup returns the settings of a consumer group for which overrides are set.
func (b *Broker) ConsumerGroup(overrides Values) ConsumerGroup {
	milliseconds := func(name string) time.Duration {
		return time.Duration(b.groupInt64(overrides, name)) * time.Millisecond
	}
	return ConsumerGroup{
		SessionTimeout:     milliseconds("consumer.session.timeout.ms"),
		HeartbeatInterval:  milliseconds("consumer.heartbeat.interval.ms"),
		AssignmentInterval: milliseconds("consumer.assignment.interval.ms"),
	}
}

// groupDefaults are the settings of groups whose default is no setting of the broker.
var groupDefaults = []string{
	"errors.deadletterqueue.copy.record.enable", "errors.deadletterqueue.topic.name", "share.auto.offset.reset",
	"share.isolation.level", "share.renew.acknowledge.enable",
}

// synonymOfGroup returns the broker setting that is the default of a group's setting.
func synonymOfGroup(name string) string {
	if name == "streams.assignor.name" {
		return "group.streams.assignors" // of which the first is meant
	}
	return "group." + name
}

// DescribeGroup returns every setting of a group for which overrides are set, sorted by name. Overrides are
// taken to be valid.
func (b *Broker) DescribeGroup(overrides Values) []Entry {
	entries := make([]Entry, 0, len(perGroupSettings))
	for i := range perGroupSettings {
		d := &perGroupSettings[i]
		e := Entry{Name: d.Name, Kind: d.Kind, Documentation: d.Documentation}
		if override, set := overrides[d.Name]; set {
			e.Synonyms = append(e.Synonyms, Synonym{Name: d.Name, Value: mustCanonical(d, override), Source: SourceGroup})
		}
		if slices.Contains(groupDefaults, d.Name) {
			value, _ := d.Default()
			e.Synonyms = append(e.Synonyms, Synonym{Name: d.Name, Value: value, Source: SourceDefault})
		} else {
			e.Synonyms = append(e.Synonyms, b.synonyms(synonymOfGroup(d.Name))...)
		}
		e.Value, e.Source = e.Synonyms[0].Value, e.Synonyms[0].Source
		entries = append(entries, e)
	}
	return entries
}
