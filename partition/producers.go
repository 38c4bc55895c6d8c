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
