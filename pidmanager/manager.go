// Package pidmanager handles producer IDs and producers. Manager gives out producer IDs from durable blocks. Producers
// is the producer state of one partition: epochs, the last five batches and the open transaction of each producer, and
// the verifications of first appends.
//
// Producers is pure: no lock, no clock, no I/O. The partition that embeds it orders all calls. Check and Apply are
// separate calls, so that nothing changes before a whole append has been checked; replay of a log uses the same apply.
package pidmanager

import (
	"fmt"
	"sync"
)

// BlockSize is the number of producer IDs in a block, as in Kafka.
const BlockSize = 1000

// maxSeenProducerID is the highest producer ID in a log that counts. A client may write with any producer ID; one near
// 2^63 would leave none for the next start. As many IDs remain above this limit as there are below.
const maxSeenProducerID = 1 << 62

// BlockStore makes reservations that survive the process and the machine.
type BlockStore interface {
	// ReserveProducerIDs reserves count consecutive producer IDs that were never reserved before, none below atLeast,
	// and returns the first. It returns when the reservation is durable. It fails when not enough IDs are left.
	ReserveProducerIDs(count, atLeast int64) (first int64, err error)
}

// Manager gives out producer IDs. No ID is given out twice in the life of the store, even after a crash; unused IDs of
// a block are lost at a stop (spec: idempotence 1). Safe for concurrent use.
type Manager struct {
	store BlockStore // immutable
	mu    struct {
		sync.Mutex
		next, end int64 // the rest of the current block; empty when next == end
		atLeast   int64 // above every producer ID seen in a log, up to maxSeenProducerID
	}
}

// NewManager returns a Manager for IDs above highest, the highest producer ID in any log, -1 for none. So IDs stay
// unique even if the store was lost or restored from an older copy.
func NewManager(store BlockStore, highest int64) *Manager {
	m := &Manager{store: store}
	m.Raise(highest)
	return m
}

// Raise makes every later ID higher than highest. IDs of the current block up to it are dropped.
func (m *Manager) Raise(highest int64) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mu.atLeast = max(m.mu.atLeast, min(highest, maxSeenProducerID)+1)
	m.mu.next = min(max(m.mu.next, m.mu.atLeast), m.mu.end)
}

// Next returns a producer ID that was never given out. An error means that no block could be reserved; clients try
// again.
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
