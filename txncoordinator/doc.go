// Package txncoordinator owns transactional IDs: their producers, their transactions with outcomes, and the markers
// that are still owed (spec: transactions 4 to 6, 10 to 13, 15).
//
// Each transactional ID is a pure state machine (state.go, prepare.go). The Coordinator around it does decide → persist
// → apply: a Prepare function computes the next image from the image, the request and the time; that is appended to the
// ID's partition of __transaction_state; then it is applied. Replay applies the same images. Nothing else changes an
// image.
//
// Always:
//   - One operation at a time on an ID: while one is under way, Pending is set and others get
//     ErrConcurrentTransactions at the place where Kafka checks for it.
//   - A marker is written only after its Prepare record, the Complete record only after the last marker.
//     A prepared transaction reaches its outcome, now, later, or after a restart; it is never forgotten.
//   - EndTxn succeeds only once the markers are in the logs and the Complete record is appended, but for what a fault
//     holds (holds.go).
//   - No lock is held across an append, a marker, a wait for the disk or the allocation of a producer ID.
//
// The handlers of the transaction APIs call it, Produce and TxnOffsetCommit to Enlist what they append,
// and the cluster's assembly, which loads and closes it. It reaches partitions only through the interfaces
// StateLog, Participant and Verifier.
package txncoordinator
