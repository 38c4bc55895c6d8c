package settings

import "time"

// StreamsGroup are the settings of one streams group (spec: streams-groups 19).
type StreamsGroup struct {
	SessionTimeout        time.Duration
	HeartbeatInterval     time.Duration
	InitialRebalanceDelay time.Duration
	AssignmentInterval    time.Duration
	TaskOffsetInterval    time.Duration
	AcceptableRecoveryLag int64
	StandbyReplicas       int
	RackAwareTags         []string
}

// StreamsGroups are the broker's settings of all streams groups: the values of groups without settings of their own,
// and the bounds of those.
type StreamsGroups struct {
	Default  StreamsGroup
	Min, Max StreamsGroup // of the intervals and, above, of StandbyReplicas
	MaxSize  int          // members of a group
}

func (b *Broker) resolveStreamsGroups() StreamsGroups {
	bound := func(which string) StreamsGroup {
		return StreamsGroup{
			SessionTimeout:     b.milliseconds("group.streams." + which + ".session.timeout.ms"),
			HeartbeatInterval:  b.milliseconds("group.streams." + which + ".heartbeat.interval.ms"),
			AssignmentInterval: b.milliseconds("group.streams." + which + ".assignment.interval.ms"),
		}
	}
	s := StreamsGroups{Min: bound("min"), Max: bound("max"), MaxSize: b.int("group.streams.max.size")}
	s.Max.StandbyReplicas = b.int("group.streams.max.standby.replicas")
	s.Default = StreamsGroup{
		SessionTimeout:        b.milliseconds("group.streams.session.timeout.ms"),
		HeartbeatInterval:     b.milliseconds("group.streams.heartbeat.interval.ms"),
		InitialRebalanceDelay: b.milliseconds("group.streams.initial.rebalance.delay.ms"),
		AssignmentInterval:    b.milliseconds("group.streams.assignment.interval.ms"),
		TaskOffsetInterval:    b.milliseconds("group.streams.task.offset.interval.ms"),
		AcceptableRecoveryLag: b.int64("group.streams.acceptable.recovery.lag"),
		StandbyReplicas:       b.int("group.streams.num.standby.replicas"),
		RackAwareTags:         splitList(b.text("group.streams.rack.aware.assignment.tags")),
	}
	return s
}

// StreamsGroup returns the settings of a group with overrides, which are taken to be valid. A value that the broker's
// bounds do not allow any more counts as the nearest one that they do.
func (b *Broker) StreamsGroup(overrides Values) StreamsGroup {
	s := b.StreamsGroups
	if len(overrides) == 0 {
		return s.Default
	}
	within := func(name string, low, high time.Duration) time.Duration {
		d := time.Duration(b.groupInt64(overrides, "streams."+name)) * time.Millisecond
		return min(max(d, low), high)
	}
	g := StreamsGroup{
		SessionTimeout:     within("session.timeout.ms", s.Min.SessionTimeout, s.Max.SessionTimeout),
		HeartbeatInterval:  within("heartbeat.interval.ms", s.Min.HeartbeatInterval, s.Max.HeartbeatInterval),
		AssignmentInterval: within("assignment.interval.ms", s.Min.AssignmentInterval, s.Max.AssignmentInterval),
		InitialRebalanceDelay: time.Duration(b.groupInt64(overrides, "streams.initial.rebalance.delay.ms")) *
			time.Millisecond,
		StandbyReplicas:       min(int(b.groupInt64(overrides, "streams.num.standby.replicas")), s.Max.StandbyReplicas),
		TaskOffsetInterval:    s.Default.TaskOffsetInterval,
		AcceptableRecoveryLag: s.Default.AcceptableRecoveryLag,
		RackAwareTags:         s.Default.RackAwareTags,
	}
	if tags, ok := overrides["streams.rack.aware.assignment.tags"]; ok {
		g.RackAwareTags = splitList(tags)
	}
	return g
}
