package handlers

import (
	"errors"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/txncoordinator"
	"once/wire"
)

// enlistment returns the transactional batches for the transaction coordinator; nil if there are none (spec: log 4.2
// row 8, transactions 8). They all have the same producer, which check has made sure of.
func (p *producing) enlistment() *txncoordinator.Enlistment {
	var e *txncoordinator.Enlistment
	for i := range p.parts {
		part := &p.parts[i]
		h := &part.header
		if part.code != wire.NoError || !h.IsTransactional() {
			continue
		}
		if e == nil {
			e = &txncoordinator.Enlistment{
				TransactionalID: *p.req.TransactionID, ProducerID: h.ProducerID, ProducerEpoch: h.ProducerEpoch,
				ClientTransactionVersion: transactionV0,
				Source:                   sourceOf(p.r),
				Partitions:               make([]txncoordinator.EnlistedPartition, 0, len(p.parts)-i),
			}
			if p.version >= 12 {
				e.ClientTransactionVersion = transactionV2
			}
		}
		e.Partitions = append(e.Partitions, txncoordinator.EnlistedPartition{
			TopicPartition: txncoordinator.TopicPartition{Topic: part.topic, Partition: part.resp.Partition},
			Verifier:       part.partition, BaseSequence: h.BaseSequence,
		})
	}
	return e
}

// takeGuards copies the results of an enlistment to the partitions.
func (p *producing) takeGuards(e *txncoordinator.Enlistment) {
	next := e.Partitions
	for i := range p.parts {
		part := &p.parts[i]
		if part.code != wire.NoError || !part.header.IsTransactional() {
			continue
		}
		enlisted := &next[0]
		next = next[1:]
		part.guard = enlisted.Guard
		switch {
		case enlisted.PartitionErr != nil:
			part.fail(codeFor(enlisted.PartitionErr, int16(kmsg.Produce), p.version), nil)
		case enlisted.CoordinatorErr != nil:
			part.refusedByCoordinator(enlisted.CoordinatorErr, p.version)
		}
	}
}

// refusedByCoordinator answers a partition with the coordinator's error. If the code stands for another one, the
// message names that.
func (p *producePartition) refusedByCoordinator(err error, version int16) {
	code := produceTxnCode(err, version)
	if code != wire.InvalidTxnState && code != wire.NotEnoughReplicas {
		err = nil
	}
	p.fail(code, err)
}

// produceTxnCode is the producer's code for an error of the coordinator. Codes that a Produce response of that version
// does not know, or that clients would not retry, are replaced by codes with the right effect (spec: transactions 8).
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
	case errors.Is(err, txncoordinator.ErrCoordinatorLoading), errors.Is(err, txncoordinator.ErrCoordinatorNotAvailable),
		errors.Is(err, txncoordinator.ErrNotCoordinator):
		return wire.NotEnoughReplicas
	case errors.Is(err, txncoordinator.ErrRecordTooLarge):
		return wire.UnknownServerError
	default:
		return wire.InvalidTxnState
	}
}
