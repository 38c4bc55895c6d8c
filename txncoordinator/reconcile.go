package txncoordinator

import (
	"fmt"
	"math"
	"slices"

	"once/log/batch"
)

// OpenTransaction is a transaction that a partition holds open.
type OpenTransaction struct {
	TopicPartition
	ProducerID    int64
	ProducerEpoch int16
}

// Reconcile ends transactions that are open in a partition although they have ended, with their outcome. A start
// truncates a log that was damaged above the last barrier, and may remove an old marker with it. Left open, the
// transaction would hold back the last stable offset for ever, and the producer's next marker would decide about
// records of another transaction (reliability P18, P20).
//
// It is called once, between Load and Start. The transaction log decides: the newest record of that epoch in which the
// transaction was prepared or complete. If the log has the producer but no such record any more, the transaction is
// aborted. If it does not have the producer, the transaction stays open.
func (c *Coordinator) Reconcile(open []OpenTransaction) error {
	left := c.openButEnded(open)
	if len(left) == 0 {
		return nil
	}
	if err := c.findOutcomes(left); err != nil {
		return fmt.Errorf("txncoordinator: reconcile: %w", err)
	}
	for _, v := range left {
		if err := c.carryOut(v); err != nil {
			c.cfg.Logger.Error("an open transaction that has ended could not be ended", "partition", v.open.String(),
				"producer_id", v.open.ProducerID, "producer_epoch", v.open.ProducerEpoch, "error", err)
		}
	}
	return nil
}

// openButEnded returns the open transactions that the table does not have as open or prepared.
func (c *Coordinator) openButEnded(open []OpenTransaction) (left []*verdict) {
	underWay := map[Identity][]TopicPartition{}
	c.each(func(e *entry) {
		e.mu.Lock()
		defer e.mu.Unlock()
		if t := &e.mu.txn; !t.State.idle() {
			underWay[Identity{t.ProducerID, t.ProducerEpoch}] = t.Partitions
			if t.State.prepared() { // and has perhaps raised the epoch already
				underWay[Identity{t.ProducerID, t.ProducerEpoch - 1}] = t.Partitions
			}
		}
	})
	for i := range open {
		o := &open[i]
		if !slices.Contains(underWay[Identity{o.ProducerID, o.ProducerEpoch}], o.TopicPartition) {
			left = append(left, &verdict{open: o})
		}
	}
	return left
}

// verdict is the outcome of an open transaction, as far as it is known.
type verdict struct {
	open  *OpenTransaction
	found Transaction // the record that decides
	rank  int         // how well it fits
	shard *shard      // of the transactional ID that has the producer; nil when none has
}

// How well a record matches an open transaction.
const (
	unrelated   = iota // it is of another epoch
	sameEpoch          // decided in this epoch, and the record does not say for which partitions
	samePart           // decided in this epoch, with this partition in it
	addedAtMost        // under way in this epoch, without this partition
	stillOpen          // under way in this epoch, with this partition
)

// findOutcomes looks for the deciding records in the transaction log, which may have older ones than the table.
func (c *Coordinator) findOutcomes(left []*verdict) error {
	byProducer := map[int64][]*verdict{}
	for _, v := range left {
		byProducer[v.open.ProducerID] = append(byProducer[v.open.ProducerID], v)
	}
	for i := range c.shards {
		s := &c.shards[i]
		err := c.eachRecord(s, func(id string, value []byte) error {
			if value == nil {
				return nil
			}
			t, err := decodeValue(id, value)
			if err != nil {
				return nil // replay has logged it
			}
			for _, v := range byProducer[t.ProducerID] {
				v.considerRecord(s, t)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// considerRecord handles a record of the open transaction's producer; records come in the order of the log. Of the
// deciding ones, the newest with the best match counts. Before transactions V2 many transactions have one epoch: one
// without this partition is used only if no other is left.
func (v *verdict) considerRecord(s *shard, t Transaction) {
	v.shard = s
	isOpen := v.rank == stillOpen || v.rank == addedAtMost
	switch rank := v.fit(&t); {
	case rank == stillOpen, rank == addedAtMost && (v.rank == unrelated || isOpen),
		rank == samePart, rank == sameEpoch && v.rank != samePart,
		rank == unrelated && isOpen: // it has ended, and the record that says how is gone
		v.found, v.rank = t, rank
	}
}

func (v *verdict) fit(t *Transaction) int {
	epoch := v.open.ProducerEpoch
	switch {
	case t.State == Ongoing && t.ProducerEpoch == epoch && t.has(v.open.TopicPartition):
		return stillOpen
	case t.State == Ongoing && t.ProducerEpoch == epoch:
		return addedAtMost
	case t.State == Empty || t.State == Ongoing || !v.endsEpoch(t):
		return unrelated
	case t.State.prepared() && t.has(v.open.TopicPartition):
		return samePart
	default:
		return sameEpoch
	}
}

// endsEpoch says whether a prepared or complete transaction ended the epoch that is open in the partition. From
// transactions V2 on an end raises the epoch; before, only a fence does.
func (v *verdict) endsEpoch(t *Transaction) bool {
	epoch := v.open.ProducerEpoch
	if t.ClientTransactionVersion >= epochBumpVersion {
		return epoch < math.MaxInt16 && t.ProducerEpoch == epoch+1
	}
	return t.ProducerEpoch == epoch || t.State.abort() && epoch < math.MaxInt16 && t.ProducerEpoch == epoch+1
}

// abort tells whether the outcome of a transaction is an abort.
func (s State) abort() bool { return s == PrepareAbort || s == CompleteAbort }

func (c *Coordinator) carryOut(v *verdict) error {
	log := c.cfg.Logger.With("partition", v.open.String(), "producer_id", v.open.ProducerID,
		"producer_epoch", v.open.ProducerEpoch)
	switch {
	case v.shard == nil:
		log.Warn("a transaction is open whose producer no transactional ID has; WriteTxnMarkers, or kafka-transactions " +
			"abort, ends it")
		return nil
	case v.rank == stillOpen:
		return nil
	case v.rank == addedAtMost:
		log.Warn("a partition is added again to the transaction that it has open", "transactional_id",
			v.found.TransactionalID)
		return c.addPartitions(&AddRequest{TransactionalID: v.found.TransactionalID, ProducerID: v.open.ProducerID,
			ProducerEpoch: v.open.ProducerEpoch,
			Partitions:    []TopicPartition{v.open.TopicPartition}, ClientTransactionVersion: v.found.ClientTransactionVersion})
	}
	m := batch.Marker{
		ProducerID: v.open.ProducerID, ProducerEpoch: v.open.ProducerEpoch, Type: batch.Abort,
		CoordinatorEpoch: v.shard.stateLog.LeaderEpoch(), TimestampMs: c.cfg.Clock.Now().UnixMilli(),
	}
	version := int16(0)
	if v.rank != unrelated {
		m.ProducerEpoch, version = v.found.ProducerEpoch, v.found.ClientTransactionVersion
		if !v.found.State.abort() {
			m.Type = batch.Commit
		}
	}
	log.Warn("a transaction is open that has ended; it gets its marker again", "outcome", m.Type.String(), "outcome_known",
		v.rank != unrelated)
	// nothing is held at a start
	if _, err := c.beforeMarker(nil, v.found.TransactionalID, v.open.TopicPartition); err != nil {
		return err
	}
	return c.mark(v.found.TransactionalID, v.open.TopicPartition, m, version)
}
