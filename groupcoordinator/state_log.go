package groupcoordinator

import (
	"once/durability"
	"once/log/batch"
)

// Guard is what a partition hands out when it begins to verify a transaction; opaque here.
type Guard = uint64

// Appended says where a batch was stored.
type Appended struct {
	BaseOffset, LastOffset int64
	Durable                durability.Ticket // what the answer waits for
}

// StateLog is a partition of __consumer_offsets. An error from an Append means that nothing was
// stored. Appends of one state log come from under one lock; Scan is only used by Load.
type StateLog interface {
	AppendCoordinator(raw []byte, answer durability.Answer) (Appended, error)
	AppendTransactionalOffsets(raw []byte, guard Guard) (Appended, error)
	AppendMarker(m batch.Marker, transactionVersion int16) (Appended, error)
	// Scan gives the whole batches of [from, to) in order; raw is valid during the call.
	Scan(from, to int64, fn func(h batch.Header, raw []byte) error) error
	LogStartOffset() int64
	LogEndOffset() int64
}
