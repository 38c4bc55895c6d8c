package durability

// Answer is a kind of answer, by what a client takes from it. What it waits for is decided here and nowhere else.
type Answer uint8

// The kinds of answers.
const (
	// Produced: Produce says that records are stored, now or by an earlier request that they repeat.
	Produced Answer = iota
	// Flushed: an append with which the topic's flush.messages is reached.
	Flushed
	// RecordsShown: Fetch and ListOffsets, that is the high watermark. They never wait themselves: the high watermark
	// does.
	RecordsShown
	// RecordsDeleted: DeleteRecords gives the new log start offset.
	RecordsDeleted
	// GroupChanged: OffsetCommit, TxnOffsetCommit, and every other answer that rests on a record of a group.
	GroupChanged
	// OffsetsShown: OffsetFetch gives committed offsets.
	OffsetsShown
	// EpochGiven: InitProducerId gives a producer epoch.
	EpochGiven
	// TransactionChanged: AddPartitionsToTxn, and what the coordinator writes without telling anybody.
	TransactionChanged
	// TransactionDecided: the markers that follow a Prepare record. Nobody is answered yet.
	TransactionDecided
	// TransactionEnded: EndTxn says that a transaction has been committed or aborted.
	TransactionEnded
	// MarkersWritten: WriteTxnMarkers says so. Of the markers that it writes itself the transaction coordinator waits
	// for none: what decides is the record before them, and EndTxn waits.
	MarkersWritten
	answers
)

// policy is what waits for a barrier that covers everything appended before the answer, by mode (spec: reliability
// 2.1). Changes of metadata stand in none of the logs: meta syncs each one before it returns, in every mode (P4).
var policy = [answers]struct{ page, txn, fsync bool }{
	Produced:     {fsync: true},
	Flushed:      {page: true, txn: true, fsync: true},
	RecordsShown: {fsync: true}, // P5
	// The log start offset must not go back after a client was told.
	RecordsDeleted: {page: true, txn: true, fsync: true},
	GroupChanged:   {txn: true, fsync: true},
	OffsetsShown:   {fsync: true},                        // P5
	EpochGiven:     {page: true, txn: true, fsync: true}, // P4
	// What relies on such a record comes later in the logs, and never outlives it.
	TransactionChanged: {},
	// In txn readers do not wait, so the decision does: a commit that somebody has read stays. In fsync readers wait, and
	// only EndTxn has to (docs/decisions/0004).
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
