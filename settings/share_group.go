package settings

import (
	"strconv"
	"strings"
	"time"
)

// OffsetReset is where a share group begins in a partition.
type OffsetReset uint8

// The places.
const (
	ResetLatest OffsetReset = iota
	ResetEarliest
	ResetByDuration
)

// ShareGroup is the settings of a share group that are in force (spec: share-groups 19).
type ShareGroup struct {
	AssignmentInterval  time.Duration
	HeartbeatInterval   time.Duration
	SessionTimeout      time.Duration
	DeliveryCountLimit  int16
	RecordLocks         int64 // share.partition.max.record.locks
	LockDuration        time.Duration
	RenewAcknowledge    bool
	ReadCommitted       bool
	OffsetReset         OffsetReset
	OffsetResetDuration time.Duration // of ResetByDuration
	DeadLetterTopic     string        // "" without a dead-letter queue
	DeadLetterCopy      bool          // dead letters have the key and the value of the record
}

// bounded are the settings of a share group between group.share.min and group.share.max.
var bounded = []string{
	"assignment.interval.ms", "delivery.count.limit", "heartbeat.interval.ms", "partition.max.record.locks",
	"record.lock.duration.ms",
	"session.timeout.ms",
}

// resolveShareBounds returns the lowest and the highest value of each bounded setting.
func (b *Broker) resolveShareBounds() map[string][2]int64 {
	bounds := make(map[string][2]int64, len(bounded))
	for _, name := range bounded {
		bounds["share."+name] = [2]int64{b.int64("group.share.min." + name), b.int64("group.share.max." + name)}
	}
	return bounds
}

// ShareGroup returns the settings of a group for which overrides are set. Overrides are taken to be valid. A value
// outside the broker's bounds, which may have changed since it was set, is moved to the bound.
func (b *Broker) ShareGroup(overrides Values) ShareGroup {
	if len(overrides) == 0 {
		return b.shareGroup
	}
	return b.resolveShareGroup(overrides)
}

func (b *Broker) resolveShareGroup(overrides Values) ShareGroup {
	number := func(name string) int64 {
		bounds := b.shareBounds[name]
		return min(max(b.groupInt64(overrides, name), bounds[0]), bounds[1])
	}
	milliseconds := func(name string) time.Duration { return time.Duration(number(name)) * time.Millisecond }
	own := func(name string) string {
		if value, set := overrides[name]; set {
			return value
		}
		for i := range perGroupSettings {
			if perGroupSettings[i].Name == name {
				value, _ := perGroupSettings[i].Default()
				return value
			}
		}
		return ""
	}
	g := ShareGroup{
		AssignmentInterval: milliseconds("share.assignment.interval.ms"),
		HeartbeatInterval:  milliseconds("share.heartbeat.interval.ms"),
		SessionTimeout:     milliseconds("share.session.timeout.ms"),
		DeliveryCountLimit: int16(number("share.delivery.count.limit")),
		RecordLocks:        number("share.partition.max.record.locks"),
		LockDuration:       milliseconds("share.record.lock.duration.ms"),
		RenewAcknowledge:   own("share.renew.acknowledge.enable") == "true",
		ReadCommitted:      own("share.isolation.level") == "read_committed",
		DeadLetterTopic:    own("errors.deadletterqueue.topic.name"),
		DeadLetterCopy:     own("errors.deadletterqueue.copy.record.enable") == "true",
	}
	switch reset := own("share.auto.offset.reset"); {
	case reset == "earliest":
		g.OffsetReset = ResetEarliest
	case strings.HasPrefix(reset, "by_duration:"):
		g.OffsetReset, g.OffsetResetDuration = ResetByDuration, parseISODuration(strings.TrimPrefix(reset, "by_duration:"))
	}
	return g
}

// parseISODuration reads a duration of days, hours, minutes and seconds, such as P1DT2H3M4.5S. One that is too long is
// the longest there is.
func parseISODuration(text string) time.Duration {
	total, number := 0.0, ""
	for _, c := range text {
		unit := map[rune]time.Duration{'D': 24 * time.Hour, 'H': time.Hour, 'M': time.Minute, 'S': time.Second}[c]
		switch {
		case unit > 0:
			n, _ := strconv.ParseFloat(number, 64)
			total, number = total+n*float64(unit), ""
		case c >= '0' && c <= '9' || c == '.':
			number += string(c)
		}
	}
	const longest = time.Duration(1<<63 - 1)
	if total >= float64(longest) {
		return longest
	}
	return time.Duration(total)
}
