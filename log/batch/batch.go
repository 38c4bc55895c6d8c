// Package batch handles record batches version 2: it reads and checks headers and records, validates batches from
// clients, and builds the batches that coordinators and markers need.
//
// Everything here is a pure function of its arguments. A batch is a []byte holding exactly one batch;
// only Validate, Prepare and SetOffsetAndEpoch write to it. Whatever Validate accepts, Records iterates
// without error and with as many records as the header says. Memory use follows the bytes that are present, never a
// size that they announce, and decompression stops at a limit.
//
// It does not handle files, offsets already in use, or producer state. Any package may call it.
package batch

import (
	"errors"
	"math"
)

var (
	// ErrCorrupt: the bytes are not a batch, or not the one that was written.
	ErrCorrupt = errors.New("batch is corrupt")
	// ErrInvalidRecord: the bytes are intact, but the batch or a record breaks a rule.
	ErrInvalidRecord = errors.New("batch or record is invalid")
	// ErrTooLarge: the batch is over max.message.bytes, or would inflate beyond the limit.
	ErrTooLarge = errors.New("batch is too large")
	// ErrInvalidTimestamp: a record's timestamp is outside of what the topic allows, or of a kind that
	// only the broker sets.
	ErrInvalidTimestamp = errors.New("record timestamp is invalid")
	// ErrUnsupportedCompression: the codec is unknown, or newer than the protocol version in use.
	ErrUnsupportedCompression = errors.New("compression is not supported")
	// ErrRecordListTooLarge: the batch would not fit an empty segment.
	ErrRecordListTooLarge = errors.New("batch is larger than a segment")
)

// IncrementSequence adds n >= 0 to the sequence s. After 2^31-1 comes 0, in the same producer epoch
// (spec: idempotence 6).
func IncrementSequence(s, n int32) int32 {
	if s > math.MaxInt32-n {
		return n - (math.MaxInt32 - s) - 1
	}
	return s + n
}

// DecrementSequence subtracts n >= 0 from the sequence s: the opposite of IncrementSequence.
func DecrementSequence(s, n int32) int32 {
	if s < n {
		return math.MaxInt32 - (n - s) + 1
	}
	return s - n
}
