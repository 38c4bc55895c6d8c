package settings

// perGroupSettings are the settings of one group, resource type GROUP (spec: groups 23). Sorted by name. The
// default of most is the broker setting "group." + name.
var perGroupSettings = []Definition{
	{"consumer.assignment.interval.ms", Int, "1000", atLeast(0), Dynamic, Implemented, "Shortest time between two assignments of the group."},
	{"consumer.heartbeat.interval.ms", Int, "5000", atLeast(1), Dynamic, Implemented, "Heartbeat interval given to the group's members."},
	{"consumer.session.timeout.ms", Int, "45000", atLeast(1), Dynamic, Implemented, "Session timeout of the group's members."},
	{"errors.deadletterqueue.copy.record.enable", Boolean, "false", anything, Dynamic, Implemented, "Whether records that the group gives up are copied with key and value."},
	{"errors.deadletterqueue.topic.name", String, "", valid{check: checkDeadLetterTopic}, Dynamic, Implemented, "Topic for records that the group gives up."},
	{"share.assignment.interval.ms", Int, "1000", atLeast(0), Dynamic, Implemented, "Shortest time between two assignments of the group."},
	{"share.auto.offset.reset", String, "latest", valid{check: checkOffsetReset}, Dynamic, Implemented, "Where a share group starts in a new partition: earliest, latest or by_duration:PnDTnHnMn.nS."},
	{"share.delivery.count.limit", Int, "5", atLeast(2), Dynamic, Implemented, "How often a record is delivered at most."},
	{"share.heartbeat.interval.ms", Int, "5000", atLeast(1), Dynamic, Implemented, "Heartbeat interval given to the group's members."},
	{"share.isolation.level", String, "read_uncommitted", valid{oneOf: []string{"read_committed", "read_uncommitted"}}, Dynamic, Implemented, "Isolation level that the share group reads with."},
	{"share.partition.max.record.locks", Int, "2000", atLeast(100), Dynamic, Implemented, "Most records of a partition that are acquired at a time."},
	{"share.record.lock.duration.ms", Int, "30000", atLeast(1000), Dynamic, Implemented, "How long a member holds an acquired record."},
	{"share.renew.acknowledge.enable", Boolean, "true", anything, Dynamic, Implemented, "Whether members may renew the lock of an acquired record."},
	{"share.session.timeout.ms", Int, "45000", atLeast(1), Dynamic, Implemented, "Session timeout of the group's members."},
	{"streams.assignment.interval.ms", Int, "1000", atLeast(0), Dynamic, Implemented, "Shortest time between two assignments of the group."},
	{"streams.assignor.name", String, "sticky", anything, Dynamic, NotImplemented, "Assignor of the group, one of group.streams.assignors."},
	{"streams.heartbeat.interval.ms", Int, "5000", atLeast(1), Dynamic, Implemented, "Heartbeat interval given to the group's members."},
	{"streams.initial.rebalance.delay.ms", Int, "0", atLeast(0), Dynamic, Implemented, "How long the empty group waits for more members."},
	{"streams.num.standby.replicas", Int, "0", atLeast(0), Dynamic, Implemented, "Standby replicas of each task."},
	{"streams.rack.aware.assignment.tags", List, "", valid{distinct: true}, Dynamic, Implemented, "Client tags over which standby tasks are spread."},
	{"streams.session.timeout.ms", Int, "45000", atLeast(1), Dynamic, Implemented, "Session timeout of the group's members."},
}
