package durability

// Recovery is what the barrier's record says about a log; see Barrier.Recovery.
type Recovery struct {
	Clean         bool  // the log was closed, and every byte was synced after
	RecoveryPoint int64 // offset; everything below is on disk
	StartOffset   int64 // log start offset as of the record
	// Cut says that the machine went down in a mode that promises a consistent cut over all logs:
	// what lies above the recovery point goes, valid or not.
	Cut bool
	// Gaps: the log has been compacted once. In one that has not, a missing offset is damage.
	Gaps bool
	// Journaled is what the journal has of this log, in order. What of it lies above the end of the log is
	// appended, and in a log that is cut, what is there as it should be stays.
	Journaled []Journaled
}
