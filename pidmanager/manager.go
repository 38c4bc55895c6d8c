// Package pidmanager knows producers. Manager hands out producer IDs in durable blocks; Producers is
// what one partition remembers of the producers that write to it: their epochs, the last five batches
// of each, the transaction that each has open, and which first appends have been verified.
//
// Producers is pure: no lock, no clock, no I/O. The partition that embeds it orders all calls. Nothing
// changes until a whole append has been checked; checking and applying are separate calls, and replay
// of a log uses the same apply.
package pidmanager

import (
	"fmt"
	"sync"
)

// BlockSize is how many producer IDs are reserved at a time, as in Kafka.
const BlockSize = 1000

// maxSeenProducerID is the highest producer ID that is believed of a log. A client may write with any that it makes up;
// with one near 2^63 it would leave none to be handed out at the next start. So many as there are up to here lie
// behind as well.
const maxSeenProducerID = 1 << 62

// BlockStore makes reservations that survive the process and the machine.
type BlockStore interface {
	// ReserveProducerIDs reserves count consecutive producer IDs that were never reserved before, none
	// below atLeast, and returns the first. It returns when the reservation is durable. There is an error when
	// so many are not left.
	ReserveProducerIDs(count, atLeast int64) (first int64, err error)
}

// Manager hands out producer IDs. No ID is handed out twice in the life of the store, whatever
// happens to the process; IDs of a block that were not used when it stopped are lost (spec:
// idempotence 1). Safe for concurrent use.
type Manager struct {
	store BlockStore // immutable
	mu    struct {
		sync.Mutex
		next, end int64 // the rest of the current block; empty when next == end
		atLeast   int64 // above every producer ID seen in a log, up to maxSeenProducerID
	}
}

// NewManager returns a Manager that hands out IDs above the highest that any log holds, -1 for none, so that IDs
// stay unique when the store was lost or restored from an older copy.
func NewManager(store BlockStore, highest int64) *Manager {
	m := &Manager{store: store}
	m.Raise(highest)
	return m
}

// Raise makes every later ID be above highest. IDs of the current block up to it are dropped.
func (m *Manager) Raise(highest int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mu.atLeast = max(m.mu.atLeast, min(highest, maxSeenProducerID)+1)
	m.mu.next = min(max(m.mu.next, m.mu.atLeast), m.mu.end)
}

// Next returns a producer ID that was never handed out. An error means that no block could be
// reserved; clients are told to try again.
func (m *Manager) Next() (int64, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.mu.next == m.mu.end {
		first, err := m.store.ReserveProducerIDs(BlockSize, m.mu.atLeast)
		if err != nil {
			return -1, fmt.Errorf("reserving a block of producer IDs: %w", err)
		}
		m.mu.next, m.mu.end = first, first+BlockSize
	}
	id := m.mu.next
	m.mu.next++
	return id, nil
}
