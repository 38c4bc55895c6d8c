package handlers

import (
	"errors"

	"once/configs"
	"once/credentials"
	"once/durability"
	"once/faults"
	"once/log"
	"once/log/batch"
	"once/meta"
	"once/partition"
	"once/quotas"
	"once/settings"
	"once/telemetry"
	"once/topics"
	"once/wire"
)

// errorRow is a domain error and its Kafka code.
type errorRow struct {
	Err  error
	Code wire.Code
}

// downgradeRow replaces the code From by To for clients that speak a version below Below of an API, because they do not
// know From.
type downgradeRow struct {
	Key, Below int16
	From, To   wire.Code
}

// errorTables is the one place that maps domain errors to Kafka codes. The first row that matches wins, so a more
// specific error comes before one that it wraps.
var errorTables = [][]errorRow{
	partitionErrors,
	topicErrors,
	configErrors,
	txnErrors,
	groupErrors,
	shareErrors,
}

var partitionErrors = []errorRow{
	{log.ErrAppendInDoubt, wire.NotEnoughReplicasAfterAppend}, // before the code that says "not stored"
	{partition.ErrFencedEpoch, wire.InvalidProducerEpoch},
	{partition.ErrOutOfOrderSequence, wire.OutOfOrderSequenceNumber},
	{partition.ErrInvalidTxnState, wire.InvalidTxnState},
	{partition.ErrCoordinatorFenced, wire.TransactionCoordinatorFenced},
	{partition.ErrOffsetOutOfRange, wire.OffsetOutOfRange},
	{partition.ErrFencedLeaderEpoch, wire.FencedLeaderEpoch},
	{partition.ErrUnknownLeaderEpoch, wire.UnknownLeaderEpoch},
	{partition.ErrOffline, wire.KafkaStorageError},
	{log.ErrFailed, wire.KafkaStorageError},
	{log.ErrNotWritten, wire.KafkaStorageError},
	{durability.ErrDiskFull, wire.KafkaStorageError},
	{durability.ErrSpaceUnknown, wire.KafkaStorageError},
	{durability.ErrFailed, wire.KafkaStorageError},
	{batch.ErrInvalidTimestamp, wire.InvalidTimestamp},
	{batch.ErrInvalidRecord, wire.InvalidRecord},
	{batch.ErrTooLarge, wire.MessageTooLarge},
	{batch.ErrRecordListTooLarge, wire.RecordListTooLarge},
	{batch.ErrUnsupportedCompression, wire.UnsupportedCompressionType},
	{batch.ErrCorrupt, wire.CorruptMessage},
}

var topicErrors = []errorRow{
	{topics.ErrExists, wire.TopicAlreadyExists},
	{topics.ErrUnknownTopic, wire.UnknownTopicOrPartition},
	{topics.ErrInvalidName, wire.InvalidTopicException},
	{topics.ErrInvalidPartitions, wire.InvalidPartitions},
	{topics.ErrTooManyPartitions, wire.PolicyViolation},
	{topics.ErrRemains, wire.KafkaStorageError},
	{meta.ErrNoSpace, wire.KafkaStorageError},
	{meta.ErrFailed, wire.KafkaStorageError}, // the broker stops, and so it does after the next one
	{meta.ErrDamaged, wire.KafkaStorageError},
}

var configErrors = []errorRow{
	{errInvalidRequest, wire.InvalidRequest},
	{errInvalidUpdate, wire.InvalidUpdateVersion},
	{settings.ErrClientMetrics, wire.InvalidRequest},
	{errThrottled, wire.ThrottlingQuotaExceeded},
	{quotas.ErrInvalid, wire.InvalidRequest},
	{quotas.ErrTooMany, wire.PolicyViolation},
	{credentials.ErrUnacceptable, wire.UnacceptableCredential},
	{credentials.ErrMechanism, wire.UnsupportedSASLMechanism},
	{credentials.ErrNotFound, wire.ResourceNotFound},
	{credentials.ErrTooMany, wire.PolicyViolation},
	{configs.ErrTooMany, wire.PolicyViolation},
	{configs.ErrBroker, wire.InvalidRequest},
	{telemetry.ErrThrottled, wire.ThrottlingQuotaExceeded},
	{telemetry.ErrTerminating, wire.InvalidRequest},
	{telemetry.ErrInstanceID, wire.InvalidRequest},
	{telemetry.ErrUnknownSubscription, wire.UnknownSubscriptionID},
	{telemetry.ErrCodec, wire.UnsupportedCompressionType},
	{telemetry.ErrTooLarge, wire.TelemetryTooLarge},
	{telemetry.ErrUnreadable, wire.InvalidRecord},
}

// codeFor returns the code for a domain error in a version of an API.
func codeFor(err error, key, version int16) wire.Code {
	if err == nil {
		return wire.NoError
	}
	code := wire.UnknownServerError
	var invalid *settings.InvalidError
	if errors.As(err, &invalid) {
		code = wire.InvalidConfig
	}
	var asked *faults.CodeError
	if errors.As(err, &asked) {
		return downgrade(asked.Code, key, version)
	}
search:
	for _, table := range errorTables {
		for _, row := range table {
			if errors.Is(err, row.Err) {
				code = row.Code
				break search
			}
		}
	}
	return downgrade(replaceCode(code, key, version, groupLogCodes, shareCodes), key, version)
}

// downgrade replaces a code that a version of an API does not know.
func downgrade(code wire.Code, key, version int16) wire.Code {
	return replaceCode(code, key, version, txnDowngrades, groupDowngrades, fetchDowngrades)
}

// replaceCode returns the replacement of a code by the first row that matches.
func replaceCode(code wire.Code, key, version int16, tables ...[]downgradeRow) wire.Code {
	for _, table := range tables {
		for _, row := range table {
			if row.Key == key && version < row.Below && row.From == code {
				return row.To
			}
		}
	}
	return code
}
