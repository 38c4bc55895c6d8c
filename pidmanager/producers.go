package pidmanager

import (
	"errors"
	"fmt"
	"math"

	"once/log/batch"
)

// The errors of an append, each with the Kafka code that clients get for it.
var (
	// ErrFencedEpoch: the producer epoch is older than one already seen (INVALID_PRODUCER_EPOCH).
	ErrFencedEpoch = errors.New("producer epoch is older than the current one")
	// ErrOutOfOrderSequence: the base sequence does not follow the last one (OUT_OF_ORDER_SEQUENCE_NUMBER).
	ErrOutOfOrderSequence = errors.New("base sequence does not follow the last batch")
	// ErrInvalidTxnState: the partition is not part of the producer's transaction, or a plain batch
	// meets an open transaction of its producer (INVALID_TXN_STATE).
	ErrInvalidTxnState = errors.New("batch does not fit the state of the producer's transaction")
	// ErrCoordinatorFenced: a marker comes from an older incarnation of the coordinator
	// (TRANSACTION_COORDINATOR_FENCED).
	ErrCoordinatorFenced = errors.New("marker comes from an older transaction coordinator")
)

// Origin is the source of an append; the checks depend on it (spec: idempotence 4).
type Origin uint8

const (
	Client      Origin = iota // a Produce request: everything is checked
	Coordinator               // offsets that the group coordinator writes: epochs only
)

// The highest sequence and producer epoch. After the highest sequence comes 0.
const (
	lastSequence = math.MaxInt32
	lastEpoch    = math.MaxInt16
)

// CachedBatches is the number of batches of a producer that are kept to recognise a retry.
const CachedBatches = 5

// Batch is the kept state of one data batch.
type Batch struct {
	LastSequence int32
	LastOffset   int64
	OffsetDelta  int32 // last offset minus first offset; also the span of its sequences
	TimestampMs  int64 // its maximum timestamp
}

// firstSequence returns the base sequence of the batch.
func (b Batch) firstSequence() int32 { return batch.DecrementSequence(b.LastSequence, b.OffsetDelta) }

// FirstOffset returns the offset of the first record.
func (b Batch) FirstOffset() int64 { return b.LastOffset - int64(b.OffsetDelta) }

// Producer is the state of one producer ID in one partition.
type Producer struct {
	ProducerEpoch    int16 // highest accepted; -1 before the first
	CoordinatorEpoch int32 // of the last marker; -1 before the first
	LastTimestampMs  int64 // of the last data batch or marker; -1 before the first
	TxnFirstOffset   int64 // first offset of the open transaction; -1 when none is open
	batches          [CachedBatches]Batch
	cached           int // batches[:cached], oldest first
}

// LastSequence returns the sequence of the last record in the current epoch, or -1.
func (e *Producer) LastSequence() int32 {
	if e.cached == 0 {
		return -1
	}
	return e.batches[e.cached-1].LastSequence
}

// LastDataOffset returns the offset of the last record in the current epoch, or -1.
func (e *Producer) LastDataOffset() int64 {
	if e.cached == 0 {
		return -1
	}
	return e.batches[e.cached-1].LastOffset
}

func (e *Producer) find(h *batch.Header) (Batch, bool) {
	for i := e.cached - 1; i >= 0; i-- {
		b := e.batches[i]
		if b.LastSequence == h.LastSequence() && b.firstSequence() == h.BaseSequence {
			return b, true
		}
	}
	return Batch{}, false
}

func (e *Producer) push(b Batch) {
	if e.cached == CachedBatches {
		copy(e.batches[:], e.batches[1:])
		e.cached--
	}
	e.batches[e.cached] = b
	e.cached++
}

// Producers is the state of all producers of a partition. The zero value is empty and ready.
type Producers struct {
	byID          map[int64]*Producer
	verifications map[int64]*verification
	lastGuard     Guard
}

// Count returns how many producers are known.
func (p *Producers) Count() int { return len(p.byID) }

// Get returns a copy of the state of a producer.
func (p *Producers) Get(producerID int64) (Producer, bool) {
	e := p.byID[producerID]
	if e == nil {
		return Producer{}, false
	}
	return *e, true
}

// All calls f for every producer, in no particular order.
func (p *Producers) All(f func(producerID int64, e Producer)) {
	for id, e := range p.byID {
		f(id, *e)
	}
}

// Duplicate reports the batch that h is a retry of: same producer, same epoch, exactly the same
// sequences, among the last five (spec: idempotence 4.1).
func (p *Producers) Duplicate(h *batch.Header) (Batch, bool) {
	e := p.byID[h.ProducerID]
	if e == nil || e.ProducerEpoch != h.ProducerEpoch {
		return Batch{}, false
	}
	return e.find(h)
}

// Check checks whether a data batch may be appended; it changes nothing. Duplicate comes before it. guard is the
// verification guard of the request, and verify says whether a transaction's first batch needs one (spec: idempotence
// 4.2, 4.3).
func (p *Producers) Check(h *batch.Header, origin Origin, guard Guard, verify bool) error {
	e := p.byID[h.ProducerID]
	epoch := int16(-1)
	if e != nil {
		epoch = e.ProducerEpoch
	}
	open := e != nil && e.TxnFirstOffset >= 0
	if open && h.ProducerEpoch > epoch {
		// The transaction of the older epoch has ended, but its marker is missing here. The next marker would end both.
		return fmt.Errorf("%w: producer %d has a transaction of epoch %d open, the batch is of epoch %d", ErrInvalidTxnState,
			h.ProducerID, epoch, h.ProducerEpoch)
	}
	if h.IsTransactional() && !(open && epoch == h.ProducerEpoch) {
		if h.ProducerEpoch < epoch {
			return fmt.Errorf("%w: producer %d has epoch %d, the batch %d", ErrFencedEpoch, h.ProducerID, epoch, h.ProducerEpoch)
		}
		if v := p.verifications[h.ProducerID]; verify && (guard == 0 || v == nil || v.guard != guard) {
			return fmt.Errorf("%w: producer %d has no verified transaction here", ErrInvalidTxnState, h.ProducerID)
		}
	}
	if h.ProducerEpoch < epoch {
		return fmt.Errorf("%w: producer %d has epoch %d, the batch %d", ErrFencedEpoch, h.ProducerID, epoch, h.ProducerEpoch)
	}
	if origin == Client {
		if err := p.checkSequence(e, h); err != nil {
			return err
		}
	}
	if open && !h.IsTransactional() {
		return fmt.Errorf("%w: producer %d has a transaction open, the batch is not part of it", ErrInvalidTxnState,
			h.ProducerID)
	}
	return nil
}

func (p *Producers) checkSequence(e *Producer, h *batch.Header) error {
	s := h.BaseSequence
	if v := p.verifications[h.ProducerID]; v != nil {
		if v.supportsEpochBump && (e == nil || e.cached == 0) && s != 0 {
			return fmt.Errorf("%w: producer %d starts a transaction with sequence %d", ErrOutOfOrderSequence, h.ProducerID, s)
		}
		if s > v.lowestSequence {
			return fmt.Errorf("%w: producer %d sent %d, %d was seen first", ErrOutOfOrderSequence, h.ProducerID, s,
				v.lowestSequence)
		}
	}
	if e == nil || e.ProducerEpoch == -1 {
		return nil
	}
	if e.ProducerEpoch != h.ProducerEpoch {
		if s != 0 {
			return fmt.Errorf("%w: producer %d starts epoch %d with sequence %d", ErrOutOfOrderSequence, h.ProducerID,
				h.ProducerEpoch, s)
		}
		return nil
	}
	last := e.LastSequence()
	if s == last+1 && last != lastSequence || s == 0 && last == lastSequence {
		return nil
	}
	return fmt.Errorf("%w: producer %d sent %d after %d", ErrOutOfOrderSequence, h.ProducerID, s, last)
}

// CheckMarker checks whether a marker may be appended (KIP-890, KIP-1228; spec: idempotence 4.6).
func (p *Producers) CheckMarker(m batch.Marker, transactionVersion int16) error {
	e := p.byID[m.ProducerID]
	if e == nil {
		return nil
	}
	fenced := m.ProducerEpoch < e.ProducerEpoch
	if transactionVersion >= 2 && m.ProducerEpoch == e.ProducerEpoch {
		// A marker of the current epoch is a repetition if no transaction is open, and allowed at the last epoch, which
		// cannot be raised.
		fenced = e.TxnFirstOffset >= 0 && m.ProducerEpoch != lastEpoch
	}
	if fenced {
		return fmt.Errorf("%w: producer %d has epoch %d, the marker %d", ErrFencedEpoch, m.ProducerID, e.ProducerEpoch,
			m.ProducerEpoch)
	}
	if m.CoordinatorEpoch < e.CoordinatorEpoch {
		return fmt.Errorf("%w: epoch %d, seen %d", ErrCoordinatorFenced, m.CoordinatorEpoch, e.CoordinatorEpoch)
	}
	return nil
}

// Apply records an appended data batch, whose offsets are set. It says whether the batch opened a transaction, and
// whether a producer without transactions began its sequences again, with a new epoch. It cannot fail: a batch in the
// log counts even if Check would have refused it.
func (p *Producers) Apply(h *batch.Header) (opened, restarted bool) {
	e := p.entry(h.ProducerID)
	if e.ProducerEpoch != h.ProducerEpoch {
		restarted = e.ProducerEpoch >= 0 && !h.IsTransactional()
		e.cached = 0
		e.ProducerEpoch = h.ProducerEpoch
	}
	e.push(Batch{LastSequence: h.LastSequence(), LastOffset: h.LastOffset(), OffsetDelta: h.LastOffsetDelta,
		TimestampMs: h.MaxTimestampMs})
	e.LastTimestampMs = h.MaxTimestampMs
	if !h.IsTransactional() {
		return false, restarted
	}
	delete(p.verifications, h.ProducerID)
	if e.TxnFirstOffset >= 0 {
		return false, false
	}
	e.TxnFirstOffset = h.BaseOffset
	return true, false
}

// ApplyMarker records an appended marker and returns the first offset of the transaction that it
// ended, or -1 when none was open.
func (p *Producers) ApplyMarker(m batch.Marker) (ended int64) {
	e := p.entry(m.ProducerID)
	if e.ProducerEpoch != m.ProducerEpoch {
		e.cached = 0
		e.ProducerEpoch = m.ProducerEpoch
	}
	e.CoordinatorEpoch = m.CoordinatorEpoch
	e.LastTimestampMs = m.TimestampMs
	ended, e.TxnFirstOffset = e.TxnFirstOffset, -1
	// The next transaction of a V2 producer may already be verifying: its entry stays.
	if v := p.verifications[m.ProducerID]; v != nil && !(v.supportsEpochBump && v.epoch == m.ProducerEpoch) {
		delete(p.verifications, m.ProducerID)
	}
	return ended
}

func (p *Producers) entry(producerID int64) *Producer {
	e := p.byID[producerID]
	if e == nil {
		e = &Producer{ProducerEpoch: -1, CoordinatorEpoch: -1, LastTimestampMs: -1, TxnFirstOffset: -1}
		if p.byID == nil {
			p.byID = make(map[int64]*Producer, 1)
		}
		p.byID[producerID] = e
	}
	return e
}

// Expire forgets producers without an open transaction whose last record is at least limitMs older than nowMs, and
// verifications of that age (spec: idempotence 8). It returns the number of producers.
func (p *Producers) Expire(nowMs, limitMs int64) (expired int) {
	for id, e := range p.byID {
		if e.TxnFirstOffset < 0 && nowMs-e.LastTimestampMs >= limitMs {
			delete(p.byID, id)
			expired++
		}
	}
	for id, v := range p.verifications {
		if nowMs-v.createdMs >= limitMs {
			delete(p.verifications, id)
		}
	}
	return expired
}

// Forget forgets a producer, which has no open transaction, and its verification.
func (p *Producers) Forget(producerID int64) {
	delete(p.byID, producerID)
	delete(p.verifications, producerID)
}

// Open returns the producers that have a transaction open, as first offset by producer ID.
func (p *Producers) Open() map[int64]int64 {
	open := map[int64]int64{}
	for id, e := range p.byID {
		if e.TxnFirstOffset >= 0 {
			open[id] = e.TxnFirstOffset
		}
	}
	return open
}
