package settings

// transactionSettings are the settings of producers and transactions (spec: transactions 19). The replication
// factor and min.isr are 1 and not Kafka's 3 and 2.
// Sorted by name.
var transactionSettings = []Definition{
	{"add.partitions.to.txn.retry.backoff.max.ms", Int, "100", atLeast(0), static, Implemented,
		"Longest time that the server itself retries to add a partition to a transaction."},
	{"add.partitions.to.txn.retry.backoff.ms", Int, "20", atLeast(1), static, Implemented,
		"Pause before the server retries to add a partition to a transaction."},
	{"producer.id.expiration.check.interval.ms", Int, "600000", atLeast(1), Hidden, Implemented,
		"How often idle producers are looked for."},
	{"producer.id.expiration.ms", Int, "86400000", atLeast(1), Dynamic, Implemented,
		"How long a partition remembers an idle producer's sequences."},
	{"transaction.abort.timed.out.transaction.cleanup.interval.ms", Int, "10000", atLeast(1), static, Implemented,
		"How often transactions past their timeout are looked for."},
	{"transaction.allow.older.connections", Boolean, "false", anything, static, Implemented,
		"Whether a producer before transactions V2, of a client that is known to keep a single connection, may go on over " +
			"an older one than the one it last used, as in Kafka. Our own."},
	{"transaction.max.timeout.ms", Int, "900000", atLeast(1), static, Implemented,
		"Longest transaction timeout that a producer may ask for."},
	{"transaction.partition.verification.enable", Boolean, "true", anything, Dynamic, Implemented,
		"Whether a partition asks the coordinator before a transaction's first record."},
	{"transaction.remove.expired.transaction.cleanup.interval.ms", Int, "3600000", atLeast(1), static, Implemented,
		"How often idle transactional IDs are looked for."},
	{"transaction.state.log.load.buffer.size", Int, "5242880", atLeast(1), static, NotImplemented,
		"Bytes read at a time when transactions are loaded."},
	{"transaction.state.log.min.isr", Int, "1", atLeast(1), static, NotApplicable,
		"In-sync replicas of the transaction topic."},
	{"transaction.state.log.num.partitions", Int, "50", atLeast(1), static, Implemented,
		"Partitions of the transaction topic; fixed once it exists."},
	{"transaction.state.log.replication.factor", Short, "1", atLeast(1), static, NotApplicable,
		"Replicas of the transaction topic."},
	{"transaction.state.log.segment.bytes", Int, "104857600", atLeast(1), static, Implemented,
		"Segment size of the transaction topic, in bytes."},
	{"transaction.two.phase.commit.enable", Boolean, "false", anything, static, NotImplemented,
		"Whether producers may prepare a transaction and decide later."},
	{"transaction.version", Int, "2", between(0, 2), Hidden, Implemented,
		"Level at which the feature of that name is finalized: 2 lets producers use transactions V2. Our own."},
	{"transactional.id.expiration.ms", Int, "604800000", atLeast(1), static, Implemented,
		"How long an idle transactional ID is remembered."},
}
