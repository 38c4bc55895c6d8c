// Package sharepartition serves the records of partitions to share groups: it loads share partitions, acquires records
// for members, takes their acknowledgements and ends locks, and keeps the share sessions (spec: share-groups 6 to 13).
//
// What a share partition decides is package window's; what it stores goes to package sharecoordinator before it is
// applied, and the answer to a client waits for its ticket. Nothing here knows groups: any member ID may fetch from any
// share partition that has state.
package sharepartition

import (
	"errors"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"once/internal/clock"
	"once/partition"
	"once/settings"
	"once/sharecoordinator"
)

// Key names a share partition.
type Key = sharecoordinator.Key

// The errors of share partitions, beside those of sharecoordinator, window and partition.
var (
	// ErrNotLoaded: no fetch has named the share partition since the start, or it has been dropped.
	ErrNotLoaded = errors.New("share partition is not loaded")
	// ErrNoOffset: the log has no offset to begin at.
	ErrNoOffset = errors.New("the log has no offset for the share partition to begin at")
	// ErrSessionNotFound, ErrSessionEpoch and ErrSessionLimit are those of share sessions.
	ErrSessionNotFound = errors.New("share session does not exist")
	ErrSessionEpoch    = errors.New("share session epoch is not the expected one")
	ErrSessionLimit    = errors.New("there are as many share sessions as allowed")
	// ErrSessionBegins: a request that begins a session has acknowledgements.
	ErrSessionBegins = errors.New("a new share session has nothing to acknowledge")
)

// Config is the configuration of a Manager.
type Config struct {
	States *sharecoordinator.Coordinator
	// Partition returns the partition of a topic ID; false when there is none.
	Partition   func(topicID [16]byte, index int32) (*partition.Partition, bool)
	Settings    func(groupID string) settings.ShareGroup
	MaxSessions int         // group.share.max.share.sessions
	Enabled     func() bool // share.version is at least 1; nil: it is
	Letters     DeadLetters // nil: there is no dead-letter queue

	Clock clock.Clock // the cluster's
	// Locks is the clock of record locks, which a test may keep where it is while it moves Clock; nil means Clock.
	Locks      clock.Clock
	RealTime   clock.Clock // nil means the machine's: retries
	Logger     *slog.Logger
	Registerer prometheus.Registerer // nil keeps the metrics to itself
}

// Manager holds the loaded share partitions and the share sessions of a cluster. All methods may be called from any
// goroutine.
//
// Locking: mu is a leaf for the maps. The lock of a share partition is taken below those of groups, and held over an
// append of its state, never over a wait for durability.
type Manager struct {
	cfg     Config // immutable
	metrics *metrics
	mu      struct {
		sync.Mutex
		closed   bool
		loaded   map[Key]*SharePartition
		sessions map[sessionKey]*Session
		byConn   map[int64]map[sessionKey]*Session
	}
	running sync.WaitGroup // timer functions and letters that are under way
	stopped chan struct{}
}

// New returns a manager of nothing.
func New(cfg Config) (*Manager, error) {
	if cfg.RealTime == nil {
		cfg.RealTime = clock.Real{}
	}
	if cfg.Enabled == nil {
		cfg.Enabled = func() bool { return true }
	}
	if cfg.Locks == nil {
		cfg.Locks = cfg.Clock
	}
	m := &Manager{cfg: cfg, stopped: make(chan struct{})}
	m.mu.loaded = map[Key]*SharePartition{}
	m.mu.sessions = map[sessionKey]*Session{}
	m.mu.byConn = map[int64]map[sessionKey]*Session{}
	var err error
	m.metrics, err = newMetrics(m, cfg.Registerer)
	return m, err
}

// get returns a share partition that has been named by a fetch; nil without make when there is none.
func (m *Manager) get(k Key, make bool) *SharePartition {
	m.mu.Lock()
	defer m.mu.Unlock()
	sp := m.mu.loaded[k]
	if sp == nil && make && !m.mu.closed {
		k.Group = strings.Clone(k.Group)
		sp = &SharePartition{m: m, key: k}
		m.mu.loaded[k] = sp
	}
	return sp
}

// drop forgets a share partition: its state has been replaced, or it cannot be used.
func (m *Manager) drop(sp *SharePartition) {
	m.mu.Lock()
	if m.mu.loaded[sp.key] == sp {
		delete(m.mu.loaded, sp.key)
	}
	m.mu.Unlock()
}

// Drop forgets a share partition, because its state is removed or set anew. Locks end without a record of it.
func (m *Manager) Drop(k Key) {
	if sp := m.get(k, false); sp != nil {
		sp.mu.Lock()
		sp.dropLocked()
		sp.mu.Unlock()
	}
}

// DropAll ends all sessions and forgets all share partitions, after share.version has been set to 0. Locks end without
// a record of it. A fetch that is under way acquires nothing (spec: share-groups 2).
func (m *Manager) DropAll() {
	m.mu.Lock()
	all := make([]*SharePartition, 0, len(m.mu.loaded))
	for _, sp := range m.mu.loaded {
		all = append(all, sp)
	}
	clear(m.mu.sessions)
	clear(m.mu.byConn)
	m.mu.Unlock()
	for _, sp := range all {
		sp.mu.Lock()
		sp.dropLocked()
		sp.mu.Unlock()
	}
}

// State returns the start offset of a share partition and how many offsets from it on are finished, as the window has
// them if it is loaded. -1 and -1 while no start offset is stored.
func (m *Manager) State(k Key) (start, finished int64, leaderEpoch int32, err error) {
	var state sharecoordinator.State
	err = m.cfg.States.Persist(k, func() (err error) {
		state, _, err = m.cfg.States.Summary(k)
		return err
	})
	if err != nil {
		return -1, -1, 0, err
	}
	start, finished, leaderEpoch = state.StartOffset, int64(state.DeliveryCompleteCount), state.LeaderEpoch
	if start < 0 {
		return -1, -1, leaderEpoch, nil
	}
	if sp := m.get(k, false); sp != nil {
		sp.mu.Lock()
		defer sp.mu.Unlock()
		if w := sp.mu.window; w != nil {
			start, finished = w.StartOffset(), w.Finished()
		}
	}
	return start, finished, leaderEpoch, nil
}

// Release ends the waits of dead letters.
func (m *Manager) Release() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.mu.closed {
		m.mu.closed = true
		close(m.stopped)
	}
}

// Close releases the acquired records of all sessions, as their disconnect does, and ends timers and dead letters.
func (m *Manager) Close() {
	m.mu.Lock()
	all := make([]*Session, 0, len(m.mu.sessions))
	for _, s := range m.mu.sessions {
		all = append(all, s)
	}
	m.mu.Unlock()
	for _, s := range all {
		m.end(s)
	}
	m.Release()
	m.mu.Lock()
	loaded := m.mu.loaded
	m.mu.loaded = nil
	m.mu.Unlock()
	for _, sp := range loaded {
		sp.mu.Lock()
		sp.stopTimerLocked()
		sp.mu.Unlock()
	}
	m.running.Wait()
}

// retryAfterFailedWrite is the pause, in real time, before the end of locks is stored again.
const retryAfterFailedWrite = time.Second
