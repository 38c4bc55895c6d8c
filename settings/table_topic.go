package settings

// topicSettings are the settings of one topic (spec: admin 6). Sorted by name. The default of a setting with
// a synonym is the broker's value; the one here is Kafka's, where lists are appended to from.
var topicSettings = []Definition{
	{"cleanup.policy", List, "delete", policies, Dynamic, Implemented, "What happens to old segments: delete, compact or both; empty keeps everything."},
	{"compression.gzip.level", Int, "-1", gzipLevel, Dynamic, Implemented, "Level for gzip where the broker compresses itself."},
	{"compression.lz4.level", Int, "9", between(1, 17), Dynamic, Implemented, "Level for lz4 where the broker compresses itself."},
	{"compression.type", String, "producer", codecs, Dynamic, Implemented, "Codec that batches are stored with; producer keeps what the producer chose."},
	{"compression.zstd.level", Int, "3", between(-131072, 22), Dynamic, Implemented, "Level for zstd where the broker compresses itself."},
	{"delete.retention.ms", Long, "86400000", atLeast(0), Dynamic, Implemented, "How long a compacted topic keeps tombstones and markers."},
	{"errors.deadletterqueue.group.enable", Boolean, "false", anything, Dynamic, Implemented, "Whether share groups may write records that they give up into the topic."},
	{"file.delete.delay.ms", Long, "60000", atLeast(0), Dynamic, NotImplemented, "How long the files of a deleted topic linger; here they go at once."},
	{"flush.messages", Long, "9223372036854775807", atLeast(1), Dynamic, Implemented, "Records after which the log is synced to disk."},
	{"flush.ms", Long, "9223372036854775807", atLeast(0), Dynamic, Implemented, "Longest time that a record stays unsynced."},
	{"follower.replication.throttled.replicas", List, "", throttled, Dynamic, NotImplemented, "Replicas whose copying is throttled at the follower."},
	{"index.interval.bytes", Int, "4096", atLeast(0), Dynamic, Implemented, "Bytes of records between two entries of the offset index."},
	{"internal.segment.bytes", Int, null, anything, Dynamic | Hidden, Implemented, "Segment size without a lower limit, for tests."},
	{"leader.replication.throttled.replicas", List, "", throttled, Dynamic, NotImplemented, "Replicas whose copying is throttled at the leader."},
	{"local.retention.bytes", Long, "-2", atLeast(-2), Dynamic, NotImplemented, "Bytes kept locally of a tiered log; -2 means retention.bytes."},
	{"local.retention.ms", Long, "-2", atLeast(-2), Dynamic, NotImplemented, "Time that segments of a tiered log are kept locally; -2 means retention.ms."},
	{"max.compaction.lag.ms", Long, "9223372036854775807", atLeast(1), Dynamic, Implemented, "Longest time that a record may stay uncompacted."},
	{"max.decompressed.message.bytes", Int, "2147483639", between(1, 2147483639), Dynamic, Implemented, "Largest record of a compressed batch, in bytes, after decompression."},
	{"max.message.bytes", Int, "1048588", atLeast(0), Dynamic, Implemented, "Largest record batch, in bytes, after compression."},
	{"message.timestamp.after.max.ms", Long, "3600000", atLeast(0), Dynamic, Implemented, "How far a record's timestamp may lie ahead of the clock."},
	{"message.timestamp.before.max.ms", Long, "9223372036854775807", atLeast(0), Dynamic, Implemented, "How far a record's timestamp may lie behind the clock."},
	{"message.timestamp.type", String, "CreateTime", timeTypes, Dynamic, Implemented, "Whether records keep the time they were created at or get the time of the append."},
	{"min.cleanable.dirty.ratio", Double, "0.5", between(0, 1), Dynamic, Implemented, "Share of uncleaned bytes from which the log is cleaned."},
	{"min.compaction.lag.ms", Long, "0", atLeast(0), Dynamic, Implemented, "Shortest time that a record stays uncompacted."},
	{"min.insync.replicas", Int, "1", atLeast(1), Dynamic, NotImplemented, "Replicas that must have a record before acks=all is answered. One node has one."},
	{"preallocate", Boolean, "false", anything, Dynamic, NotImplemented, "Whether a new segment's file is allocated whole."},
	{"remote.copy.lag.bytes", Long, "-1", atLeast(-1), Dynamic, NotImplemented, "Bytes that a tiered log keeps before a segment is copied."},
	{"remote.copy.lag.ms", Long, "0", atLeast(-1), Dynamic, NotImplemented, "Time that a segment of a tiered log waits before it is copied."},
	{"remote.log.copy.disable", Boolean, "false", anything, Dynamic, NotImplemented, "Whether copying to tiered storage is off."},
	{"remote.log.delete.on.disable", Boolean, "false", anything, Dynamic, NotImplemented, "Whether tiered data goes when tiering is switched off."},
	{"remote.storage.enable", Boolean, "false", anything, Dynamic, NotImplemented, "Whether the topic is tiered. Tiered storage is off here."},
	{"retention.bytes", Long, "-1", anything, Dynamic, Implemented, "Bytes that a partition keeps before old segments go; -1 for all."},
	{"retention.ms", Long, "604800000", atLeast(-1), Dynamic, Implemented, "Milliseconds that a segment is kept; -1 for ever."},
	{"segment.bytes", Int, "1073741824", atLeast(1048576), Dynamic, Implemented, "Size of a segment, in bytes."},
	{"segment.index.bytes", Int, "10485760", atLeast(4), Dynamic, Implemented, "Highest size of an offset index, in bytes."},
	{"segment.jitter.ms", Long, "0", atLeast(0), Dynamic, NotImplemented, "Time by which closing a segment may be hastened at random."},
	{"segment.ms", Long, "604800000", atLeast(1), Dynamic, Implemented, "Time after which a segment is closed though it is not full."},
	{"unclean.leader.election.enable", Boolean, "false", anything, Dynamic, NotImplemented, "Whether an out-of-sync replica may lead."},
}

// synonym is a broker setting that gives a topic setting its default, times a factor for another unit.
type synonym struct {
	name   string
	factor int64
}

const (
	minuteMs = 60_000
	hourMs   = 3_600_000
)

// topicSynonyms are the broker settings behind topic settings, strongest first. Sorted by topic setting.
// The same row read the other way says which broker settings mean the same at another unit.
var topicSynonyms = []struct {
	topic  string
	broker []synonym
}{
	{"cleanup.policy", []synonym{{"log.cleanup.policy", 1}}},
	{"compression.gzip.level", []synonym{{"compression.gzip.level", 1}}},
	{"compression.lz4.level", []synonym{{"compression.lz4.level", 1}}},
	{"compression.type", []synonym{{"compression.type", 1}}},
	{"compression.zstd.level", []synonym{{"compression.zstd.level", 1}}},
	{"delete.retention.ms", []synonym{{"log.cleaner.delete.retention.ms", 1}}},
	{"file.delete.delay.ms", []synonym{{"log.segment.delete.delay.ms", 1}}},
	{"flush.messages", []synonym{{"log.flush.interval.messages", 1}}},
	{"flush.ms", []synonym{{"log.flush.interval.ms", 1}, {"log.flush.scheduler.interval.ms", 1}}},
	{"index.interval.bytes", []synonym{{"log.index.interval.bytes", 1}}},
	{"local.retention.bytes", []synonym{{"log.local.retention.bytes", 1}}},
	{"local.retention.ms", []synonym{{"log.local.retention.ms", 1}}},
	{"max.compaction.lag.ms", []synonym{{"log.cleaner.max.compaction.lag.ms", 1}}},
	{"max.decompressed.message.bytes", []synonym{{"max.decompressed.message.bytes", 1}}},
	{"max.message.bytes", []synonym{{"message.max.bytes", 1}}},
	{"message.timestamp.after.max.ms", []synonym{{"log.message.timestamp.after.max.ms", 1}}},
	{"message.timestamp.before.max.ms", []synonym{{"log.message.timestamp.before.max.ms", 1}}},
	{"message.timestamp.type", []synonym{{"log.message.timestamp.type", 1}}},
	{"min.cleanable.dirty.ratio", []synonym{{"log.cleaner.min.cleanable.ratio", 1}}},
	{"min.compaction.lag.ms", []synonym{{"log.cleaner.min.compaction.lag.ms", 1}}},
	{"min.insync.replicas", []synonym{{"min.insync.replicas", 1}}},
	{"preallocate", []synonym{{"log.preallocate", 1}}},
	{"remote.copy.lag.bytes", []synonym{{"log.remote.copy.lag.bytes", 1}}},
	{"remote.copy.lag.ms", []synonym{{"log.remote.copy.lag.ms", 1}}},
	{"retention.bytes", []synonym{{"log.retention.bytes", 1}}},
	{"retention.ms", []synonym{{"log.retention.ms", 1}, {"log.retention.minutes", minuteMs}, {"log.retention.hours", hourMs}}},
	{"segment.bytes", []synonym{{"log.segment.bytes", 1}}},
	{"segment.index.bytes", []synonym{{"log.index.size.max.bytes", 1}}},
	{"segment.jitter.ms", []synonym{{"log.roll.jitter.ms", 1}, {"log.roll.jitter.hours", hourMs}}},
	{"segment.ms", []synonym{{"log.roll.ms", 1}, {"log.roll.hours", hourMs}}},
	{"unclean.leader.election.enable", []synonym{{"unclean.leader.election.enable", 1}}},
}
