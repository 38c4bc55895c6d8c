package handlers

import (
	"github.com/twmb/franz-go/pkg/kmsg"

	"once/txncoordinator"
	"once/wire"
)

var txnErrors = []errorRow{
	{txncoordinator.ErrInvalidRequest, wire.InvalidRequest},
	{txncoordinator.ErrInvalidTransactionTimeout, wire.InvalidTransactionTimeout},
	{txncoordinator.ErrCoordinatorLoading, wire.CoordinatorLoadInProgress},
	{txncoordinator.ErrCoordinatorNotAvailable, wire.CoordinatorNotAvailable},
	{txncoordinator.ErrNotCoordinator, wire.NotCoordinator},
	{txncoordinator.ErrConcurrentTransactions, wire.ConcurrentTransactions},
	{txncoordinator.ErrFenced, wire.ProducerFenced},
	{txncoordinator.ErrInvalidProducerIDMapping, wire.InvalidProducerIDMapping},
	{txncoordinator.ErrInvalidTxnState, wire.InvalidTxnState},
	{txncoordinator.ErrPartitionNotInTransaction, wire.TransactionAbortable},
	{txncoordinator.ErrTransactionalIDNotFound, wire.TransactionalIDNotFound},
	{txncoordinator.ErrRecordTooLarge, wire.UnknownServerError},
	{txncoordinator.ErrTooManyTransactionalIDs, wire.PolicyViolation},
	{txncoordinator.ErrUnknownPartition, wire.UnknownTopicOrPartition},
	{txncoordinator.ErrInvalidPattern, wire.InvalidRegularExpression},
}

// txnDowngrades includes TxnOffsetCommit, for the coordinator's errors while it verifies or adds (spec: transactions
// 9.1). Produce has rules of its own.
var txnDowngrades = []downgradeRow{
	{int16(kmsg.InitProducerID), 4, wire.ProducerFenced, wire.InvalidProducerEpoch},
	{int16(kmsg.AddPartitionsToTxn), 2, wire.ProducerFenced, wire.InvalidProducerEpoch},
	{int16(kmsg.AddOffsetsToTxn), 2, wire.ProducerFenced, wire.InvalidProducerEpoch},
	{int16(kmsg.EndTxn), 2, wire.ProducerFenced, wire.InvalidProducerEpoch},
	{int16(kmsg.TxnOffsetCommit), allVersions, wire.ProducerFenced, wire.InvalidProducerEpoch},
	{int16(kmsg.TxnOffsetCommit), 4, wire.TransactionAbortable, wire.InvalidTxnState},
}

// allVersions as downgradeRow.Below replaces a code in every version.
const allVersions = 1<<15 - 1

// Transaction versions that requests imply (spec: transactions 1): the version of a request says which rules its client
// follows, whatever the feature's finalized level.
const (
	transactionV0 int16 = 0
	transactionV2 int16 = 2
)
