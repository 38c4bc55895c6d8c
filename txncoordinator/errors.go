package txncoordinator

import "errors"

// The errors of requests. The handlers have the table of codes. The error of another package as a cause is kept as text
// only, because its code would be wrong for the client.
var (
	// ErrInvalidRequest: an empty transactional ID, or one that is too long to be stored.
	ErrInvalidRequest = errors.New("txncoordinator: invalid request")
	// ErrInvalidTransactionTimeout: not above zero, or above the broker's maximum.
	ErrInvalidTransactionTimeout = errors.New("txncoordinator: invalid transaction timeout")
	// ErrCoordinatorLoading: the transaction log is still being read, or no producer ID can be had now.
	ErrCoordinatorLoading = errors.New("txncoordinator: coordinator is loading")
	// ErrCoordinatorNotAvailable: the transaction log could not be written, or the coordinator is closed.
	ErrCoordinatorNotAvailable = errors.New("txncoordinator: coordinator is not available")
	// ErrNotCoordinator: the partition of the transaction log that the transactional ID belongs to is offline.
	ErrNotCoordinator = errors.New("txncoordinator: partition of the transactional ID is offline")
	// ErrConcurrentTransactions: another operation on the transactional ID is under way, or markers are owed.
	ErrConcurrentTransactions = errors.New("txncoordinator: another operation on the transactional ID is under way")
	// ErrFenced: the producer epoch is not the current one; a newer producer, a fence or a timeout came between.
	ErrFenced = errors.New("txncoordinator: producer is fenced")
	// ErrInvalidProducerIDMapping: the transactional ID is unknown or belongs to another producer ID.
	ErrInvalidProducerIDMapping = errors.New("txncoordinator: producer ID does not belong to the transactional ID")
	// ErrInvalidTxnState: the operation does not fit the state, such as a commit after an abort.
	ErrInvalidTxnState = errors.New("txncoordinator: operation does not fit the state of the transaction")
	// ErrPartitionNotInTransaction: verification did not find the partition in an open transaction.
	ErrPartitionNotInTransaction = errors.New("txncoordinator: partition is not in the transaction")
	// ErrTransactionalIDNotFound: the transactional ID to describe is unknown or expires now.
	ErrTransactionalIDNotFound = errors.New("txncoordinator: transactional ID not found")
	// ErrRecordTooLarge: the image does not fit a record of the transaction log, see max.message.bytes there.
	ErrRecordTooLarge = errors.New("txncoordinator: record is too large for the transaction log")
	// ErrTooManyTransactionalIDs: Config.MaxTransactionalIDs are in use.
	ErrTooManyTransactionalIDs = errors.New("txncoordinator: too many transactional IDs")
	// ErrUnknownPartition: a marker is for a partition that does not exist.
	ErrUnknownPartition = errors.New("txncoordinator: unknown partition")
	// ErrInvalidPattern: the pattern of a listing is no regular expression.
	ErrInvalidPattern = errors.New("txncoordinator: invalid pattern")
)

// errNeedProducerID asks for a new decision with a fresh producer ID.
var errNeedProducerID = errors.New("txncoordinator: a fresh producer ID is needed")

// kinds are the labels of errors in the metric; a closed set.
var kinds = []struct {
	err  error
	name string
}{
	{ErrConcurrentTransactions, "concurrent_transactions"},
	{ErrFenced, "fenced"},
	{ErrInvalidProducerIDMapping, "invalid_producer_id_mapping"},
	{ErrInvalidTxnState, "invalid_txn_state"},
	{ErrPartitionNotInTransaction, "partition_not_in_transaction"},
	{ErrCoordinatorLoading, "coordinator_loading"},
	{ErrCoordinatorNotAvailable, "coordinator_not_available"},
	{ErrNotCoordinator, "not_coordinator"},
	{ErrInvalidTransactionTimeout, "invalid_timeout"},
}

// kindOf returns the metric's label for an error; "invalid_request" if it is not listed.
func kindOf(err error) string {
	for i := range kinds {
		if errors.Is(err, kinds[i].err) {
			return kinds[i].name
		}
	}
	return "invalid_request"
}
