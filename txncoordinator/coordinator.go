package txncoordinator

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"unicode/utf16"

	"once/durability"
	"once/internal/fault"
)

// Coordinator serves all transactional IDs of the broker. Its methods may be called from any goroutine. The order of
// its life is New, Load, Start, …, Close.
type Coordinator struct {
	cfg     Config
	metrics *metrics
	shards  []shard      // one a partition of __transaction_state
	ids     atomic.Int64 // how many transactional IDs there are
	phase   atomic.Int32
	gate    gate // of operations that change a transactional ID

	reloading sync.Mutex // held while partitions are loaded again, or unloaded
	// ctx ends with Close; waits for the disk end with it.
	ctx    context.Context
	cancel context.CancelFunc
	kick   chan struct{} // wakes the retry loop
	loop   sync.WaitGroup

	highestID   int64        // set by Load
	resumed     []string     // see Resumed; immutable after Load
	heldMarkers atomic.Int64 // how many markers faults hold
	schedule    schedule
}

const (
	phaseLoading int32 = iota
	phaseServing
	phaseClosed
)

// shard holds the IDs of one partition of __transaction_state.
type shard struct {
	stateLog         StateLog // set by Load
	keepsTransitions bool     // immutable
	offline          atomic.Bool
	mu               struct {
		sync.RWMutex
		byID map[string]*entry // nil until there is one
	}
}

// New returns a coordinator that answers ErrCoordinatorLoading until Load has returned.
func New(cfg Config) (*Coordinator, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	c := &Coordinator{cfg: cfg, shards: make([]shard, cfg.Partitions), kick: make(chan struct{}, 1)}
	c.gate.init()
	for i := range c.shards {
		c.shards[i].keepsTransitions = cfg.KeepTransitions
	}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.metrics, err = newMetrics(c, cfg.Registerer)
	return c, err
}

// Partitions returns the number of partitions of __transaction_state that transactional IDs belong to. One that was
// added since the start has none.
func (c *Coordinator) Partitions() int32 { return int32(len(c.shards)) }

// PartitionFor returns the partition of __transaction_state for an ID: Java's String.hashCode over the UTF-16 units,
// without its sign (spec: transactions 2).
func (c *Coordinator) PartitionFor(transactionalID string) int32 {
	return partitionFor(transactionalID, int32(len(c.shards)))
}

func partitionFor(transactionalID string, partitions int32) int32 {
	var h int32
	for _, r := range transactionalID {
		if r > 0xFFFF {
			high, low := utf16.EncodeRune(r)
			h = 31*h + high
			r = low
		}
		h = 31*h + r
	}
	if h == -1<<31 {
		return 0
	}
	return max(h, -h) % partitions
}

// locate makes the checks for every request: the ID is usable and the coordinator serves.
func (c *Coordinator) locate(transactionalID string) (*shard, error) {
	if transactionalID == "" || len(transactionalID) > maxTransactionalIDBytes {
		return nil, ErrInvalidRequest
	}
	if err := c.serving(); err != nil {
		return nil, err
	}
	s := &c.shards[c.PartitionFor(transactionalID)]
	if s.offline.Load() {
		return nil, ErrNotCoordinator
	}
	return s, nil
}

// operate runs a request that may change a transactional ID, unless the coordinator is loading again. If a fault holds
// the end of a transaction before it is decided, the wait for that is outside of the gate.
func (c *Coordinator) operate(request func() error) error {
	if !c.gate.admit() {
		return ErrCoordinatorLoading
	}
	err := func() error {
		defer c.gate.leave()
		return request()
	}()
	if held, ok := err.(*heldEnd); ok {
		return held.wait(c.ctx)
	}
	return err
}

// work runs work without a request that may change transactional IDs. It waits while the coordinator is loading again.
func (c *Coordinator) work(do func()) {
	c.gate.enter()
	defer c.gate.leave()
	do()
}

func (c *Coordinator) serving() error {
	switch c.phase.Load() {
	case phaseLoading:
		return ErrCoordinatorLoading
	case phaseClosed:
		return ErrCoordinatorNotAvailable
	}
	return nil
}

func (s *shard) find(transactionalID string) *entry {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.mu.byID[transactionalID]
}

// known returns the entry of an ID that must exist.
func (c *Coordinator) known(transactionalID string) (*entry, error) {
	s, err := c.locate(transactionalID)
	if err != nil {
		return nil, err
	}
	if e := s.find(transactionalID); e != nil {
		return e, nil
	}
	return nil, ErrInvalidProducerIDMapping
}

// InitProducerID gives a producer the right to use a transactional ID and fences the one before (spec: transactions 5).
// If a transaction is open it aborts that and returns ErrConcurrentTransactions; the retry gets the identity. It
// returns only when the epoch is on the disk.
func (c *Coordinator) InitProducerID(r InitRequest) (Identity, error) {
	id := noIdentity
	err := c.operate(func() (err error) {
		id, err = c.initProducerID(&r)
		return err
	})
	c.metrics.refused(err)
	return id, err
}

func (c *Coordinator) initProducerID(r *InitRequest) (Identity, error) {
	e, err := c.entryForInit(r)
	if err != nil {
		return noIdentity, err
	}
	version := c.cfg.TransactionVersion()
	p, err := c.begin(e, r.Source, func(t *Transaction, freshID, nowMs int64) (plan, error) {
		return prepareInit(t, r, freshID, version, nowMs)
	})
	if err != nil {
		return noIdentity, err
	}
	if p.next.State == PrepareAbort {
		err := c.end(e, &p, outcomeFenced)
		if held, ok := err.(*heldEnd); ok {
			held.success = ErrConcurrentTransactions
		}
		if err == nil || errors.Is(err, errHeld) {
			err = ErrConcurrentTransactions
		}
		return noIdentity, err
	}
	if err := c.write(e, &p.next, durability.EpochGiven); err != nil {
		return noIdentity, err
	}
	if err := c.cfg.Faults.Hit(fault.TxnInitialized, fault.Attributes{TransactionalID: r.TransactionalID}); err != nil {
		return noIdentity, fmt.Errorf("%w: %v", ErrCoordinatorNotAvailable, err)
	}
	return p.answer, nil
}

// entryForInit checks transactions 5 rows 1 to 6 and creates the image of an unknown ID.
func (c *Coordinator) entryForInit(r *InitRequest) (*entry, error) {
	switch {
	case r.TransactionalID == "":
		return nil, ErrInvalidRequest
	case r.TimeoutMs <= 0 || r.TimeoutMs > c.cfg.MaxTimeoutMs:
		return nil, ErrInvalidTransactionTimeout
	}
	s, err := c.locate(r.TransactionalID)
	if err != nil {
		return nil, err
	}
	if e := s.find(r.TransactionalID); e != nil {
		return e, nil
	}
	producerID, err := c.freshProducerID()
	if err != nil {
		return nil, err
	}
	return c.create(s, newTransaction(strings.Clone(r.TransactionalID), producerID, r.TimeoutMs,
		c.cfg.Clock.Now().UnixMilli()))
}

// create adds an image to the table, or returns the one that is there.
func (c *Coordinator) create(s *shard, t Transaction) (*entry, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.mu.byID[t.TransactionalID]; e != nil {
		return e, nil
	}
	if c.ids.Load() >= c.cfg.MaxTransactionalIDs {
		return nil, ErrTooManyTransactionalIDs
	}
	c.ids.Add(1)
	if s.mu.byID == nil {
		s.mu.byID = make(map[string]*entry)
	}
	e := &entry{shard: s}
	e.mu.txn = t
	s.mu.byID[t.TransactionalID] = e
	return e, nil
}

func (c *Coordinator) freshProducerID() (int64, error) {
	id, err := c.cfg.ProducerIDs.Next()
	if err != nil {
		return NoProducerID, fmt.Errorf("%w: producer ID: %v", ErrCoordinatorLoading, err)
	}
	return id, nil
}

// AddPartitions adds partitions to the producer's transaction and opens one when there is none (spec: transactions 6,
// 7). Partitions that are in it already cost no write.
func (c *Coordinator) AddPartitions(r AddRequest) error {
	err := c.operate(func() error { return c.addPartitions(&r) })
	c.metrics.refused(err)
	return err
}

func (c *Coordinator) addPartitions(r *AddRequest) error {
	e, err := c.known(r.TransactionalID)
	if err != nil {
		return err
	}
	p, err := c.begin(e, r.Source, func(t *Transaction, _, nowMs int64) (plan, error) { return prepareAdd(t, r, nowMs) })
	if err != nil || p.done {
		return err
	}
	// No wait: appends that depend on this record come later in every barrier.
	if err := c.write(e, &p.next, durability.TransactionChanged); err != nil {
		return err
	}
	if err := c.cfg.Faults.Hit(fault.TxnAdded, fault.Attributes{TransactionalID: r.TransactionalID}); err != nil {
		return fmt.Errorf("%w: %v", ErrCoordinatorNotAvailable, err)
	}
	return nil
}

// VerifyPartitions checks whether partitions are in the producer's transaction, and writes nothing (spec: transactions
// 6). The error is for all of them. Without one, the slice is nil when all are in it, else it has an
// ErrPartitionNotInTransaction or nil for each.
func (c *Coordinator) VerifyPartitions(r AddRequest) ([]error, error) {
	e, err := c.known(r.TransactionalID)
	if err != nil {
		c.metrics.refused(err)
		return nil, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if err := checkVerify(&e.mu.txn, &r); err != nil {
		c.metrics.refused(err)
		return nil, err
	}
	if e.mu.txn.contains(r.Partitions) {
		return nil, nil
	}
	missing := make([]error, len(r.Partitions))
	for i, p := range r.Partitions {
		if !e.mu.txn.has(p) {
			missing[i] = ErrPartitionNotInTransaction
		}
	}
	c.metrics.refused(ErrPartitionNotInTransaction)
	return missing, nil
}

// EndTxn commits or aborts (spec: transactions 10). On success the markers are in the logs, except those that a fault
// holds. When a marker could not be written yet, the outcome is decided all the same, and ErrConcurrentTransactions
// asks the client to try again. The identity is the next one for clients of version 2, else -1, -1.
func (c *Coordinator) EndTxn(r EndRequest) (Identity, error) {
	begun := c.cfg.RealTime.Now()
	id := noIdentity
	err := c.operate(func() (err error) {
		id, err = c.endTxn(&r)
		return err
	})
	if err != nil {
		c.metrics.refused(err)
		return noIdentity, err
	}
	c.metrics.endSeconds.Observe(c.cfg.RealTime.Now().Sub(begun).Seconds())
	return id, nil
}

func (c *Coordinator) endTxn(r *EndRequest) (Identity, error) {
	e, err := c.known(r.TransactionalID)
	if err != nil {
		return noIdentity, err
	}
	p, err := c.begin(e, r.Source, func(t *Transaction, freshID, nowMs int64) (plan, error) {
		return prepareEnd(t, r, freshID, nowMs)
	})
	if err != nil || p.done {
		return p.answer, err
	}
	as := outcomeAbort
	if r.Commit {
		as = outcomeCommit
	}
	if err := c.end(e, &p, as); err != nil && !errors.Is(err, errHeld) {
		return p.answer, err // a heldEnd leads to the answer
	}
	return p.answer, nil
}
