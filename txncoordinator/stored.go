package txncoordinator

import (
	"errors"

	"once/log/batch"
)

// What follows is for tools that read the transaction log of a stopped broker.

// StoredRecord is one record of __transaction_state.
type StoredRecord struct {
	TransactionalID string
	Tombstone       bool
	// Hung is set in a tombstone of Hang: the transaction that it leaves open.
	Hung *Transaction
	// Unknown says that the record has a newer version: replay skips it. Then only the transactional ID may be set.
	Unknown     bool
	Transaction Transaction // unless Tombstone or Unknown
}

// DecodeRecord reads a record. Fields that are not in the log have their values after a reload.
func DecodeRecord(r batch.Record) (StoredRecord, error) {
	id, err := decodeKey(r.Key)
	if err != nil {
		return StoredRecord{Unknown: errors.Is(err, errUnknownVersion)}, knownOnly(err)
	}
	s := StoredRecord{TransactionalID: id, Tombstone: r.Value == nil}
	if s.Tombstone {
		s.Hung, err = decodeHung(id, r.Headers)
		return s, err
	}
	s.Transaction, err = decodeValue(id, r.Value)
	s.Unknown = errors.Is(err, errUnknownVersion)
	return s, knownOnly(err)
}

// decodeHung reads the header of a tombstone of Hang; nil when there is none, or one of a newer version.
func decodeHung(id string, headers []batch.RecordHeader) (*Transaction, error) {
	for _, h := range headers {
		if h.Key != hangHeader {
			continue
		}
		t, err := decodeValue(id, h.Value)
		if err != nil {
			return nil, knownOnly(err)
		}
		return &t, nil
	}
	return nil, nil
}

func knownOnly(err error) error {
	if errors.Is(err, errUnknownVersion) {
		return nil
	}
	return err
}

// MayFollow says whether a record of one state may come after one of another in the log (spec: transactions 4).
func MayFollow(next, from State) bool {
	return next >= Empty && next <= CompleteAbort && from >= Empty && from <= CompleteAbort && mayFollow(next, from)
}

// Prepared says whether the outcome is decided and markers may still be owed.
func (s State) Prepared() bool { return s.prepared() }

// Idle says whether no transaction is open.
func (s State) Idle() bool { return s.idle() }

// Has says whether a partition is part of the transaction.
func (t *Transaction) Has(p TopicPartition) bool { return t.has(p) }

// PartitionOf returns the partition of __transaction_state for an ID, given the number of partitions.
func PartitionOf(transactionalID string, partitions int32) int32 {
	return partitionFor(transactionalID, partitions)
}
