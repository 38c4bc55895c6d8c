package durability

// Answer is a kind of answer. The table below is the only place that says which answers wait in which mode.
type Answer uint8

// The kinds of answers.
const (
	// Produced: Produce says that records are stored, by this request or by an earlier one that it repeats.
	Produced Answer = iota
	// Flushed: an append that reaches the topic's flush.messages.
	Flushed
	// RecordsShown: Fetch and ListOffsets. They never wait themselves: the high watermark does.
	RecordsShown
	// RecordsDeleted: DeleteRecords gives the new log start offset.
	RecordsDeleted
	// GroupChanged: OffsetCommit, TxnOffsetCommit, and every other answer that depends on a record of a group.
	GroupChanged
	// OffsetsShown: OffsetFetch gives committed offsets.
	OffsetsShown
	// EpochGiven: InitProducerId gives a producer epoch.
	EpochGiven
	// TransactionChanged: AddPartitionsToTxn, and records that the coordinator writes without an answer.
	TransactionChanged
	// TransactionDecided: the markers that follow a Prepare record. There is no answer yet.
	TransactionDecided
	// TransactionEnded: EndTxn says that a transaction has been committed or aborted.
	TransactionEnded
	// MarkersWritten: WriteTxnMarkers. The transaction coordinator waits for none of its own markers: the record
	// before them decides, and EndTxn waits.
	MarkersWritten
	answers
)

// policy says by mode which answers wait for a barrier that covers everything appended before (spec: reliability
// 2.1). Changes of metadata are in none of the logs: meta syncs each one before it returns, in every mode (P4).
var policy = [answers]struct{ page, txn, fsync bool }{
	Produced:     {fsync: true},
	Flushed:      {page: true, txn: true, fsync: true},
	RecordsShown: {fsync: true}, // P5
	// The log start offset must not go back after a client was told.
	RecordsDeleted: {page: true, txn: true, fsync: true},
	GroupChanged:   {txn: true, fsync: true},
	OffsetsShown:   {fsync: true},                        // P5
	EpochGiven:     {page: true, txn: true, fsync: true}, // P4
	// Appends that rely on such a record come later in the logs, and never outlive it.
	TransactionChanged: {},
	// In txn readers do not wait, so the decision does: a commit that somebody has read stays. In fsync readers wait,
	// and only EndTxn has to (docs/decisions/0004).
	TransactionDecided: {txn: true},
	TransactionEnded:   {fsync: true},
	MarkersWritten:     {fsync: true},
}

// waits says whether an answer waits for a barrier in this mode.
func (m Mode) waits(a Answer) bool {
	switch row := &policy[a]; m {
	case Page:
		return row.page
	case Txn:
		return row.txn
	default:
		return row.fsync
	}
}
