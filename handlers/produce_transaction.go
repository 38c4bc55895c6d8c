package handlers

import (
	"context"
	"errors"
	"time"

	"once/txncoordinator"
	"once/wire"
)

// askCoordinator verifies the partitions of a request (clients before transactions V2), or adds them.
func (p *producing) askCoordinator(ctx context.Context, ask []int) {
	h := &p.parts[ask[0]].header
	r := txncoordinator.AddRequest{
		TransactionalID: *p.req.TransactionID, ProducerID: h.ProducerID, ProducerEpoch: h.ProducerEpoch,
		Partitions: make([]txncoordinator.TopicPartition, len(ask)),
	}
	for i, at := range ask {
		r.Partitions[i] = txncoordinator.TopicPartition{Topic: p.parts[at].topic, Partition: p.parts[at].resp.Partition}
	}
	if p.version >= 12 {
		r.ClientTransactionVersion = 2
		if err := p.addPartitions(ctx, r); err != nil {
			for _, at := range ask {
				p.parts[at].refusedByCoordinator(err, p.version)
			}
		}
		return
	}
	each, err := p.s.Txns.VerifyPartitions(r)
	for i, at := range ask {
		switch {
		case err != nil:
			p.parts[at].refusedByCoordinator(err, p.version)
		case each != nil && each[i] != nil:
			p.parts[at].refusedByCoordinator(each[i], p.version)
		}
	}
}

// refusedByCoordinator answers a partition with the coordinator's refusal. The codes that stand for others say which.
func (p *producePartition) refusedByCoordinator(err error, version int16) {
	code := produceTxnCode(err, version)
	if code != wire.InvalidTxnState && code != wire.NotEnoughReplicas {
		err = nil
	}
	p.fail(code, err)
}

// addPartitions retries inside of the broker while the producer's last transaction is still being completed, as Kafka
// does, so that most clients never see CONCURRENT_TRANSACTIONS (spec: transactions 8).
func (p *producing) addPartitions(ctx context.Context, r txncoordinator.AddRequest) error {
	err := p.s.Txns.AddPartitions(r)
	if !errors.Is(err, txncoordinator.ErrConcurrentTransactions) {
		return err
	}
	interval := max(p.s.Settings.AddPartitionsToTxnRetryBackoff, time.Millisecond)
	until := time.Now().Add(p.s.Settings.AddPartitionsToTxnRetryBackoffMax)
	for errors.Is(err, txncoordinator.ErrConcurrentTransactions) && time.Now().Before(until) {
		select {
		case <-time.After(interval):
		case <-ctx.Done():
			return err
		}
		err = p.s.Txns.AddPartitions(r)
	}
	return err
}

// produceTxnCode is what a producer gets for an answer of the coordinator. Codes that a Produce
// response of that version does not know, or that clients would not retry, are replaced by ones that
// have the right effect (spec: transactions 8).
func produceTxnCode(err error, version int16) wire.Code {
	switch {
	case errors.Is(err, txncoordinator.ErrPartitionNotInTransaction):
		if version >= 11 {
			return wire.TransactionAbortable
		}
		return wire.InvalidTxnState
	case errors.Is(err, txncoordinator.ErrConcurrentTransactions):
		if version >= 12 {
			return wire.ConcurrentTransactions
		}
		return wire.NotEnoughReplicas
	case errors.Is(err, txncoordinator.ErrFenced):
		return wire.InvalidProducerEpoch
	case errors.Is(err, txncoordinator.ErrInvalidProducerIDMapping):
		return wire.InvalidProducerIDMapping
	case errors.Is(err, txncoordinator.ErrCoordinatorLoading), errors.Is(err, txncoordinator.ErrCoordinatorNotAvailable):
		return wire.NotEnoughReplicas
	case errors.Is(err, txncoordinator.ErrRecordTooLarge):
		return wire.UnknownServerError
	default:
		return wire.InvalidTxnState
	}
}
