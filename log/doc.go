// Package log is the append-only log of one partition: segments of record batches in Kafka's own layout, their indexes,
// leader epochs, aborted transactions and producer snapshots, and recovery after a stop. It knows batches and offsets,
// not what is in a transaction; what a snapshot holds is its caller's affair. Only partition calls a Log.
//
// # Files
//
// A log is a directory. docs/log-format.md has all files and their bytes. The truth is in the .log files,
// partition.metadata (the topic ID) and what package durability stores: the barrier records and the journal. Everything
// else is derived: deleting it changes the time of the next start and nothing more. A log without records has no
// directory and no file.
//
// # Life of an append
//
// Append (append.go) rolls a segment where Kafka would (rollDue), writes the batch with one write(2) behind the
// published bytes, notes it in the indexes in memory (note), and publishes segment size and log end offset.
// Publishing stands between Member.BeginPublish and EndPublish, so that a barrier sees all of an append or none. A
// write that failed is taken back by truncation (ErrNotWritten); if even that fails, the log has failed for good
// (ErrFailed, ErrAppendInDoubt). TicketFor gives what an answer has to wait for. The barrier asks the log what to
// sync through durableLog (durable.go), which is also where index entries reach their files.
//
// # Reading
//
// One goroutine at a time appends (the partition's mutex sees to it). Any number reads beside it without a lock,
// and sees only bytes below a size that is published after the write. Always: StartOffset <= EndOffset; a
// published byte never changes. Locate (read.go) finds the segment, asks its offset index (index.go) and walks
// over batch headers (walker.go); it returns a Slice of the file, which holds a reference to the segment, so that
// it can be sent although the segment has been deleted or replaced. Bytes that this process did not write are
// verified when they are first read (checked.go, order.go). Scan and ReplayHeaders (scan.go) give batches instead.
//
// # Recovery
//
// Open (recover.go) takes a durability.Recovery and goes through fixed steps: identity, leftovers, deletions, repairs,
// replacements of the cleaner, then the segments. What lies below the recovery point is not read; above it every batch
// is checked (recover_content.go), and what is not valid, or is to be cut after a power cut, is moved aside (torn.go).
// What is kept is copied to a new file, because a second sync of a file whose first sync failed proves nothing. Then
// come indexes and epochs (recover_derived.go) and the batches of the journal. Each step leaves a state from which the
// next start comes to the same end. Damage below the recovery point is a *files.DamagedError and changes nothing.
//
// # Retention and compaction
//
// DeleteSegments (retention.go) takes segments that lie below the log start offset out of the log; their files go after
// the next barrier. Clean (clean*.go) is the log cleaner: it writes what is left of a group of segments to a new one,
// reads that back, and puts it in their place (clean_swap.go). Neither changes an offset.
//
// Beside it: batch is the format of record batches; directory says which directories of a data directory are logs;
// salvage repairs a damaged log while no broker has it open.
//
// Sizes are bytes, timestamps Unix ms. Errors: ErrOutOfRange, ErrFailed, ErrClosed, *files.DamagedError.
package log
