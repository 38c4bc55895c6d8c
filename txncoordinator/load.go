package txncoordinator

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"once/log/batch"
)

// Load reads all partitions of __transaction_state and finishes the prepared transactions: markers to every partition
// of the record, then the Complete record. If a participant fails, the retry loop tries again. Requests are served when
// Load has returned without an error. Reload does it again.
func (c *Coordinator) Load() error {
	c.highestID = NoProducerID
	for i := range c.shards {
		s := &c.shards[i]
		if s.stateLog = c.cfg.StateLogs(int32(i)); s.stateLog == nil {
			return fmt.Errorf("txncoordinator: load: partition %d of the transaction log is missing", i)
		}
		if err := c.replay(s); err != nil {
			return fmt.Errorf("txncoordinator: load partition %d of the transaction log: %w", i, err)
		}
	}
	now := c.cfg.Clock.Now()
	unfinished := c.entriesWhere(func(e *entry) bool { return e.resume(now) })
	for _, e := range unfinished {
		c.resumed = append(c.resumed, e.mu.txn.TransactionalID)
		_ = c.finishOrRetry(e, 0) // it has logged why; requests get ErrConcurrentTransactions
	}
	c.schedule.lastRemoval = now
	c.phase.CompareAndSwap(phaseLoading, phaseServing)
	if len(unfinished) > 0 || c.ids.Load() > 0 {
		c.cfg.Logger.Info("transaction log loaded", "transactional_ids", c.ids.Load(), "resumed", len(unfinished))
	}
	return nil
}

// Resumed returns the transactional IDs whose transactions Load found prepared, sorted.
func (c *Coordinator) Resumed() []string {
	slices.Sort(c.resumed)
	return c.resumed
}

// HighestProducerID returns the highest producer ID that Load found, -1 for none; fresh ones must be
// above it (reliability P17).
func (c *Coordinator) HighestProducerID() int64 { return c.highestID }

// replay applies the log of one partition; the last record of an ID wins, a tombstone removes it. The table is replaced
// as a whole. What no record has stays with the entries that there are already.
func (c *Coordinator) replay(s *shard) error {
	images := map[string]*Transaction{}
	err := c.eachRecord(s, func(id string, value []byte) error {
		if value == nil {
			delete(images, id)
			return nil
		}
		next, err := decodeValue(id, value)
		if err != nil {
			return err
		}
		c.highestID = max(c.highestID, next.ProducerID, next.NextProducerID)
		if images[id] == nil {
			images[id] = &Transaction{}
		}
		images[id].apply(next)
		return nil
	})
	if err == nil {
		c.install(s, images)
	}
	return err
}

func (c *Coordinator) install(s *shard, images map[string]*Transaction) {
	var table map[string]*entry
	if len(images) > 0 {
		table = make(map[string]*entry, len(images))
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, image := range images {
		e := s.mu.byID[id]
		if e == nil {
			e = &entry{shard: s}
		}
		e.install(image)
		table[id] = e
	}
	c.ids.Add(int64(len(table) - len(s.mu.byID)))
	s.mu.byID = table
}

func (e *entry) install(image *Transaction) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.mu.holds != nil && e.mu.holds.prepare { // no record can have changed it meanwhile
		image.Pending = e.mu.txn.Pending
	}
	e.mu.txn = *image
}

// eachRecord calls fn for each record of one partition of the transaction log, oldest first; value is nil in a
// tombstone. A record that cannot be read, or for which fn returns an error, is skipped.
func (c *Coordinator) eachRecord(s *shard, fn func(transactionalID string, value []byte) error) error {
	from, to := s.stateLog.LogStartOffset(), s.stateLog.LogEndOffset()
	if from >= to {
		return nil
	}
	return s.stateLog.Scan(from, to, func(h batch.Header, raw []byte) error {
		if h.IsControl() {
			return nil
		}
		for r, err := range batch.Records(raw, c.cfg.MaxInflatedBytes) {
			if err != nil {
				return fmt.Errorf("batch at offset %d: %w", h.BaseOffset, err)
			}
			id, err := decodeKey(r.Key)
			if err == nil {
				err = fn(id, r.Value)
			}
			if err != nil {
				level := c.cfg.Logger.Error
				if errors.Is(err, errUnknownVersion) {
					level = c.cfg.Logger.Warn
				}
				level("record of the transaction log is skipped", "offset", h.BaseOffset+int64(r.OffsetDelta), "error", err)
			}
		}
		return nil
	})
}

// remove takes an ID out of the table.
func (c *Coordinator) remove(s *shard, transactionalID string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, found := s.mu.byID[transactionalID]; found {
		delete(s.mu.byID, transactionalID)
		c.ids.Add(-1)
	}
}

// resume sets the fields that are not in the log and says whether markers are owed. The start of an open transaction
// was taken from a wall clock that may have been set since, so its new deadline is at most one full timeout away
// (reliability P24).
func (e *entry) resume(now time.Time) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	t := &e.mu.txn
	if t.State == Ongoing {
		timeout := time.Duration(t.TimeoutMs) * time.Millisecond
		left := time.UnixMilli(t.StartTimestampMs).Add(timeout).Sub(now)
		e.mu.deadline = now.Add(min(max(left, 0), timeout))
	}
	e.mu.owed, e.mu.failed = nil, nil
	if t.State.prepared() {
		held := e.mu.holds.partitions()
		for _, p := range t.Partitions {
			if !slices.Contains(held, p) {
				e.mu.owed = append(e.mu.owed, p)
			}
		}
	}
	if e.mu.holds != nil {
		e.mu.holds.ownerless = false
	}
	return t.State.prepared()
}

// each calls fn with every entry of the partitions that are online. It holds no lock during the call.
func (c *Coordinator) each(fn func(e *entry)) {
	var some []*entry
	for i := range c.shards {
		s := &c.shards[i]
		if s.offline.Load() {
			continue
		}
		s.mu.RLock()
		some = some[:0]
		for _, e := range s.mu.byID {
			some = append(some, e)
		}
		s.mu.RUnlock()
		for _, e := range some {
			fn(e)
		}
	}
}

// entriesWhere returns the entries for entriesWhere pick is true, ordered by ID, so that every run handles them in the
// same order.
func (c *Coordinator) entriesWhere(pick func(e *entry) bool) []*entry {
	var picked []*entry
	c.each(func(e *entry) {
		if pick(e) {
			picked = append(picked, e)
		}
	})
	slices.SortFunc(picked, func(a, b *entry) int { return strings.Compare(a.transactionalID(), b.transactionalID()) })
	return picked
}
