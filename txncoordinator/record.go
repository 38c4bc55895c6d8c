package txncoordinator

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sync"

	"github.com/twmb/franz-go/pkg/kmsg"

	"once/log/batch"
)

// The record versions of __transaction_state (spec: transactions 3).
const (
	keyVersion           int16 = 0
	highestValueVersion  int16 = 1
	flexibleTransactions int16 = 1 // the feature level from which values are written in version 1
)

// errUnknownVersion is a record of a newer version; replay skips it with a warning.
var errUnknownVersion = errors.New("txncoordinator: unknown record version")

// usualTopics is the initial number of topics in an encoder's buffer.
const usualTopics = 4

// encoder holds the buffers of one record in the making.
type encoder struct {
	key        kmsg.TxnMetadataKey
	value      kmsg.TxnMetadataValue
	topics     []kmsg.TxnMetadataValueTopic
	partitions []int32
	buf        []byte
}

var encoders = sync.Pool{New: func() any { return new(encoder) }}

// encodeTransaction returns a batch with the one record of an image.
func encodeTransaction(t *Transaction, featureLevel int16, nowMs int64) []byte {
	e := encoders.Get().(*encoder)
	defer encoders.Put(e)
	e.key = kmsg.TxnMetadataKey{Version: keyVersion, TransactionalID: t.TransactionalID}
	e.fill(t, featureLevel)
	e.buf = e.key.AppendTo(e.buf[:0])
	keyBytes := len(e.buf)
	e.buf = e.value.AppendTo(e.buf)
	e.key.TransactionalID, e.value.Topics = "", nil
	return buildRecord(batch.Record{Key: e.buf[:keyBytes], Value: e.buf[keyBytes:]}, nowMs)
}

// encodeTombstone returns a batch that removes the ID.
func encodeTombstone(transactionalID string, nowMs int64) []byte {
	key := kmsg.TxnMetadataKey{Version: keyVersion, TransactionalID: transactionalID}
	return buildRecord(batch.Record{Key: key.AppendTo(nil)}, nowMs)
}

// hangHeader is the header of a tombstone that forgets an ID whose transaction stays open in its partitions. Its value
// is what the log had of the transaction: so a check of the data directory, also of a compacted one, knows which
// transactions hang on purpose.
const hangHeader = "once.hang"

// encodeHang returns a batch that removes the ID of an open transaction.
func encodeHang(t *Transaction, featureLevel int16, nowMs int64) []byte {
	e := encoders.Get().(*encoder)
	defer encoders.Put(e)
	e.fill(t, featureLevel)
	e.buf = e.value.AppendTo(e.buf[:0])
	e.value.Topics = nil
	key := kmsg.TxnMetadataKey{Version: keyVersion, TransactionalID: t.TransactionalID}
	return buildRecord(batch.Record{Key: key.AppendTo(nil),
		Headers: []batch.RecordHeader{{Key: hangHeader, Value: e.buf}}}, nowMs)
}

func buildRecord(r batch.Record, nowMs int64) []byte {
	return batch.Build(batch.BuildOptions{
		ProducerID: NoProducerID, ProducerEpoch: NoProducerEpoch, BaseSequence: -1, TimestampMs: nowMs, LeaderEpoch: -1,
	}, r)
}

// fill sets the value. The list of partitions is null exactly in Empty, and no list in Complete*.
func (e *encoder) fill(t *Transaction, featureLevel int16) {
	v := &e.value
	v.Default()
	v.Version = 0
	if featureLevel >= flexibleTransactions {
		v.Version = 1
	}
	v.ProducerID, v.ProducerEpoch = t.ProducerID, t.ProducerEpoch
	v.PreviousProducerID, v.NextProducerID = t.PreviousProducerID, t.NextProducerID
	v.TimeoutMillis, v.State = t.TimeoutMs, kmsg.TransactionState(t.State)
	v.LastUpdateTimestamp, v.StartTimestamp = t.LastUpdateTimestampMs, t.StartTimestampMs
	v.ClientTransactionVersion = t.ClientTransactionVersion
	if t.State == Empty {
		v.Topics = nil
		return
	}
	if e.topics == nil {
		e.topics = make([]kmsg.TxnMetadataValueTopic, 0, usualTopics)
	}
	e.topics, e.partitions = e.topics[:0], e.partitions[:0]
	for _, p := range t.Partitions {
		e.partitions = append(e.partitions, p.Partition)
	}
	for from := 0; from < len(t.Partitions); {
		to := from + 1
		for to < len(t.Partitions) && t.Partitions[to].Topic == t.Partitions[from].Topic {
			to++
		}
		e.topics = append(e.topics, kmsg.TxnMetadataValueTopic{Topic: t.Partitions[from].Topic,
			Partitions: e.partitions[from:to:to]})
		from = to
	}
	v.Topics = e.topics
}

// decodeKey reads the transactional ID of a record.
func decodeKey(raw []byte) (string, error) {
	if len(raw) < 2 {
		return "", fmt.Errorf("txncoordinator: record key of %d bytes", len(raw))
	}
	if v := int16(binary.BigEndian.Uint16(raw)); v != keyVersion {
		return "", fmt.Errorf("%w: key %d", errUnknownVersion, v)
	}
	var key kmsg.TxnMetadataKey
	if err := key.ReadFrom(raw); err != nil {
		return "", fmt.Errorf("txncoordinator: record key: %w", err)
	}
	return key.TransactionalID, nil
}

// decodeValue reads an image. The last producer epoch is not in the log, so it is -1 (spec: transactions 3).
func decodeValue(transactionalID string, raw []byte) (Transaction, error) {
	if len(raw) < 2 {
		return Transaction{}, fmt.Errorf("txncoordinator: record value of %d bytes", len(raw))
	}
	if v := int16(binary.BigEndian.Uint16(raw)); v < 0 || v > highestValueVersion {
		return Transaction{}, fmt.Errorf("%w: value %d", errUnknownVersion, v)
	}
	var v kmsg.TxnMetadataValue
	if err := v.ReadFrom(raw); err != nil {
		return Transaction{}, fmt.Errorf("txncoordinator: record value: %w", err)
	}
	state := State(v.State)
	if state < Empty || state > CompleteAbort {
		return Transaction{}, fmt.Errorf("txncoordinator: record value: state %d", v.State)
	}
	t := newTransaction(transactionalID, v.ProducerID, v.TimeoutMillis, v.LastUpdateTimestamp)
	t.State = state
	t.ProducerEpoch, t.PreviousProducerID, t.NextProducerID = v.ProducerEpoch, v.PreviousProducerID, v.NextProducerID
	t.StartTimestampMs, t.ClientTransactionVersion = v.StartTimestamp, v.ClientTransactionVersion
	if len(v.Topics) == 0 {
		return t, nil
	}
	var parts []TopicPartition
	for _, topic := range v.Topics {
		for _, p := range topic.Partitions {
			parts = append(parts, TopicPartition{topic.Topic, p})
		}
	}
	t.Partitions = union(nil, parts)
	return t, nil
}
