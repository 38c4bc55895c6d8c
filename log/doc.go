// Package log is the append-only log of one partition: segments of record batches in Kafka's own layout, their indexes,
// leader epochs, aborted transactions and producer state snapshots, and recovery after a stop. It handles batches and
// offsets, not transactions; the content of a snapshot is opaque to it. Only partition calls a Log.
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
// failed write is undone by truncation (ErrNotWritten); if that fails, too, the log has failed for good (ErrFailed,
// ErrAppendInDoubt). TicketFor gives what an answer has to wait for. The barrier asks the log what to sync through
// durableLog (durable.go), which also writes index entries to their files.
//
// # Reading
//
// One goroutine at a time appends (under the partition's mutex). Any number of readers run beside it without a lock;
// they see only bytes below a size that is published after the write. Always: StartOffset <= EndOffset; a
// published byte never changes. Locate (read.go) finds the segment, asks its offset index (index.go) and walks
// over batch headers (walker.go). It returns a Slice of the file, which holds a reference to the segment, so that it
// can be sent even after the segment has been deleted or replaced. Bytes that this process did not write are
// verified when first read (checked.go, order.go). Scan and ReplayHeaders (scan.go) give batches instead.
//
// # Recovery
//
// Open (recover.go) takes a durability.Recovery and goes through fixed steps: identity, leftovers, deletions, repairs,
// replacements of the cleaner, then the segments. Bytes below the recovery point are not read. Above it every batch is
// checked (recover_content.go); invalid batches, and those that a power cut takes back, are moved aside (torn.go).
// The others are copied to a new file, because a second sync of a file whose first sync failed proves nothing. Then
// come indexes and epochs (recover_derived.go) and the batches of the journal. After a crash in any step, the next
// start comes to the same result. Damage below the recovery point is a *files.DamagedError and changes nothing.
//
// # Retention and compaction
//
// DeleteSegments (retention.go) takes segments below the log start offset out of the log; their files are deleted
// after the next barrier. Clean (clean*.go) is the log cleaner: it writes the remaining records of a group of segments
// to a new one, reads that back, and replaces the group (clean_swap.go). Neither changes an offset.
//
// Subpackages: batch is the format of record batches; directory lists the directories of logs; salvage repairs a
// damaged log while no broker has it open.
//
// Sizes are bytes, timestamps Unix ms. Errors: ErrOutOfRange, ErrFailed, ErrClosed, *files.DamagedError.
package log
