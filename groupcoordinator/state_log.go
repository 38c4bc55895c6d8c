package groupcoordinator

import (
	"once/durability"
	"once/log/batch"
)

// Guard is a partition's verification guard; opaque here.
type Guard = uint64

// Appended is the result of an append.
type Appended struct {
	BaseOffset, LastOffset int64
	Durable                durability.Ticket // what the answer waits for
}

// StateLog is a partition of __consumer_offsets. After an error of an Append nothing was stored. Appends to one state
// log are made under one lock; only Load calls Scan.
type StateLog interface {
	AppendCoordinator(raw []byte, answer durability.Answer) (Appended, error)
	AppendTransactionalOffsets(raw []byte, guard Guard) (Appended, error)
	AppendMarker(m batch.Marker, transactionVersion int16) (Appended, error)
	// Scan gives the whole batches of [from, to) in order; raw is valid during the call.
	Scan(from, to int64, fn func(h batch.Header, raw []byte) error) error
	LogStartOffset() int64
	LogEndOffset() int64
}
