package partition

import "once/pidmanager"

type producer = pidmanager.Producer

// ActiveProducer is the state of one producer in a partition, as DescribeProducers shows it.
type ActiveProducer struct {
	ProducerID       int64
	ProducerEpoch    int16
	LastSequence     int32 // -1 when the current epoch has none
	LastTimestampMs  int64
	CoordinatorEpoch int32 // -1 before the first marker
	TxnStartOffset   int64 // -1 when no transaction is open
}

// ActiveProducers returns the producers that the partition remembers, in no particular order.
func (p *Partition) ActiveProducers() ([]ActiveProducer, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.mu.offline != nil {
		return nil, p.offlineErrorLocked()
	}
	all := make([]ActiveProducer, 0, p.mu.producers.Count())
	p.mu.producers.All(func(id int64, e producer) {
		all = append(all, ActiveProducer{
			ProducerID: id, ProducerEpoch: e.ProducerEpoch, LastSequence: e.LastSequence(),
			LastTimestampMs: e.LastTimestampMs, CoordinatorEpoch: e.CoordinatorEpoch, TxnStartOffset: e.TxnFirstOffset,
		})
	})
	return all, nil
}

// ProducerCount returns how many producers the partition remembers.
func (p *Partition) ProducerCount() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.mu.producers.Count()
}

// EachOpenTransaction calls f with every producer that has a transaction open here, in no particular order.
func (p *Partition) EachOpenTransaction(f func(producerID int64, producerEpoch int16)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, t := range p.mu.open.Open() {
		if e, ok := p.mu.producers.Get(t.ProducerID); ok {
			f(t.ProducerID, e.ProducerEpoch)
		}
	}
}

// HasOpenTransaction says whether a transaction of a producer is open here: whether there are records of it. Of a
// partition that is offline nothing is known, and the answer is yes.
func (p *Partition) HasOpenTransaction(producerID int64) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	e, ok := p.mu.producers.Get(producerID)
	return p.mu.offline != nil || ok && e.TxnFirstOffset >= 0
}

// OpenTransaction is a transaction that is open in a partition.
type OpenTransaction struct {
	ProducerID       int64
	ProducerEpoch    int16
	CoordinatorEpoch int32 // -1 before the producer's first marker
	FirstOffset      int64
	LastTimestampMs  int64 // of the producer's last batch
}

// OldestTransactions returns the first limit transactions that are open in the partition, by first offset. The first
// one holds back the last stable offset.
func (p *Partition) OldestTransactions(limit int) []OpenTransaction {
	p.mu.Lock()
	defer p.mu.Unlock()
	open := p.mu.open.Open()
	oldest := make([]OpenTransaction, 0, min(limit, len(open)))
	for _, t := range open[:cap(oldest)] {
		e, _ := p.mu.producers.Get(t.ProducerID)
		oldest = append(oldest, OpenTransaction{
			ProducerID: t.ProducerID, ProducerEpoch: e.ProducerEpoch, CoordinatorEpoch: e.CoordinatorEpoch,
			FirstOffset: t.FirstOffset, LastTimestampMs: e.LastTimestampMs,
		})
	}
	return oldest
}

// OpenTransactions returns how many transactions are open in the partition.
func (p *Partition) OpenTransactions() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.mu.open.Open())
}

// ExpireProducers forgets the producers that have written nothing for limitMs (producer.id.expiration.ms) and have no
// open transaction, and returns their number.
func (p *Partition) ExpireProducers(nowMs, limitMs int64) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.mu.producers.Expire(nowMs, limitMs)
}
