package settings

import (
	"math"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"once/internal/invariant"
)

// The layers of a Broker, strongest first (spec: admin 5).
const (
	dynamicBroker = iota
	dynamicDefault
	staticLayer
	layerCount
)

// Broker is the settings of the broker that are in force: those set at its start and since then, over the defaults. It
// is immutable: WithDynamic makes another one. The fields are the settings that this broker implements, under Kafka's
// names; those that are only the defaults of topics are in Topic. Sizes are in bytes. Durations above Go's longest
// become that one.
type Broker struct {
	// Identity and place.
	NodeID              int32      // node.id and broker.id
	DataDir             string     // log.dirs, else log.dir
	Listeners           []Listener // for clients; without listeners, those of advertised.listeners on every address
	ControllerListeners []Listener // those of listeners that are the controller's: they are not opened
	InterBrokerListener string     // the name of the one that other brokers would use; there may be no such listener
	PublishedPort       int        // published.port, 0 for none
	Lab                 bool
	ClustersMax         int
	ClustersFirstPort   int // of clusters.ports, 0 for any
	ClustersLastPort    int // the same
	LabArchiveMaxBytes  int64
	LabHosts            []string
	LabRequestsBytes    int // lab.requests
	LabToken            Secret

	// Connections and requests.
	ConnectionsMaxIdle                   time.Duration
	FetchMaxBytes                        int
	ListenerLimits                       map[string]ListenerLimits // by the name of a listener
	MaxConnections                       int
	MaxConnectionsPerIP                  int
	MaxConnectionsPerIPOverrides         map[netip.Addr]int // nil for none
	MaxConnectionCreationRate            int                // math.MaxInt32 for any
	MaxDecompressedBatchBytes            int
	MaxIncrementalFetchSessionCacheSlots int
	MaxRequestPartitionSizeLimit         int
	ControllerQuotaWindowNum             int
	ControllerQuotaWindowSize            time.Duration
	QuotaWindowNum                       int
	QuotaWindowSize                      time.Duration
	RequestTimeout                       time.Duration
	SocketReceiveBufferBytes             int // 0 unless it is set, -1 for the system's
	SocketRequestMaxBytes                int
	SocketSendBufferBytes                int // -1 for the system's
	TelemetryMaxBytes                    int

	// Topics and logs.
	AutoCreateTopicsEnable      bool
	DefaultReplicationFactor    int
	DeleteTopicEnable           bool
	DevAutoCreateDelay          time.Duration
	DevStrictReplication        bool
	DiskReserveBytes            int64
	Durability                  string // page, txn or fsync
	FlushInterval               time.Duration
	LogCleanerBackoff           time.Duration
	LogCleanerDedupeBufferBytes int64
	LogCleanerEnable            bool
	LogRetentionCheckInterval   time.Duration
	NumPartitions               int32

	// Groups.
	DevGroupRebalanceHeartbeatInterval time.Duration // 0: none
	GroupConsumer                      ConsumerGroup // of groups without settings of their own
	GroupConsumerAssignors             []string
	GroupConsumerMaxSize               int
	GroupConsumerMigrationPolicy       string // in lower case
	GroupConsumerRegexRefreshInterval  time.Duration
	GroupProtocols                     []string // group.coordinator.rebalance.protocols
	GroupVersion                       int16

	GroupInitialRebalanceDelay    time.Duration
	GroupMaxSessionTimeout        time.Duration
	GroupMaxSize                  int
	GroupMinSessionTimeout        time.Duration
	OffsetMetadataMaxBytes        int
	OffsetsRetention              time.Duration
	OffsetsRetentionCheckInterval time.Duration
	OffsetsTopicNumPartitions     int32
	OffsetsTopicSegmentBytes      int32
	StreamsGroups                 StreamsGroups // group.streams.*

	// Share groups.
	DeadLetterAutoCreateTopics            bool   // errors.deadletterqueue.auto.create.topics.enable
	DeadLetterTopicPrefix                 string // errors.deadletterqueue.topic.name.prefix
	GroupShareMaxShareSessions            int
	GroupShareMaxSize                     int
	ShareCoordinatorColdSnapshotInterval  time.Duration // share.coordinator.cold.partition.snapshot.interval.ms
	ShareCoordinatorPruneInterval         time.Duration // share.coordinator.state.topic.prune.interval.ms
	ShareCoordinatorSnapshotUpdateRecords int           // share.coordinator.snapshot.update.records.per.snapshot
	ShareCoordinatorStateTopicPartitions  int32
	ShareCoordinatorStateTopicSegment     int32 // share.coordinator.state.topic.segment.bytes

	// Producers and transactions.
	AddPartitionsToTxnRetryBackoff         time.Duration
	AddPartitionsToTxnRetryBackoffMax      time.Duration
	ProducerIDExpiration                   time.Duration
	ProducerIDExpirationCheckInterval      time.Duration
	TransactionAbortTimedOutInterval       time.Duration // transaction.abort.timed.out.transaction.cleanup.interval.ms
	TransactionAllowOlderConnections       bool
	TransactionMaxTimeout                  time.Duration
	TransactionPartitionVerificationEnable bool
	TransactionRemoveExpiredInterval       time.Duration // transaction.remove.expired.transaction.cleanup.interval.ms
	TransactionStateLogNumPartitions       int32
	TransactionStateLogSegmentBytes        int32
	TransactionVersion                     int16
	TransactionalIDExpiration              time.Duration

	advertisedListeners []Listener          // see AdvertisedListener
	layers              [layerCount]Values  // canonical; values of unknown names unchanged
	topic               Topic               // of a topic without settings of its own
	shareBounds         map[string][2]int64 // see resolveShareBounds
	shareGroup          ShareGroup          // of a share group without settings of its own
}

// resolve fills in the fields from the layers. It is called whenever the layers have changed.
func (b *Broker) resolve() {
	*b = Broker{layers: b.layers, topic: b.topic}
	b.resolvePlace()
	b.resolveConnections()
	b.resolveLogs()
	b.resolveGroups()
	b.resolveShareGroups()
	b.resolveTransactions()
}

func (b *Broker) resolvePlace() {
	b.NodeID = b.int32("node.id")
	b.DataDir = b.text("log.dir")
	if dir := b.text("log.dirs"); dir != "" {
		b.DataDir = dir
	}
	b.Listeners, b.ControllerListeners = b.splitListeners("listeners")
	if b.isExplicit(advertisedListeners) {
		b.advertisedListeners, _ = b.splitListeners(advertisedListeners)
	}
	b.InterBrokerListener = b.interBrokerListener()
	b.PublishedPort = b.int("published.port")
	b.Lab = b.bool("lab")
	b.ClustersMax = b.int("clusters.max")
	b.ClustersFirstPort, b.ClustersLastPort, _ = portRange(b.text("clusters.ports"))
	b.LabArchiveMaxBytes = b.int64("lab.archive.max.bytes")
	b.LabHosts = splitList(b.text("lab.hosts"))
	b.LabRequestsBytes = b.int("lab.requests")
	b.LabToken = Secret(b.text("lab.token"))
}

func (b *Broker) resolveConnections() {
	b.ConnectionsMaxIdle = b.milliseconds("connections.max.idle.ms")
	b.FetchMaxBytes = b.int("fetch.max.bytes")
	b.ListenerLimits = b.listenerLimits()
	b.MaxConnections = b.int("max.connections")
	b.MaxConnectionsPerIP = b.int("max.connections.per.ip")
	b.MaxConnectionsPerIPOverrides = b.ipOverrides()
	b.MaxConnectionCreationRate = b.int("max.connection.creation.rate")
	b.MaxDecompressedBatchBytes = b.int("max.decompressed.batch.bytes")
	b.MaxIncrementalFetchSessionCacheSlots = b.int("max.incremental.fetch.session.cache.slots")
	b.MaxRequestPartitionSizeLimit = b.int("max.request.partition.size.limit")
	b.ControllerQuotaWindowNum = b.int("controller.quota.window.num")
	b.ControllerQuotaWindowSize = b.duration("controller.quota.window.size.seconds", time.Second)
	b.QuotaWindowNum = b.int("quota.window.num")
	b.QuotaWindowSize = b.duration("quota.window.size.seconds", time.Second)
	b.RequestTimeout = b.milliseconds("request.timeout.ms")
	b.SocketReceiveBufferBytes = b.setInt("socket.receive.buffer.bytes")
	b.SocketRequestMaxBytes = b.int("socket.request.max.bytes")
	b.SocketSendBufferBytes = b.int("socket.send.buffer.bytes")
	b.TelemetryMaxBytes = b.int("telemetry.max.bytes")
}

func (b *Broker) resolveLogs() {
	b.AutoCreateTopicsEnable = b.bool("auto.create.topics.enable")
	b.DefaultReplicationFactor = b.int("default.replication.factor")
	b.DeleteTopicEnable = b.bool("delete.topic.enable")
	b.DevAutoCreateDelay = b.milliseconds("dev.auto.create.delay.ms")
	b.DevStrictReplication = b.bool("dev.strict.replication")
	b.DiskReserveBytes = b.int64("disk.reserve.bytes")
	b.Durability = b.text("durability")
	b.FlushInterval = b.milliseconds("flush.interval.ms")
	b.LogCleanerBackoff = b.milliseconds("log.cleaner.backoff.ms")
	b.LogCleanerDedupeBufferBytes = b.int64("log.cleaner.dedupe.buffer.size")
	b.LogCleanerEnable = b.bool("log.cleaner.enable")
	b.LogRetentionCheckInterval = b.milliseconds("log.retention.check.interval.ms")
	b.NumPartitions = b.int32("num.partitions")
}

func (b *Broker) resolveGroups() {
	b.DevGroupRebalanceHeartbeatInterval = b.milliseconds("dev.group.rebalance.heartbeat.interval.ms")
	b.GroupConsumer = b.ConsumerGroup(nil)
	b.GroupConsumerAssignors = splitList(b.text("group.consumer.assignors"))
	b.GroupConsumerMaxSize = b.int("group.consumer.max.size")
	b.GroupConsumerMigrationPolicy = strings.ToLower(b.text("group.consumer.migration.policy"))
	b.GroupConsumerRegexRefreshInterval = b.milliseconds("group.consumer.regex.refresh.interval.ms")
	b.GroupProtocols = splitList(b.text("group.coordinator.rebalance.protocols"))
	b.GroupVersion = int16(b.int64("group.version"))

	b.GroupInitialRebalanceDelay = b.milliseconds("group.initial.rebalance.delay.ms")
	b.GroupMaxSessionTimeout = b.milliseconds("group.max.session.timeout.ms")
	b.GroupMaxSize = b.int("group.max.size")
	b.GroupMinSessionTimeout = b.milliseconds("group.min.session.timeout.ms")
	b.OffsetMetadataMaxBytes = b.int("offset.metadata.max.bytes")
	b.OffsetsRetention = b.minutes("offsets.retention.minutes")
	b.OffsetsRetentionCheckInterval = b.milliseconds("offsets.retention.check.interval.ms")
	b.OffsetsTopicNumPartitions = b.int32("offsets.topic.num.partitions")
	b.OffsetsTopicSegmentBytes = b.int32("offsets.topic.segment.bytes")
	b.StreamsGroups = b.resolveStreamsGroups()
}

func (b *Broker) resolveShareGroups() {
	b.DeadLetterAutoCreateTopics = b.bool("errors.deadletterqueue.auto.create.topics.enable")
	b.DeadLetterTopicPrefix = b.text("errors.deadletterqueue.topic.name.prefix")
	b.GroupShareMaxShareSessions = b.int("group.share.max.share.sessions")
	b.GroupShareMaxSize = b.int("group.share.max.size")
	b.ShareCoordinatorColdSnapshotInterval = b.milliseconds("share.coordinator.cold.partition.snapshot.interval.ms")
	b.ShareCoordinatorPruneInterval = b.milliseconds("share.coordinator.state.topic.prune.interval.ms")
	b.ShareCoordinatorSnapshotUpdateRecords = b.int("share.coordinator.snapshot.update.records.per.snapshot")
	b.ShareCoordinatorStateTopicPartitions = b.int32("share.coordinator.state.topic.num.partitions")
	b.ShareCoordinatorStateTopicSegment = b.int32("share.coordinator.state.topic.segment.bytes")
	b.shareBounds = b.resolveShareBounds()
	b.shareGroup = b.resolveShareGroup(nil)
}

func (b *Broker) resolveTransactions() {
	b.AddPartitionsToTxnRetryBackoff = b.milliseconds("add.partitions.to.txn.retry.backoff.ms")
	b.AddPartitionsToTxnRetryBackoffMax = b.milliseconds("add.partitions.to.txn.retry.backoff.max.ms")
	b.ProducerIDExpiration = b.milliseconds("producer.id.expiration.ms")
	b.ProducerIDExpirationCheckInterval = b.milliseconds("producer.id.expiration.check.interval.ms")
	b.TransactionAbortTimedOutInterval = b.milliseconds("transaction.abort.timed.out.transaction.cleanup.interval.ms")
	b.TransactionAllowOlderConnections = b.bool("transaction.allow.older.connections")
	b.TransactionMaxTimeout = b.milliseconds("transaction.max.timeout.ms")
	b.TransactionPartitionVerificationEnable = b.bool("transaction.partition.verification.enable")
	b.TransactionRemoveExpiredInterval = b.milliseconds("transaction.remove.expired.transaction.cleanup.interval.ms")
	b.TransactionStateLogNumPartitions = b.int32("transaction.state.log.num.partitions")
	b.TransactionStateLogSegmentBytes = b.int32("transaction.state.log.segment.bytes")
	b.TransactionVersion = int16(b.int64("transaction.version"))
	b.TransactionalIDExpiration = b.milliseconds("transactional.id.expiration.ms")
}

// isExplicit says whether the setting has a value other than by default.
func (b *Broker) isExplicit(name string) bool {
	_, ok := b.explicit(name)
	return ok
}

func (b *Broker) explicit(name string) (string, bool) {
	for _, layer := range b.layers {
		if value, ok := layer[name]; ok {
			return value, true
		}
	}
	return "", false
}

// value returns the value in force; ok is false where the setting has none, as log.retention.ms by default. Here and
// below, a name that the tables do not have is a bug.
func (b *Broker) value(name string) (value string, ok bool) {
	d, known := Lookup(name)
	invariant.Check(known, "settings: no setting is called %q", name)
	if value, ok := b.explicit(name); ok {
		return value, true
	}
	return b.defaultOf(d)
}

// text returns the value in force, "" where there is none.
func (b *Broker) text(name string) string {
	value, _ := b.value(name)
	return value
}

func (b *Broker) bool(name string) bool { return b.text(name) == "true" }

// int64 returns the value of a Short, Int or Long, 0 where there is none.
func (b *Broker) int64(name string) int64 {
	value, ok := b.value(name)
	if !ok {
		return 0
	}
	n, err := strconv.ParseInt(value, 10, 64)
	invariant.Check(err == nil, "settings: %s is no whole number", name)
	return n
}

func (b *Broker) int32(name string) int32 { return int32(b.int64(name)) }

func (b *Broker) int(name string) int { return int(b.int64(name)) }

// setInt is int for what is set; 0 where only the default holds.
func (b *Broker) setInt(name string) int {
	if !b.isExplicit(name) {
		return 0
	}
	return b.int(name)
}

func (b *Broker) milliseconds(name string) time.Duration { return b.duration(name, time.Millisecond) }

func (b *Broker) minutes(name string) time.Duration { return b.duration(name, time.Minute) }

func (b *Broker) duration(name string, unit time.Duration) time.Duration {
	n := b.int64(name)
	if n > math.MaxInt64/int64(unit) {
		return math.MaxInt64
	}
	return time.Duration(n) * unit
}
